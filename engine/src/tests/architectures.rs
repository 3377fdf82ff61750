//! Families against transformers, on tiny models whose weights follow from their names.
//!
//! `fixtures/make.py` wrote what transformers say; it says how weights are made as well.

use std::{fs, path::Path, sync::atomic::AtomicBool};

use serde_json::{Value, json};

use super::Bench;
use crate::{
    Options,
    decoder::{Cache, Chunk},
    model::{self, Network},
};

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

pub(super) fn values(name: &str, shape: &[usize], plus_one: bool) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let is_norm = name.to_ascii_lowercase().ends_with("norm.weight");
    let one = shape.len() == 1 && is_norm && plus_one;
    let scale = match shape {
        [_] => 0.1,
        _ => 1.7 / (*shape.last().unwrap() as f64).sqrt(),
    };
    (0..shape.iter().product::<usize>() as u64)
        .map(|index| {
            let bits = mix(seed.wrapping_add(index)) >> 40;
            let even = bits as f64 / f64::from(1 << 23) - 1.0;
            (even * scale) as f32 + f32::from(u8::from(one))
        })
        .collect()
}

/// Writes a folder with the model of a fixture.
pub(super) fn write(fixture: &Value, folder: &Path) {
    let mut header = serde_json::Map::new();
    let mut bytes = Vec::new();
    for tensor in fixture["tensors"].as_array().unwrap() {
        let name = tensor[0].as_str().unwrap();
        let shape: Vec<usize> = serde_json::from_value(tensor[1].clone()).unwrap();
        let start = bytes.len();
        let plus_one = fixture["norms_plus_one"].as_bool().unwrap();
        for value in values(name, &shape, plus_one) {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let place = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, bytes.len()]});
        header.insert(name.to_owned(), place);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(&header);
    file.extend_from_slice(&bytes);
    fs::write(folder.join("model.safetensors"), file).unwrap();
    let config = serde_json::to_vec(&fixture["config"]).unwrap();
    fs::write(folder.join("config.json"), config).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer()).unwrap();
}

/// A vocabulary of 64 letters.
fn tokenizer() -> Vec<u8> {
    let vocabulary: serde_json::Map<_, _> = (0..64_u32)
        .map(|id| (char::from_u32(0x41 + id).unwrap().to_string(), json!(id)))
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocabulary, "merges": []},
    });
    serde_json::to_vec(&file).unwrap()
}

pub(super) fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a model says of each token, all at once.
pub(super) fn logits(options: &Options, tokens: &[u32]) -> Vec<Vec<f32>> {
    let model = model::load(options).unwrap();
    let Network::Decoder { decoder, .. } = &model.network else {
        panic!("a decoder");
    };
    let mut cache = Cache::new(decoder.shape()).unwrap();
    let mut chunk = [Chunk {
        cache: &mut cache,
        tokens,
        wanted: (0..tokens.len()).collect(),
    }];
    decoder.forward(&mut chunk).unwrap()
}

/// With kernels of our own, and with candle's.
fn check(name: &str) {
    let fixture = fixture(name);
    let folder = tempfile::tempdir().unwrap();
    write(&fixture, folder.path());
    let mut options = Options::new(folder.path());
    check_with(name, &fixture, &options);
    options.candle = true;
    check_with(name, &fixture, &options);
}

fn check_with(name: &str, fixture: &Value, options: &Options) {
    let model = model::load(options).unwrap();
    let candle = options.candle;
    assert_eq!(model.description.kernel_class.starts_with("candle"), candle);
    let Network::Decoder { decoder, .. } = &model.network else {
        panic!("a decoder");
    };
    let tokens: Vec<u32> = serde_json::from_value(fixture["tokens"].clone()).unwrap();
    // At once, in pieces, and token by token: the memory must not matter.
    for piece in [tokens.len(), 10, 1] {
        let mut cache = Cache::new(decoder.shape()).unwrap();
        let mut logits = Vec::new();
        for tokens in tokens.chunks(piece) {
            let mut chunk = [Chunk {
                cache: &mut cache,
                tokens,
                wanted: (0..tokens.len()).collect(),
            }];
            let stopped = decoder.forward_until(&AtomicBool::new(true), &mut chunk);
            assert!(stopped.unwrap().is_none());
            logits.extend(decoder.forward(&mut chunk).unwrap());
        }
        for (row, expected) in fixture["logits"].as_object().unwrap() {
            let ours = &logits[row.parse::<usize>().unwrap()];
            let theirs: Vec<f32> = serde_json::from_value(expected.clone()).unwrap();
            let difference = ours
                .iter()
                .zip(&theirs)
                .map(|(ours, theirs)| (ours - theirs).abs())
                .fold(0.0, f32::max);
            assert!(
                difference < 1e-4,
                "{name} in pieces of {piece}, row {row}: off by {difference}\n{ours:?}\n{theirs:?}"
            );
        }
    }
}

macro_rules! families {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )* };
}

families!(
    llama, mistral, mixtral, qwen2, qwen3, qwen3_moe, gemma, gemma2, gemma3, phi, phi3, glm4,
    smollm3
);

#[test]
fn several_sequences_in_one_pass_do_not_see_each_other() {
    let fixture = fixture("mistral");
    let folder = tempfile::tempdir().unwrap();
    write(&fixture, folder.path());
    let mut bench = Bench::new(folder.path());
    let prompts: Vec<Vec<u32>> = (1..=8_u32)
        .map(|n| (0..n * 3).map(|i| (i * n + n) % 60 + 2).collect())
        .collect();
    let alone: Vec<_> = prompts.iter().map(|ids| bench.greedy(ids, 20)).collect();
    let jobs: Vec<u64> = prompts
        .iter()
        .map(|ids| {
            let ask = super::greedy(ids, 20);
            bench.start(weft_protocol::infer::Job::Generate(ask))
        })
        .collect();
    let events = bench.finish(jobs.len());
    for (job, alone) in jobs.iter().zip(alone) {
        let own: Vec<_> = events
            .iter()
            .filter(|(other, _)| other == job)
            .map(|(_, event)| event.clone())
            .collect();
        assert_eq!(super::tokens(&own), alone);
    }
}
