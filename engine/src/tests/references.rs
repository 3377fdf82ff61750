//! Against transformers, on the same files.

use std::{fs, path::Path};

use serde_json::Value;
use weft_protocol::infer::{Embed, Event, Generate, Job, Prompt, Text};

use super::{Bench, greedy, shared, text, tokens, wren};

/// What a model must say, and how nearly.
struct Expected {
    logits: f32,
    /// Tokens of each continuation that must be the same.
    tokens: usize,
}

const EXACT: Expected = Expected {
    logits: 1e-3,
    tokens: 64,
};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn references(folder: &Path) -> Value {
    read(&folder.join("reference_outputs.json"))
}

/// Holds a model against what transformers said, and prints how near it came.
fn check(model: &Path, references: &Value, expected: &Expected) {
    let (mut farthest, mut same) = (0.0_f32, Vec::new());
    let mut bench = Bench::new(model);
    for case in references["prompts"].as_array().unwrap() {
        let ids = |value: &Value| -> Vec<u32> {
            let ids = value.as_array().unwrap().iter();
            ids.map(|id| id.as_u64().unwrap() as u32).collect()
        };
        let prompt = case["prompt"].as_str().unwrap();
        let encoded = bench.texts.tokenizer.encode(prompt, true).unwrap();
        assert_eq!(encoded, ids(&case["input_ids"]), "{prompt}");
        let ask = Generate {
            fingerprint_every: 64,
            ..greedy(&encoded, 64)
        };
        let events = bench.ask(Job::Generate(ask));
        let Some(Event::Done { fingerprints, .. }) = events.last() else {
            panic!("{events:?}");
        };
        let top = ids(&case["first_step"]["top20_ids"]);
        let logits = case["first_step"]["top20_logits"].as_array().unwrap();
        for (id, logit) in &fingerprints[0].top {
            let Some(at) = top.iter().position(|other| other == id) else {
                continue;
            };
            let difference = (f64::from(logit.get()) - logits[at].as_f64().unwrap()).abs() as f32;
            farthest = farthest.max(difference);
            assert!(
                difference < expected.logits,
                "{prompt}: {id} is off by {difference}"
            );
        }
        let known = top
            .iter()
            .filter(|id| fingerprints[0].top.iter().any(|(other, _)| other == *id));
        assert!(known.count() >= 6, "{prompt}: {:?}", fingerprints[0]);
        let answer = ids(&case["greedy_new_ids"]);
        let ours = tokens(&events);
        let len = answer.len().min(expected.tokens);
        assert_eq!(ours[..len], answer[..len], "{prompt}");
        let equal = ours.iter().zip(&answer).take_while(|(a, b)| a == b);
        same.push(format!("{}/{}", equal.count(), answer.len()));
        if let Some(reference) = case["greedy_text"]
            .as_str()
            .filter(|_| expected.tokens == 64)
        {
            let ours = text(&events);
            assert!(reference.ends_with(&ours), "{reference}\n{ours}");
        }
    }
    let name = model.file_name().unwrap().display();
    eprintln!("{name}: logits within {farthest:.1e}, tokens {same:?}");
}

#[test]
fn wren_in_bfloat16_is_what_transformers_say() {
    let folder = wren();
    check(&folder, &references(&folder), &EXACT);
}

#[test]
fn wren_in_a_gguf_of_floats_is_what_transformers_say() {
    if let Some(folder) = shared("wren-3m") {
        let references = references(&folder);
        check(&folder.join("wren-3m.F32.gguf"), &references, &EXACT);
    }
}

#[test]
fn a_vocabulary_of_sentencepiece_is_what_transformers_say() {
    if let Some(folder) = shared("stories260K") {
        let references = references(&folder);
        check(&folder.join("model.safetensors"), &references, &EXACT);
        check(&folder.join("stories260K.F32.gguf"), &references, &EXACT);
    }
}

fn near(folder: &Path, file: &str, references: &Value, logits: f32) {
    let expected = Expected { logits, tokens: 1 };
    check(&folder.join(file), references, &expected);
}

/// No farther than candle and llama.cpp are with these files, and no farther than Q4_K_M is by itself: taken for the
/// floats that they stand for, its weights are off by 0.337.
#[test]
fn quantized_files_are_near() {
    let all = references(&wren());
    near(&wren(), "wren-3m.Q8_0.gguf", &all, 0.055);
    near(&wren(), "wren-3m.Q4_K_M.gguf", &all, 0.35);
    if let Some(folder) = shared("stories260K") {
        near(
            &folder,
            "stories260K.Q8_0.gguf",
            &references(&folder),
            0.222,
        );
    }
}

#[test]
fn quantized_weights_are_what_they_stand_for() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let all = read(&fixtures.join("dequantized.json"));
    for (file, logits) in [("wren-3m.Q8_0.gguf", 0.04), ("wren-3m.Q4_K_M.gguf", 0.04)] {
        near(&wren(), file, &all[file], logits);
    }
}

#[test]
fn texts_and_conversations_are_answered() {
    let mut bench = Bench::new(&wren());
    let prompt = Prompt::Chat {
        messages: r#"[{"role":"user","content":"What is 2 plus 3?"}]"#.to_owned(),
        tools: None,
        proceed: false,
    };
    let events = bench.ask(Job::Generate(Generate {
        tokens_max: Some(40),
        ..Generate::greedy(prompt)
    }));
    assert!(matches!(events[0], Event::Started { .. }), "{events:?}");
    assert!(text(&events).len() > 3, "{events:?}");
    assert!(!text(&events).contains("<|im_end|>"), "{events:?}");
}

#[test]
fn vectors_are_what_transformers_say() {
    let Some(folder) = shared("all-MiniLM-L6-v2") else {
        return;
    };
    let file = fs::read(folder.join("reference_embeddings.json")).unwrap();
    let references: Value = serde_json::from_slice(&file).unwrap();
    let cases = references["sentences"].as_array().unwrap();
    let inputs = cases
        .iter()
        .map(|case| Text::Plain(case["text"].as_str().unwrap().to_owned()));
    let mut bench = Bench::new(&folder);
    let events = bench.ask(Job::Embed(Embed {
        inputs: inputs.collect(),
        truncate: false,
    }));
    let [Event::Embedded { vectors, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(vectors.len(), cases.len());
    let mut farthest = 0.0_f64;
    for (vector, case) in vectors.iter().zip(cases) {
        let reference = case["embedding"].as_array().unwrap();
        let cosine: f64 = vector
            .iter()
            .zip(reference)
            .map(|(ours, theirs)| f64::from(ours.get()) * theirs.as_f64().unwrap())
            .sum();
        assert!(cosine >= 0.99999, "{}: {cosine}", case["text"]);
        farthest = farthest.max(1.0 - cosine);
    }
    eprintln!("vectors: cosines within {farthest:.1e} of one");
}
