//! The bytes that a token stands for, from the ways in which vocabularies write them.

/// How a vocabulary writes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Each byte is a printable character of its own, as GPT-2 does.
    Characters,
    /// Spaces are `▁`, bytes that are no text are `<0x0A>`.
    Blocks,
    /// Words as they are, their continuations after `##`.
    Words,
}

/// Bytes of a token.
pub(super) fn bytes(token: &str, spelling: Spelling) -> Box<[u8]> {
    match spelling {
        Spelling::Characters => token
            .chars()
            .map(byte_of)
            .collect::<Option<Box<[u8]>>>()
            .unwrap_or_else(|| token.as_bytes().into()),
        Spelling::Blocks => match fallback(token) {
            Some(byte) => [byte].into(),
            None => token.replace('\u{2581}', " ").into_bytes().into(),
        },
        Spelling::Words => match token.strip_prefix("##") {
            Some(rest) => rest.as_bytes().into(),
            None => format!(" {token}").into_bytes().into(),
        },
    }
}

/// The byte that `<0x0A>` means.
pub(super) fn fallback(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2)
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The byte that a printable character stands for: itself where it is printable, the next free one otherwise.
fn byte_of(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        // 0..=0x20 and 0x7f..=0xa0 and 0xad, in this order, from 0x100 on.
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut seen = [false; 256];
        for code in 0..0x200 {
            if let Some(byte) = char::from_u32(code).and_then(byte_of) {
                assert!(!std::mem::replace(&mut seen[usize::from(byte)], true));
            }
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(
            &*bytes("\u{120}the\u{10a}", Spelling::Characters),
            b" the\n"
        );
    }

    #[test]
    fn blocks_are_spaces_and_bytes() {
        assert_eq!(&*bytes("\u{2581}a", Spelling::Blocks), b" a");
        assert_eq!(&*bytes("<0xE2>", Spelling::Blocks), b"\xe2");
        assert_eq!(&*bytes("<0xE>", Spelling::Blocks), b"<0xE>");
        assert_eq!(&*bytes("##ing", Spelling::Words), b"ing");
    }
}
