//! Both readers against honest files, lying files and files that end anywhere.

mod build;
mod gguf_files;
mod lies;
mod safetensors_files;

use proptest::prelude::*;

use super::{gguf::Value, *};

/// Reads as a node does: from nothing, by as much more as is asked for. Returns how often it looked.
fn stepwise(format: Format, file: &[u8]) -> (Result<Header, FormatError>, u32) {
    let size = file.len() as u64;
    let mut seen = 0;
    for looks in 1.. {
        match read(format, &file[..seen], size) {
            Ok(Reading::Done(header)) => return (Ok(header), looks),
            Err(error) => return (Err(error), looks),
            Ok(Reading::More { len }) => {
                assert!(len > seen as u64, "no progress: {seen} to {len}");
                assert!(len <= size, "{len} of {size}");
                seen = usize::try_from(len).unwrap();
            }
        }
    }
    unreachable!("every look sees more")
}

fn header(format: Format, file: &[u8]) -> Result<Header, FormatError> {
    let (stepwise, _) = stepwise(format, file);
    let whole = read(format, file, file.len() as u64);
    match &stepwise {
        Ok(header) => assert_eq!(whole, Ok(Reading::Done(header.clone()))),
        Err(error) => assert_eq!(whole.as_ref(), Err(error)),
    }
    stepwise
}

/// What must hold of every header that is accepted.
fn assert_sound(header: &Header, size: u64) {
    let mut end = header.data_start;
    let mut names: Vec<_> = header.tensors.iter().map(|t| t.name.as_str()).collect();
    for tensor in &header.tensors {
        if tensor.len > 0 {
            assert!(tensor.offset >= end, "{tensor:?} overlaps");
            end = tensor.offset + tensor.len;
        }
        assert!(tensor.offset + tensor.len <= size, "{tensor:?}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), header.tensors.len(), "names are unique");
}

#[test]
fn formats_are_known_by_their_ending() {
    assert_eq!(
        Format::of_path("a/b.safetensors"),
        Some(Format::Safetensors)
    );
    assert_eq!(Format::of_path("q4/M.GGUF"), Some(Format::Gguf));
    assert_eq!(Format::of_path("model.safetensors.index.json"), None);
    assert_eq!(Format::of_path("gguf"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(
        gguf: bool, bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 0_u64..1_000
    ) {
        let format = if gguf { Format::Gguf } else { Format::Safetensors };
        let mut file = bytes;
        if gguf {
            file.splice(..0, *b"GGUF\x03\0\0\0");
        }
        if let Ok(Reading::Done(header)) = read(format, &file, size) {
            assert_sound(&header, size);
        }
    }

    #[test]
    fn damaged_headers_are_sound_or_refused(
        gguf: bool, flips in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4)
    ) {
        let (format, mut file, header_len) = if gguf {
            let file = build::gguf_sample();
            (Format::Gguf, file.clone(), file.len() - 64)
        } else {
            let file = build::safetensors_sample();
            (Format::Safetensors, file.clone(), file.len() - 28)
        };
        for (at, bit) in flips {
            file[at.index(header_len)] ^= 1 << bit;
        }
        if let Ok(header) = header(format, &file) {
            assert_sound(&header, file.len() as u64);
        }
    }

    #[test]
    fn every_safetensors_file_that_is_written_is_read(shapes in proptest::collection::vec(
        proptest::collection::vec(0_u64..5, 0..4), 0..12
    )) {
        let tensors: Vec<_> = shapes.into_iter().enumerate().map(|(n, shape)| (format!("t{n}"), "F32", shape)).collect();
        let file = build::safetensors(&tensors);
        let header = header(Format::Safetensors, &file).expect("honest");
        assert_sound(&header, file.len() as u64);
        prop_assert_eq!(header.tensors.len(), tensors.len());
        let end = header.tensors.iter().map(|t| t.offset + t.len).max().unwrap_or(file.len() as u64);
        prop_assert_eq!(end, file.len() as u64);
    }

    #[test]
    fn every_gguf_file_that_is_written_is_read(shapes in proptest::collection::vec(
        proptest::collection::vec(0_u64..5, 0..4), 0..12
    ), texts in proptest::collection::vec(".{0,20}", 0..5)) {
        let mut file = build::Gguf::new(3);
        file.texts("tokenizer.ggml.tokens", &texts);
        for (n, shape) in shapes.iter().enumerate() {
            file.tensor(&format!("t{n}"), shape, 0, 4);
        }
        let bytes = file.finish();
        let header = header(Format::Gguf, &bytes).expect("honest");
        assert_sound(&header, bytes.len() as u64);
        let Ok(Reading::Done(read)) = gguf::read(&bytes, bytes.len() as u64) else {
            panic!("read before");
        };
        let tokens = read.get("tokenizer.ggml.tokens").and_then(Value::as_array).expect("there");
        let back: Vec<_> = tokens.into_iter().filter_map(Value::as_str).collect();
        prop_assert_eq!(back, texts);
    }
}
