//! Headers of real weight files, written by the libraries that everybody uses.

use std::{fs, path::Path};

use weft_protocol::formats::{self, Format, Gguf, Header, Reading, gguf};

fn file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/data/wren-3m")
        .join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn header(format: Format, bytes: &[u8]) -> Header {
    match formats::read(format, bytes, bytes.len() as u64) {
        Ok(Reading::Done(header)) => header,
        other => panic!("{other:?}"),
    }
}

fn gguf(bytes: &[u8]) -> Gguf<'_> {
    match gguf::read(bytes, bytes.len() as u64) {
        Ok(Reading::Done(gguf)) => gguf,
        other => panic!("{other:?}"),
    }
}

#[test]
fn safetensors_of_wren() {
    let bytes = file("model.safetensors");
    let header = header(Format::Safetensors, &bytes);
    assert_eq!(header.data_start, 4_184);
    assert_eq!(header.tensors.len(), 39);
    let head = &header.tensors[0];
    assert_eq!(
        (head.name.as_str(), head.dtype, &head.shape[..]),
        ("lm_head.weight", "BF16", &[2048, 256][..])
    );
    assert_eq!((head.offset, head.len), (4_184, 1_048_576));
    let sum: u64 = header.tensors.iter().map(|tensor| tensor.len).sum();
    assert_eq!(header.data_start + sum, bytes.len() as u64);
}

#[test]
fn gguf_of_wren_in_two_quantizations() {
    for (name, dtypes) in [
        ("wren-3m.Q8_0.gguf", &["F32", "Q8_0"][..]),
        ("wren-3m.Q4_K_M.gguf", &["F32", "Q4_K", "Q6_K"][..]),
    ] {
        let bytes = file(name);
        let gguf = gguf(&bytes);
        assert_eq!(gguf.version, 3);
        assert_eq!(gguf.architecture(), Some("llama"));
        let number = |key: &str| gguf.of_architecture(key).and_then(gguf::Value::as_u64);
        assert_eq!(number("embedding_length"), Some(256));
        assert_eq!(number("vocab_size").or(Some(2048)), Some(2048));
        let tokens = gguf.get("tokenizer.ggml.tokens").expect("a vocabulary");
        let tokens = tokens.as_array().expect("an array");
        assert_eq!(tokens.len(), 2048);
        assert_eq!(tokens.into_iter().count(), 2048);
        assert!(tokens.into_iter().all(|token| token.as_str().is_some()));
        assert_eq!(gguf.tensors.len(), 39);
        let mut found: Vec<_> = gguf.tensors.iter().map(|tensor| tensor.dtype).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, dtypes, "{name}");
        let last = gguf.tensors.last().expect("39 tensors");
        let end = (last.offset + last.len).next_multiple_of(gguf.alignment);
        assert_eq!(end, bytes.len() as u64, "{name}");
    }
}

#[test]
fn header_is_read_without_the_weights() {
    for (name, format) in [
        ("model.safetensors", Format::Safetensors),
        ("wren-3m.Q8_0.gguf", Format::Gguf),
    ] {
        let bytes = file(name);
        let whole = header(format, &bytes);
        let prefix = &bytes[..usize::try_from(whole.data_start).unwrap()];
        let size = bytes.len() as u64;
        assert_eq!(
            formats::read(format, prefix, size),
            Ok(Reading::Done(whole))
        );
    }
}
