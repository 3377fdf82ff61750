//! Logits to the last bit: the same on every processor, and whatever is computed beside them.

use std::{env, path::Path, process::Command};

use super::{architectures, wren};
use crate::{
    Options,
    decoder::{Cache, Chunk},
    model::{self, Network},
};

/// Models with the first eight bytes of the BLAKE3 of what [`bits`] says of them. If they become red and the file is not
/// read otherwise, the rounding has changed and needs another number (`weft_kernels::ROUNDING`).
const KNOWN: [(&str, &str); 16] = [
    ("wren-3m", "f8473fd0e1c66835"),
    ("wren-3m.Q8_0.gguf", "e62cf501627d917a"),
    ("wren-3m.Q4_K_M.gguf", "35c7a18620b638cc"),
    ("llama", "bed0366f454c5154"),
    ("mistral", "ae28603c10bce62b"),
    ("mixtral", "060195f0b1ebc406"),
    ("qwen2", "88c51bcfb08c532d"),
    ("qwen3", "d6d609f703b91ff4"),
    ("qwen3_moe", "082779545eadc191"),
    ("gemma", "6a9112cc8064abe5"),
    ("gemma2", "14760ce2a24d3f11"),
    ("gemma3", "f99bfe754f1c31e9"),
    ("phi", "23e4347b3afe0d8b"),
    ("phi3", "0f93f07359b3f97e"),
    ("glm4", "ab5ae9c2bfe4331c"),
    ("smollm3", "2cf61d614ce68a98"),
];

/// Logits of all tokens, read in pieces of the sizes given, by turns.
fn bits(path: &Path, sizes: &[usize]) -> Vec<u8> {
    let model = model::load(&Options::new(path)).unwrap();
    assert_eq!(model.description.kernel_class, weft_kernels::ROUNDING);
    let Network::Decoder { decoder, .. } = &model.network else {
        panic!("a decoder");
    };
    let vocabulary = decoder.config().vocabulary;
    let len = 150.min(decoder.config().context_max);
    let ids: Vec<u32> = (0..len)
        .map(|at| ((at * 7919 + 13) % vocabulary) as u32)
        .collect();
    let mut cache = Cache::new(decoder.shape()).unwrap();
    let (mut bits, mut left) = (Vec::new(), ids.as_slice());
    for size in sizes.iter().cycle() {
        let (tokens, later) = left.split_at((*size).min(left.len()));
        left = later;
        if tokens.is_empty() {
            break;
        }
        let chunk = Chunk {
            cache: &mut cache,
            tokens,
            wanted: (0..tokens.len()).collect(),
        };
        let logits = decoder.forward(&mut [chunk]).unwrap();
        bits.extend(logits.iter().flatten().flat_map(|x| x.to_le_bytes()));
    }
    bits
}

#[test]
fn logits_are_known_to_the_bit() {
    if let Ok(wanted) = env::var("WEFT_KERNELS") {
        assert!(wanted == weft_kernels::instructions() || wanted != "portable");
    }
    let mut seen = Vec::new();
    for (name, _) in KNOWN {
        let folder = tempfile::tempdir().unwrap();
        let path = match name {
            "wren-3m" => wren(),
            file if file.contains('.') => wren().join(file),
            fixture => {
                architectures::write(&architectures::fixture(fixture), folder.path());
                folder.path().to_owned()
            }
        };
        let at_once = bits(&path, &[usize::MAX]);
        for sizes in [&[1][..], &[7, 1, 30]] {
            assert!(bits(&path, sizes) == at_once, "{name}, pieces of {sizes:?}");
        }
        let hash = blake3::hash(&at_once).to_hex();
        seen.push((name, hash[..16].to_owned()));
    }
    assert!(
        seen.iter()
            .zip(KNOWN)
            .all(|((_, seen), (_, known))| seen == known),
        "{seen:#?}"
    );
}

/// A process has one kind of instructions, so others are tried in others.
#[test]
fn all_instructions_compute_the_same_bits() {
    for kernels in ["x86_64-avx2", "portable"] {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "tests::exact::logits_are_known_to_the_bit"])
            .env("WEFT_KERNELS", kernels)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("1 passed"), "{kernels}: {said}");
    }
}
