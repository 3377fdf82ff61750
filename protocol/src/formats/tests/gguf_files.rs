//! What a GGUF header may say, and what not.

use super::{
    build::{Gguf as Builder, gguf_sample, text},
    *,
};

fn read_whole(file: &[u8]) -> Gguf<'_> {
    match gguf::read(file, file.len() as u64) {
        Ok(Reading::Done(gguf)) => gguf,
        other => panic!("{other:?}"),
    }
}

fn refused(file: &[u8]) -> FormatError {
    header(Format::Gguf, file).expect_err("a lie")
}

#[test]
fn sample_is_understood() {
    let file = gguf_sample();
    let gguf = read_whole(&file);
    assert_eq!((gguf.version, gguf.alignment), (3, 32));
    assert_eq!(gguf.architecture(), Some("llama"));
    assert_eq!(
        gguf.of_architecture("block_count").and_then(Value::as_u64),
        Some(5)
    );
    assert_eq!(gguf.entries().len(), 13);
    for (key, value) in [
        ("i8", Value::Signed(-1)),
        ("i16", Value::Signed(-2)),
        ("u8", Value::Unsigned(9)),
        ("u16", Value::Unsigned(500)),
        ("i32", Value::Signed(7)),
        ("f32", Value::Float(0.5)),
        ("f64", Value::Float(0.25)),
        ("u64", Value::Unsigned(u64::MAX)),
        ("i64", Value::Signed(i64::MIN)),
        ("flag", Value::Bool(true)),
    ] {
        assert_eq!(gguf.get(key), Some(value), "{key}");
    }
    let tokens = gguf.get("tokenizer.ggml.tokens").and_then(Value::as_array);
    let tokens: Vec<_> = tokens.expect("there").into_iter().collect();
    assert_eq!(tokens, [b"<s>", &b""[..], "é".as_bytes()].map(Value::Text));
    assert_eq!(gguf.get("absent"), None);
    let [a, b] = &gguf.tensors[..] else {
        panic!("{:?}", gguf.tensors)
    };
    assert_eq!((a.offset, a.len), (gguf.data_start, 32));
    assert_eq!((b.offset, b.len), (gguf.data_start + 32, 32));
    assert_eq!(a.shape, [4, 2]);
}

#[test]
fn numbers_are_given_as_asked_only_if_they_fit() {
    assert_eq!(Value::Signed(-1).as_u64(), None);
    assert_eq!(Value::Signed(3).as_u64(), Some(3));
    assert_eq!(Value::Unsigned(u64::MAX).as_i64(), None);
    assert_eq!(Value::Unsigned(1).as_f64(), None);
    assert_eq!(Value::Bool(true).as_u64(), None);
    assert_eq!(Value::Text(&[0xff]).as_str(), None);
    assert_eq!(Value::Text(&[0xff]).as_bytes(), Some(&[0xff][..]));
}

#[test]
fn only_versions_two_and_three_are_read() {
    let mut two = Builder::new(2);
    two.tensor("t", &[1], 0, 4);
    assert_eq!(read_whole(&two.finish()).version, 2);
    for version in [0, 1, 4] {
        let error = refused(&Builder::new(version).finish());
        assert_eq!(error, FormatError::Version(version));
    }
    let error = refused(&Builder::new(3_u32.swap_bytes()).finish());
    assert_eq!(error, FormatError::BigEndian);
    assert_eq!(
        refused(b"GGML\x03\0\0\0"),
        FormatError::NotThisFormat("GGUF")
    );
    assert!(matches!(refused(b"GG"), FormatError::BeyondFile { .. }));
}

#[test]
fn blocks_decide_about_lengths() {
    // Q4_K: 144 bytes for 256 elements.
    let mut file = Builder::new(3);
    file.tensor_at("q", &[512, 3], 12, 0);
    file.tensor_at("end", &[1], 0, 6 * 144);
    let mut bytes = file.finish();
    bytes.resize(bytes.len() + 2_000, 0);
    assert_eq!(read_whole(&bytes).tensors[0].len, 6 * 144);
    let mut uneven = Builder::new(3);
    uneven.tensor_at("q", &[128, 2], 12, 0);
    assert!(matches!(
        refused(&uneven.finish()),
        FormatError::Shape { .. }
    ));
    let mut unknown = Builder::new(3);
    unknown.tensor_at("q", &[1], 31, 0);
    assert!(matches!(
        refused(&unknown.finish()),
        FormatError::UnknownType { .. }
    ));
}

#[test]
fn alignment_is_followed_and_must_make_sense() {
    let mut file = Builder::new(3);
    file.alignment = 128;
    file.entry("general.alignment", 4, &128_u32.to_le_bytes())
        .tensor("a", &[1], 0, 4)
        .tensor("b", &[1], 0, 4);
    let bytes = file.finish();
    let gguf = read_whole(&bytes);
    assert_eq!(gguf.data_start % 128, 0);
    assert_eq!(gguf.tensors[1].offset, gguf.data_start + 128);
    for alignment in [0_u32, 3, 1 << 20] {
        let mut file = Builder::new(3);
        file.entry("general.alignment", 4, &alignment.to_le_bytes());
        assert!(matches!(
            refused(&file.finish()),
            FormatError::BadValue { .. }
        ));
    }
    let mut text = Builder::new(3);
    text.text("general.alignment", "32");
    assert!(matches!(
        refused(&text.finish()),
        FormatError::BadValue { .. }
    ));
    let mut crooked = Builder::new(3);
    crooked.tensor_at("a", &[1], 0, 8);
    assert!(matches!(
        refused(&crooked.finish()),
        FormatError::Unaligned { .. }
    ));
}

#[test]
fn values_of_no_type_are_refused() {
    for (kind, value) in [(13, &[0][..]), (7, &[2][..])] {
        let mut file = Builder::new(3);
        file.entry("key", kind, value);
        assert!(matches!(
            refused(&file.finish()),
            FormatError::BadValue { .. }
        ));
    }
    // Keys are text, values may be any bytes.
    let mut file = Builder::new(3);
    file.entry("key", 8, &text(&[0xff]));
    assert_eq!(
        read_whole(&file.finish()).get("key"),
        Some(Value::Text(&[0xff]))
    );
}

#[test]
fn nested_arrays_are_read_to_a_small_depth() {
    let nested = |depth: usize| {
        let mut value = Vec::new();
        for _ in 1..depth {
            value.extend(9_u32.to_le_bytes());
            value.extend(1_u64.to_le_bytes());
        }
        value.extend(0_u32.to_le_bytes());
        value.extend(1_u64.to_le_bytes());
        value.push(42);
        let mut file = Builder::new(3);
        file.entry("key", 9, &value);
        file.finish()
    };
    let file = nested(4);
    let mut value = read_whole(&file).get("key").expect("there");
    while let Some(array) = value.as_array() {
        assert_eq!((array.len(), array.is_empty()), (1, false));
        value = array.into_iter().next().expect("one item");
    }
    assert_eq!(value, Value::Unsigned(42));
    assert!(matches!(refused(&nested(5)), FormatError::TooDeep { .. }));
}
