//! Weight files that differ where a test wants them to.

use std::fmt::Write as _;

/// A tensor: its name, what its bytes are made from, and how many there are.
pub type Content<'a> = (&'a str, &'a str, u64);

/// A safetensors file with these tensors one behind the other. `note` lengthens the header and so moves them all.
pub fn file(tensors: &[Content<'_>], note: &str) -> Vec<u8> {
    let mut header = format!("{{\"__metadata__\":{{\"note\":\"{note}\"}}");
    let mut end = 0;
    for (name, _, len) in tensors {
        let start = end;
        end += len;
        write!(
            header,
            ",\"{name}\":{{\"dtype\":\"U8\",\"shape\":[{len}],\"data_offsets\":[{start},{end}]}}"
        )
        .expect("writing to a string cannot fail");
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    for (_, label, len) in tensors {
        let mut stream = blake3::Hasher::new()
            .update(label.as_bytes())
            .finalize_xof();
        let mut content = vec![0; usize::try_from(*len).expect("a test's tensor is small")];
        stream.fill(&mut content);
        bytes.extend_from_slice(&content);
    }
    bytes
}
