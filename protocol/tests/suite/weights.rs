//! Headers of real weight files, written by the libraries that everybody uses.

use std::{fs, path::Path};

use weft_protocol::{
    delta,
    formats::{self, Format, Gguf, Header, Reading, TensorInfo, gguf},
    id::{BlobHash, ObjectId},
    manifest::{Card, File, Kind, Manifest, Role, Tensor},
};

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

/// A revision of these safetensors files, with its tensor index.
fn revision(files: &[(&str, &[u8])]) -> Manifest {
    let hash = |bytes: &[u8]| *blake3::hash(bytes).as_bytes();
    let (mut listed, mut tensors) = (Vec::new(), Vec::new());
    for (at, (path, bytes)) in (0_u32..).zip(files) {
        for info in header(Format::Safetensors, bytes).tensors {
            let mut tensor = Tensor::unhashed(at, info);
            tensor.blake3 = ObjectId::new(hash(&bytes[range(&tensor)]));
            tensors.push(tensor);
        }
        listed.push(File {
            path: path.parse().expect("a path"),
            size: bytes.len() as u64,
            blake3: BlobHash::new(hash(bytes)),
            sha256: [0; 32],
            git_sha1: None,
            role: Role::Weights,
            spans: None,
            chunks: None,
        });
    }
    Manifest {
        repository: crate::fixture::Repository::of_length(1).id(),
        kind: Kind::Model,
        parents: vec![],
        files: listed,
        card: Card::default(),
        tensors,
        message: String::new(),
        created: crate::fixture::NOW,
    }
}

fn range(tensor: &Tensor) -> std::ops::Range<usize> {
    let index = |number| usize::try_from(number).expect("it is in memory");
    index(tensor.offset)..index(tensor.offset + tensor.len)
}

/// A safetensors file with these tensors of another.
fn shard(of: &[u8], tensors: &[TensorInfo]) -> Vec<u8> {
    let (mut json, mut data) = (String::new(), Vec::new());
    for tensor in tensors {
        let range = range(&Tensor::unhashed(0, tensor.clone()));
        let begin = data.len();
        data.extend_from_slice(&of[range]);
        let (name, dtype, shape) = (&tensor.name, tensor.dtype, &tensor.shape);
        let comma = if json.is_empty() { '{' } else { ',' };
        let offsets = [begin, data.len()];
        json += &format!(
            r#"{comma}"renamed.{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":{offsets:?}}}"#
        );
    }
    json.push('}');
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.extend(data);
    file
}

#[test]
fn renamed_and_moved_shards_of_wren_are_put_together_from_wren() {
    let whole = file("model.safetensors");
    let mut shuffled = header(Format::Safetensors, &whole).tensors;
    shuffled.reverse();
    let (first, second) = shuffled.split_at(13);
    let shards = [shard(&whole, first), shard(&whole, second)];
    let base = revision(&[("model.safetensors", &whole)]);
    let target = revision(&[
        ("1-of-2.safetensors", &shards[0]),
        ("2-of-2.safetensors", &shards[1]),
    ]);
    let mut held = delta::Held::default();
    held.add(&base, |_| true);
    let plans = delta::plan(&target, &held);
    for (file, bytes) in target.files.iter().zip(&shards) {
        let plan = &plans[&file.blake3];
        for run in plan.runs() {
            for copy in plan.copies(run) {
                let delta::Source::Held { blob, offset } = copy.source else {
                    panic!("safetensors has no padding")
                };
                assert_eq!(blob, base.files[0].blake3);
                let to = usize::try_from(copy.target.start).unwrap()
                    ..usize::try_from(copy.target.end).unwrap();
                let from = usize::try_from(offset).unwrap();
                assert!(bytes[to.clone()] == whole[from..from + to.len()]);
            }
        }
        // Two groups: the header reaches into the second by less than its length.
        let missing = file.size - plan.bytes();
        assert!(missing <= 2 * delta::GROUP_LEN, "{missing} bytes to fetch");
    }
}
