//! Shapes of faults that made readers of these formats crash, read beyond their memory or allocate without end.
//! Each is one file; each must be one typed refusal, at the first look that can show it.

use super::{
    build::{self, Gguf as Builder, safetensors_sample, text, with_json},
    *,
};

/// Refused after at most so many looks at the file, the first of which sees nothing.
fn refused_within(looks_max: u32, format: Format, file: &[u8]) -> FormatError {
    let (outcome, looks) = stepwise(format, file);
    assert!(looks <= looks_max, "{looks} looks");
    outcome.expect_err("a lie")
}

fn safetensors(json: &str, data_len: usize) -> FormatError {
    refused_within(2, Format::Safetensors, &with_json(json, data_len))
}

fn gguf(file: &[u8]) -> FormatError {
    refused_within(2, Format::Gguf, file)
}

#[test]
fn header_length_beyond_the_file_or_all_reason() {
    for len in [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 40, 29] {
        let mut file = safetensors_sample();
        file.truncate(36);
        file[..8].copy_from_slice(&len.to_le_bytes());
        let error = refused_within(2, Format::Safetensors, &file);
        assert!(matches!(error, FormatError::BeyondFile { .. }), "{error:?}");
    }
    // A file so large that the claim is true.
    let len = limits::WEIGHTS_HEADER_LEN_MAX;
    let mut file = len.to_le_bytes().to_vec();
    file.push(b'{');
    assert_eq!(
        read(Format::Safetensors, &file, u64::MAX),
        Err(FormatError::HeaderTooLong {
            len: u128::from(len) + 8
        })
    );
}

#[test]
fn header_of_nothing_but_spaces_or_brackets() {
    let deep = format!(r#"{{"t":{{"x":{}"#, "[".repeat(60_000));
    assert!(matches!(safetensors(&deep, 0), FormatError::TooDeep { .. }));
    assert!(matches!(
        safetensors(&" ".repeat(1_000), 0),
        FormatError::Json { .. }
    ));
    assert!(matches!(safetensors("", 0), FormatError::Json { .. }));
}

#[test]
fn key_that_stands_twice_could_be_read_two_ways() {
    let tensor = r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    for json in [
        format!(r#"{{"t":{tensor},"t":{tensor}}}"#),
        // The same name, spelled with an escape.
        format!(r#"{{"t":{tensor},"\u0074":{tensor}}}"#),
        r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(),
        r#"{"__metadata__":{"a":"1","a":"2"}}"#.to_owned(),
        r#"{"t":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}}"#.to_owned(),
    ] {
        let error = safetensors(&json, 1);
        assert!(
            matches!(error, FormatError::Duplicate { .. }),
            "{json}: {error:?}"
        );
    }
    let mut file = Builder::new(3);
    file.text("a", "1").text("a", "2");
    assert!(matches!(
        gguf(&file.finish()),
        FormatError::Duplicate { .. }
    ));
    let mut file = Builder::new(3);
    file.tensor("t", &[1], 0, 4).tensor("t", &[1], 0, 4);
    assert!(matches!(
        gguf(&file.finish()),
        FormatError::Duplicate { .. }
    ));
}

#[test]
fn tensor_that_lies_about_its_length() {
    let one = |shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (shape, offsets) in [
        ("[2]", "[0,4]"),
        ("[1]", "[0,8]"),
        ("[0]", "[0,8]"),
        ("[2,2]", "[0,8]"),
    ] {
        let error = safetensors(&one(shape, offsets), 8);
        assert!(
            matches!(error, FormatError::WrongLen { .. }),
            "{shape}: {error:?}"
        );
    }
    for offsets in [
        "[8,0]",
        "[0,12]",
        "[0,18446744073709551615]",
        "[18446744073709551608,18446744073709551615]",
        "[0]",
        "[]",
    ] {
        let error = safetensors(&one("[2]", offsets), 8);
        assert!(
            matches!(error, FormatError::Outside { .. }),
            "{offsets}: {error:?}"
        );
    }
}

#[test]
fn shape_whose_product_overflows() {
    for shape in [
        "[4294967296,4294967296]",
        "[18446744073709551615,18446744073709551615,18446744073709551615]",
        "[4611686018427387904,4,4,4,4,4,4,4]",
        "[2305843009213693952,2]",
    ] {
        let json = format!(r#"{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}"#);
        let error = safetensors(&json, 0);
        assert!(
            matches!(error, FormatError::Shape { .. }),
            "{shape}: {error:?}"
        );
    }
    for shape in [
        &[1 << 32, 1 << 32][..],
        &[1 << 62, 4, 4, 4],
        &[u64::MAX, u64::MAX, u64::MAX],
    ] {
        let mut file = Builder::new(3);
        file.tensor_at("t", shape, 0, 0);
        let error = gguf(&file.finish());
        assert!(
            matches!(error, FormatError::Shape { .. }),
            "{shape:?}: {error:?}"
        );
    }
}

#[test]
fn tensors_that_share_bytes_or_leave_some_out() {
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{first}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{second}}}}}"#
        )
    };
    let overlap = safetensors(&two("[0,4]", "[3,7]"), 7);
    assert_eq!(overlap.to_string(), "`b` begins inside `a`");
    assert!(matches!(
        safetensors(&two("[0,4]", "[0,4]"), 4),
        FormatError::Overlap { .. }
    ));
    for (first, second, len) in [
        ("[0,4]", "[5,9]", 9),
        ("[1,5]", "[5,9]", 9),
        ("[0,4]", "[4,8]", 9),
    ] {
        let error = safetensors(&two(first, second), len);
        assert!(
            matches!(error, FormatError::Hole { len: 1, .. }),
            "{error:?}"
        );
    }
    let mut file = Builder::new(3);
    file.tensor("a", &[16], 0, 4).tensor_at("b", &[1], 0, 32);
    assert!(matches!(gguf(&file.finish()), FormatError::Overlap { .. }));
}

