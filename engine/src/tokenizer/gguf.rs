//! A tokenizer from the vocabulary in a GGUF file.

use std::collections::BTreeSet;

use weft_protocol::{
    formats::{
        Gguf,
        gguf::{Array, Value},
    },
    infer::Refusal,
};

use super::{
    Around, Method, Names, Tokenizer, bpe,
    pieces::{self, Spelling},
    spm::Spm,
};
use crate::refusal::{broken, unsupported};

/// Token types as files number them.
mod kind {
    pub(super) const UNKNOWN: u64 = 2;
    pub(super) const CONTROL: u64 = 3;
    pub(super) const USER: u64 = 4;
    pub(super) const BYTE: u64 = 6;
}

/// Names of tokens that end a turn or a text, wherever they are control tokens.
const ENDS: [&str; 12] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<|eot|>",
    "<EOT>",
    "<eos>",
    "</s>",
    "<|user|>",
];

impl Tokenizer {
    /// Builds the tokenizer that the file describes.
    pub(crate) fn of_gguf(gguf: &Gguf<'_>) -> Result<Self, Refusal> {
        let get = |key: &str| gguf.get(&format!("tokenizer.ggml.{key}"));
        let array = |key: &str| get(key).and_then(Value::as_array);
        let number = |key: &str| get(key)?.as_u64().and_then(|id| u32::try_from(id).ok());
        let is = |key: &str| get(key).and_then(Value::as_bool);
        let tokens = texts(array("tokens"), "tokens")?;
        let kinds: Vec<u64> = array("token_type")
            .map(|kinds| {
                kinds
                    .into_iter()
                    .map(|kind| kind.as_u64().unwrap_or(1))
                    .collect()
            })
            .unwrap_or_default();
        let kind = |id: usize| kinds.get(id).copied().unwrap_or(1);
        let model = get("model").and_then(Value::as_str).unwrap_or_default();
        let special: Vec<(u32, &str, bool)> = (0_u32..)
            .zip(&tokens)
            .filter(|(id, _)| {
                matches!(
                    kind(*id as usize),
                    kind::CONTROL | kind::USER | kind::UNKNOWN
                )
            })
            .map(|(id, text)| (id, text.as_str(), kind(id as usize) != kind::USER))
            .collect();
        let bos = number("bos_token_id");
        let eos = number("eos_token_id");
        let around = |bos_default| Around {
            before: bos.filter(|_| is("add_bos_token").unwrap_or(bos_default)),
            behind: eos.filter(|_| is("add_eos_token").unwrap_or(false)),
        };
        let (method, spelling) = match model {
            "llama" => {
                let scores: Vec<f32> = array("scores")
                    .map(|scores| {
                        let score = |score: Value<'_>| score.as_f64().unwrap_or_default() as f32;
                        scores.into_iter().map(score).collect()
                    })
                    .unwrap_or_default();
                if scores.len() < tokens.len() {
                    return Err(broken("the vocabulary has tokens without scores"));
                }
                let prefix = is("add_space_prefix").unwrap_or(true);
                let bytes = (0_u32..)
                    .zip(&tokens)
                    .filter(|(id, _)| kind(*id as usize) == kind::BYTE)
                    .filter_map(|(id, text)| Some((pieces::fallback(text)?, id)));
                let unknown = number("unknown_token_id").or_else(|| number("unk_token_id"));
                let spm = Spm::new(&tokens, &scores, bytes, &special, unknown, prefix);
                let around = around(true);
                (
                    Method::Spm {
                        spm: Box::new(spm),
                        around,
                    },
                    Spelling::Blocks,
                )
            }
            "gpt2" => {
                let merges = texts(array("merges"), "merges")?;
                let pre = get("pre").and_then(Value::as_str).unwrap_or("default");
                let tokenizer = bpe::build(&tokens, &merges, pre, &special)?;
                // Only one family puts its first token there unless told otherwise.
                let around = around(matches!(
                    pre,
                    "llama-bpe" | "llama3" | "llama-v3" | "tekken"
                ));
                (
                    Method::Library {
                        tokenizer: Box::new(tokenizer),
                        around,
                    },
                    Spelling::Characters,
                )
            }
            other => {
                return Err(unsupported(format!(
                    "the vocabulary model `{other}` is not supported; supported are llama (SPM) and gpt2 (BPE)"
                )));
            }
        };
        let pieces = (0_usize..)
            .zip(&tokens)
            .map(|(id, text)| match kind(id) {
                kind::CONTROL | kind::USER | kind::UNKNOWN => text.as_bytes().into(),
                _ => pieces::bytes(text, spelling),
            })
            .collect();
        let control: BTreeSet<u32> = special
            .iter()
            .filter(|(_, _, control)| *control)
            .map(|(id, ..)| *id)
            .collect();
        let mut ends: BTreeSet<u32> = ["eos_token_id", "eot_token_id", "eom_token_id"]
            .into_iter()
            .filter_map(number)
            .collect();
        for (id, text, _) in &special {
            // The last of the names opens a turn in one family that has no token to close one.
            if ENDS.contains(text) && (*text != "<|user|>" || gguf.architecture() == Some("glm4")) {
                ends.insert(*id);
            }
        }
        let name = |id: Option<u32>| tokens.get(id? as usize).cloned();
        Ok(Self {
            method,
            pieces,
            control,
            ends,
            names: Names {
                bos: name(bos),
                eos: name(eos),
                unk: name(number("unknown_token_id")),
                pad: name(number("padding_token_id")),
            },
        })
    }
}

fn texts(array: Option<Array<'_>>, what: &str) -> Result<Vec<String>, Refusal> {
    let array = array.ok_or_else(|| broken(format!("the file has no vocabulary {what}")))?;
    array
        .into_iter()
        .map(|text| {
            // Some vocabularies have tokens that are no text; no merge leads to them.
            text.as_bytes()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .ok_or_else(|| broken(format!("the vocabulary {what} are no texts")))
        })
        .collect()
}
