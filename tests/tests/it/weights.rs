//! Headers of small real models that are too large or not ours to keep in this repository.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use weft_protocol::formats::{self, Format, Header, Reading, TensorInfo};
use weft_tests::skipped;

/// The folder of shared models: what `WEFT_SHARED_MODELS` names, or `shared/models` beside the repository.
pub(crate) fn shared(what: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models");
    let folder = env::var_os("WEFT_SHARED_MODELS").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    skipped(&format!("{what}: `WEFT_SHARED_MODELS` names no folder"));
    None
}

fn header(path: &Path) -> Header {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let format = Format::of_path(path.to_str().unwrap()).unwrap();
    match formats::read(format, &bytes, bytes.len() as u64) {
        Ok(Reading::Done(header)) => header,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn every_shared_weight_file_is_understood() {
    let Some(folder) = shared("headers of the shared models") else {
        return;
    };
    for (name, tensors, parameters) in [
        ("all-MiniLM-L6-v2/model.safetensors", 104, 22_713_728),
        ("stories260K/model.safetensors", 47, 260_032),
        ("stories260K/stories260K.F32.gguf", 47, 260_032),
        // Rows of 172 elements are padded to whole blocks there.
        ("stories260K/stories260K.Q8_0.gguf", 47, 279_232),
        ("wren-3m/model.safetensors", 39, 3_410_176),
        ("wren-3m/wren-3m.F32.gguf", 39, 3_410_176),
        ("wren-3m/wren-3m.Q8_0.gguf", 39, 3_410_176),
        ("wren-3m/wren-3m.Q4_K_M.gguf", 39, 3_410_176),
        ("wren-3m-arith/model.safetensors", 40, 3_410_432),
    ] {
        let header = header(&folder.join(name));
        let elements = |tensor: &TensorInfo| tensor.shape.iter().product::<u64>();
        let sum: u64 = header.tensors.iter().map(elements).sum();
        assert_eq!((header.tensors.len(), sum), (tensors, parameters), "{name}");
    }
}
