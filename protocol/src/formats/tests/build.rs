//! Writes files of both formats, honest unless told otherwise.

use std::fmt::Write as _;

/// Eight bytes of length and a header.
pub(super) fn with_json(json: &str, data_len: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.resize(file.len() + data_len, 7);
    file
}

/// A whole safetensors file with tensors of four bytes an element.
pub(super) fn safetensors(tensors: &[(String, &str, Vec<u64>)]) -> Vec<u8> {
    let mut json = r#"{"__metadata__":{"format":"pt"}"#.to_owned();
    let mut at = 0;
    for (name, dtype, shape) in tensors {
        let end = at + shape.iter().product::<u64>() * 4;
        write!(
            json,
            r#","{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{at},{end}]}}"#
        )
        .unwrap();
        at = end;
    }
    json.push('}');
    with_json(&json, usize::try_from(at).unwrap())
}

/// Two tensors of 24 and 4 bytes.
pub(super) fn safetensors_sample() -> Vec<u8> {
    safetensors(&[
        ("a.weight".to_owned(), "F32", vec![2, 3]),
        ("b".to_owned(), "I32", vec![]),
    ])
}

/// A GGUF file in the making.
pub(super) struct Gguf {
    version: u32,
    entries: Vec<u8>,
    entry_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data_len: u64,
    pub(super) alignment: u64,
}

impl Gguf {
    pub(super) fn new(version: u32) -> Self {
        Self {
            version,
            entries: Vec::new(),
            entry_count: 0,
            tensors: Vec::new(),
            tensor_count: 0,
            data_len: 0,
            alignment: 32,
        }
    }

    /// An entry of any type; `value` is written as it is.
    pub(super) fn entry(&mut self, key: &str, kind: u32, value: &[u8]) -> &mut Self {
        self.entries.extend(text(key.as_bytes()));
        self.entries.extend(kind.to_le_bytes());
        self.entries.extend_from_slice(value);
        self.entry_count += 1;
        self
    }

    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.entry(key, 8, &text(value.as_bytes()))
    }

    pub(super) fn texts(&mut self, key: &str, values: &[String]) -> &mut Self {
        let mut array = 8_u32.to_le_bytes().to_vec();
        array.extend((values.len() as u64).to_le_bytes());
        for value in values {
            array.extend(text(value.as_bytes()));
        }
        self.entry(key, 9, &array)
    }

    /// A tensor of `unit` bytes an element behind the ones before.
    pub(super) fn tensor(&mut self, name: &str, shape: &[u64], dtype: u32, unit: u64) -> &mut Self {
        let offset = self.data_len.next_multiple_of(self.alignment);
        self.tensor_at(name, shape, dtype, offset);
        self.data_len = offset + shape.iter().product::<u64>() * unit;
        self
    }

    /// A tensor wherever it is said to be.
    pub(super) fn tensor_at(
        &mut self,
        name: &str,
        shape: &[u64],
        dtype: u32,
        offset: u64,
    ) -> &mut Self {
        self.tensors.extend(text(name.as_bytes()));
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        for dimension in shape {
            self.tensors.extend(dimension.to_le_bytes());
        }
        self.tensors.extend(dtype.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.tensor_count += 1;
        self
    }

    pub(super) fn finish(&self) -> Vec<u8> {
        self.claiming(self.tensor_count, self.entry_count)
    }

    /// The file with other counts than are true.
    pub(super) fn claiming(&self, tensors: u64, entries: u64) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(tensors.to_le_bytes());
        file.extend(entries.to_le_bytes());
        file.extend_from_slice(&self.entries);
        file.extend_from_slice(&self.tensors);
        if self.tensor_count > 0 {
            let start = (file.len() as u64).next_multiple_of(self.alignment);
            file.resize(usize::try_from(start + self.data_len).unwrap(), 7);
        }
        file
    }
}

pub(super) fn text(bytes: &[u8]) -> Vec<u8> {
    let mut written = (bytes.len() as u64).to_le_bytes().to_vec();
    written.extend_from_slice(bytes);
    written
}

/// Every kind of value and two tensors; 64 bytes of data.
pub(super) fn gguf_sample() -> Vec<u8> {
    let mut file = Gguf::new(3);
    file.text("general.architecture", "llama")
        .entry("llama.block_count", 4, &5_u32.to_le_bytes())
        .entry("i8", 1, &[0xff])
        .entry("i16", 3, &(-2_i16).to_le_bytes())
        .entry("u8", 0, &[9])
        .entry("u16", 2, &500_u16.to_le_bytes())
        .entry("i32", 5, &7_i32.to_le_bytes())
        .entry("f32", 6, &0.5_f32.to_le_bytes())
        .entry("f64", 12, &0.25_f64.to_le_bytes())
        .entry("u64", 10, &u64::MAX.to_le_bytes())
        .entry("i64", 11, &i64::MIN.to_le_bytes())
        .entry("flag", 7, &[1])
        .texts(
            "tokenizer.ggml.tokens",
            &["<s>".to_owned(), String::new(), "é".to_owned()],
        )
        .tensor("token_embd.weight", &[4, 2], 0, 4)
        .tensor("output_norm.weight", &[8], 0, 4);
    file.finish()
}
