//! Reading LZ4 frames, as chunks are packed in them. Checksums are passed over: files are held against better ones.

/// What a frame begins with.
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// In the flags: what stands beside the blocks.
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const DICTIONARY: u8 = 1;
/// The shortest match.
const MATCH_MIN: usize = 4;

/// The content of a frame of at most `len_max` bytes; `None` if it is none.
pub(super) fn frame(bytes: &[u8], len_max: usize) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let flags = *rest.first()?;
    if flags >> 6 != 1 || flags & DICTIONARY != 0 {
        return None;
    }
    // Flags, sizes of blocks, and a checksum of both.
    let head = if flags & CONTENT_SIZE == 0 { 3 } else { 11 };
    let mut rest = rest.get(head..)?;
    let mut out = Vec::new();
    loop {
        let (len, after) = rest.split_first_chunk()?;
        let len = u32::from_le_bytes(*len);
        if len == 0 {
            return Some(out);
        }
        let (is_plain, len) = (len >> 31 == 1, usize::try_from(len & 0x7fff_ffff).ok()?);
        let (packed, after) = after.split_at_checked(len)?;
        if is_plain {
            out.extend_from_slice(packed);
        } else {
            block(packed, &mut out, len_max)?;
        }
        if out.len() > len_max {
            return None;
        }
        let checksum = if flags & BLOCK_CHECKSUMS == 0 { 0 } else { 4 };
        rest = after.get(checksum..)?;
    }
}

/// Unpacks one block behind what is there, which it may refer to.
fn block(mut packed: &[u8], out: &mut Vec<u8>, len_max: usize) -> Option<()> {
    while let Some((token, rest)) = packed.split_first() {
        let (literals, rest) = length(usize::from(token >> 4), rest)?;
        let (plain, rest) = rest.split_at_checked(literals)?;
        out.extend_from_slice(plain);
        packed = rest;
        if packed.is_empty() {
            break;
        }
        let (offset, rest) = packed.split_first_chunk()?;
        let offset = usize::from(u16::from_le_bytes(*offset));
        let (len, rest) = length(usize::from(token & 15), rest)?;
        packed = rest;
        let len = len.checked_add(MATCH_MIN)?;
        if offset == 0 || out.len().checked_add(len)? > len_max {
            return None;
        }
        let start = out.len().checked_sub(offset)?;
        // It may overlap what it makes.
        for at in start..start + len {
            out.push(*out.get(at)?);
        }
    }
    Some(())
}

/// A length that does not fit into four bits goes on in bytes.
fn length(first: usize, mut rest: &[u8]) -> Option<(usize, &[u8])> {
    let mut len = first;
    if first == 15 {
        loop {
            let (more, after) = rest.split_first()?;
            len = len.checked_add(usize::from(*more))?;
            rest = after;
            if *more != 255 {
                break;
            }
        }
    }
    Some((len, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(block: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0x60, 0x40, 0]);
        bytes.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        bytes.extend(block);
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn literals_and_overlapping_matches_are_unpacked() {
        // `ab`, then 12 bytes from two before, then `!`.
        let frame_ = packed(&[0x28, b'a', b'b', 2, 0, 0x10, b'!']);
        assert_eq!(frame(&frame_, 100).unwrap(), b"ababababababab!");
        assert_eq!(frame(&frame_, 10), None);
        // From before the beginning.
        assert_eq!(frame(&packed(&[0x18, b'a', 9, 0]), 100), None);
    }

    proptest! {
        #[test]
        fn anything_can_be_tried(block: Vec<u8>, cut: usize) {
            let bytes = packed(&block);
            let _ = frame(&bytes, 1_000);
            let _ = frame(&bytes[..cut % bytes.len()], 1_000);
        }
    }
}