#[test]
fn gguf_tensor_beyond_the_file() {
    for offset in [64, 1 << 40, u64::MAX - 31] {
        let mut file = Builder::new(3);
        file.tensor("a", &[8], 0, 4).tensor_at("b", &[8], 0, offset);
        let error = gguf(&file.finish());
        assert!(
            matches!(error, FormatError::Outside { .. }),
            "{offset}: {error:?}"
        );
    }
}

#[test]
fn gguf_counts_that_nobody_could_fill() {
    let file = Builder::new(3);
    for (tensors, entries) in [
        (u64::MAX, 0),
        (0, u64::MAX),
        (1 << 32, 1 << 32),
        (131_073, 0),
    ] {
        assert!(matches!(
            gguf(&file.claiming(tensors, entries)),
            FormatError::TooMany { .. }
        ));
    }
    // Few enough, but more than the file has bytes for: seen before one is read.
    for (tensors, entries) in [(131_072, 0), (0, 65_536), (1, 1)] {
        assert!(matches!(
            gguf(&file.claiming(tensors, entries)),
            FormatError::BeyondFile { .. }
        ));
    }
}

#[test]
fn gguf_texts_and_arrays_longer_than_the_file() {
    for len in [u64::MAX, 1 << 62, 1_000] {
        for kind in [8_u32, 9] {
            let value = match kind {
                8 => len.to_le_bytes().to_vec(),
                _ => [&8_u32.to_le_bytes()[..], &len.to_le_bytes()].concat(),
            };
            let mut file = Builder::new(3);
            file.entry("key", kind, &value);
            let error = gguf(&file.finish());
            assert!(
                matches!(error, FormatError::BeyondFile { .. }),
                "{len}: {error:?}"
            );
        }
    }
    // Items times width overflows 64 bits.
    let value = [&10_u32.to_le_bytes()[..], &(1_u64 << 61).to_le_bytes()].concat();
    let mut file = Builder::new(3);
    file.entry("key", 9, &value);
    assert!(matches!(
        gguf(&file.finish()),
        FormatError::BeyondFile { .. }
    ));
}

#[test]
fn gguf_names_and_keys_out_of_all_measure() {
    let mut file = Builder::new(3);
    file.text(&"k".repeat(limits::METADATA_KEY_LEN_MAX + 1), "v");
    let error = refused_within(3, Format::Gguf, &file.finish());
    assert!(matches!(error, FormatError::TooMany { .. }), "{error:?}");
    let mut file = Builder::new(3);
    file.tensor(&"t".repeat(limits::TENSOR_NAME_LEN_MAX + 1), &[1], 0, 4);
    assert!(matches!(gguf(&file.finish()), FormatError::TooMany { .. }));
    let mut file = Builder::new(3);
    file.tensor("t", &[1; 5], 0, 4);
    assert!(matches!(gguf(&file.finish()), FormatError::TooMany { .. }));
    let json = format!(
        r#"{{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#,
        "t".repeat(limits::TENSOR_NAME_LEN_MAX + 1)
    );
    assert!(matches!(safetensors(&json, 1), FormatError::TooMany { .. }));
    assert!(matches!(
        safetensors(
            r#"{"t":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#,
            1
        ),
        FormatError::TooMany { .. }
    ));
    // A name that is no text.
    let mut bytes = Builder::new(3).claiming(1, 0);
    bytes.extend(text(&[0xff]));
    bytes.resize(200, 0);
    assert!(matches!(gguf(&bytes), FormatError::NotText { .. }));
}

#[test]
fn file_that_ends_anywhere_is_refused_and_asks_for_nothing_it_lacks() {
    for (format, whole) in [
        (Format::Safetensors, safetensors_sample()),
        (Format::Gguf, build::gguf_sample()),
    ] {
        for len in 0..whole.len() {
            let error = header(format, &whole[..len]).expect_err("cut");
            assert!(!error.to_string().is_empty());
        }
        header(format, &whole).expect("whole");
    }
}
