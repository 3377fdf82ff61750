//! What a safetensors header may say, and what not.

use super::{
    build::{safetensors, safetensors_sample, with_json},
    *,
};

fn refused(json: &str, data_len: usize) -> FormatError {
    header(Format::Safetensors, &with_json(json, data_len)).expect_err(json)
}

fn accepted(json: &str, data_len: usize) -> Header {
    header(Format::Safetensors, &with_json(json, data_len)).expect(json)
}

fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

#[test]
fn sample_is_understood() {
    let file = safetensors_sample();
    let header = header(Format::Safetensors, &file).expect("honest");
    assert_eq!(header.data_start, file.len() as u64 - 28);
    let [a, b] = &header.tensors[..] else {
        panic!("two tensors: {header:?}")
    };
    assert_eq!(
        (a.name.as_str(), a.dtype, &a.shape[..]),
        ("a.weight", "F32", &[2, 3][..])
    );
    assert_eq!((a.offset, a.len), (header.data_start, 24));
    assert_eq!((b.offset, b.len), (header.data_start + 24, 4));
}

#[test]
fn order_spaces_and_further_fields_do_not_matter() {
    let json = "{ \"b\" : {\"data_offsets\":[1,1],\"later\":{\"x\":[1,{}]},\"shape\":[0,3],\"dtype\":\"U8\"},\n\
                \"a\":{\"shape\":[1],\"dtype\":\"I8\",\"data_offsets\":[0,1]}}   ";
    let names: Vec<_> = accepted(json, 1)
        .tensors
        .into_iter()
        .map(|t| t.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(accepted("{}", 0).tensors, []);
    assert_eq!(accepted(r#"{"__metadata__":{}}"#, 0).tensors, []);
}

#[test]
fn types_narrower_than_a_byte_must_fill_bytes() {
    assert_eq!(accepted(&one("F4", "[4]", "[0,2]"), 2).tensors[0].len, 2);
    assert_eq!(
        accepted(&one("F6_E2M3", "[4]", "[0,3]"), 3).tensors[0].len,
        3
    );
    assert!(matches!(
        refused(&one("F4", "[3]", "[0,2]"), 2),
        FormatError::Shape { .. }
    ));
}

#[test]
fn header_is_asked_for_in_steps_that_the_file_can_pay() {
    let tensors: Vec<_> = (0..5_000)
        .map(|n| (format!("model.layers.{n}.weight"), "F32", vec![1]))
        .collect();
    let file = safetensors(&tensors);
    let (outcome, looks) = stepwise(Format::Safetensors, &file);
    assert_eq!(outcome.expect("honest").tensors.len(), 5_000);
    // Nothing, 64 KiB, 128 KiB, 256 KiB, 512 KiB.
    assert!(looks <= 5, "{looks} looks");
    // What is wrong at the beginning is seen there.
    let mut wrong = file;
    wrong[9] = b'!';
    assert_eq!(stepwise(Format::Safetensors, &wrong).1, 2);
}

#[test]
fn malformed_json_is_refused_where_it_stands() {
    for (json, at) in [
        ("[]", 8),
        ("{\"t\"}", 12),
        ("{\"t\":1}", 13),
        ("{}x", 10),
        ("{},{}", 10),
        ("{\"t\":{\"shape\":[1,]}}", 25),
        ("{\"t\":{\"shape\":[-1]}}", 23),
        ("{\"t\":{\"shape\":[1.5]}}", 24),
        ("{\"t\":{\"shape\":[18446744073709551616]}}", 42),
        ("{\"__metadata__\":{\"a\":1}}", 29),
        ("{\"t\":{\"dtype\":\"U8\"", 26),
    ] {
        let error = refused(json, 0);
        let FormatError::Json { at: found, .. } = error else {
            panic!("{json}: {error:?}")
        };
        assert_eq!(found, at, "{json}");
    }
}

#[test]
fn missing_and_unknown_fields_are_named() {
    for field in ["dtype", "shape", "data_offsets"] {
        let json = one("U8", "[1]", "[0,1]").replace(field, "other");
        let error = refused(&json, 1);
        assert!(
            matches!(&error, FormatError::Missing { field: f, .. } if *f == field),
            "{error:?}"
        );
    }
    let error = refused(&one("Q4_0", "[1]", "[0,1]"), 1);
    assert_eq!(error.to_string(), "`t` has the unknown element type Q4_0");
}
