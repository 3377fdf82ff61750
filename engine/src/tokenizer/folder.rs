//! A tokenizer from the files of a folder.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use serde_json::Value;
use weft_protocol::infer::Refusal;

use super::{
    Around, Method, Names, Tokenizer,
    pieces::{self, Spelling},
};
use crate::{
    refusal::{OrRefuse, broken, unsupported},
    weights::{bytes, json},
};

impl Tokenizer {
    /// Reads `tokenizer.json` and what stands beside it.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, Refusal> {
        let Some(file) = bytes(folder, "tokenizer.json")? else {
            return Err(unsupported(
                "the folder has no `tokenizer.json`; other tokenizers are not supported",
            ));
        };
        let config = json(folder, "config.json")?.unwrap_or_default();
        let generation = json(folder, "generation_config.json")?.unwrap_or_default();
        let told = json(folder, "tokenizer_config.json")?.unwrap_or_default();
        let mut tokenizer = parse(&file)?;
        // Some files cut and fill texts to the length of one training run.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .or_broken(|| "`tokenizer.json`".to_owned())?;
        let spelling = spelling(&tokenizer)?;
        let added = tokenizer.get_added_tokens_decoder();
        let len = tokenizer.get_vocab_size(true).max(
            added
                .keys()
                .max()
                .map_or(0, |id| (*id as usize).saturating_add(1)),
        );
        if len > 1 << 24 {
            return Err(broken(format!("`tokenizer.json` has {len} ids")));
        }
        let mut control = BTreeSet::new();
        let pieces = (0..len as u32)
            .map(|id| match added.get(&id) {
                Some(token) => {
                    if token.special {
                        control.insert(id);
                    }
                    token.content.as_bytes().into()
                }
                None => tokenizer
                    .id_to_token(id)
                    .map_or_else(Box::default, |token| pieces::bytes(&token, spelling)),
            })
            .collect();
        let name = |key: &str| {
            let value = &told[key];
            let text = value.as_str().or_else(|| value["content"].as_str());
            text.map(str::to_owned)
        };
        let names = Names {
            bos: name("bos_token"),
            eos: name("eos_token"),
            unk: name("unk_token"),
            pad: name("pad_token"),
        };
        let text = config.get("text_config").unwrap_or(&config);
        let mut ends: BTreeSet<u32> = [&generation, &config, text]
            .into_iter()
            .flat_map(|from| ids(&from["eos_token_id"]))
            .collect();
        ends.extend(
            names
                .eos
                .as_ref()
                .and_then(|eos| tokenizer.token_to_id(eos)),
        );
        Ok(Self {
            method: Method::Library {
                tokenizer: Box::new(tokenizer),
                around: Around::default(),
            },
            pieces,
            control,
            ends,
            names,
        })
    }
}

/// Reads a tokenizer. The library trusts its files more than we do: a panic of its is an error.
fn parse(file: &[u8]) -> Result<tokenizers::Tokenizer, Refusal> {
    catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(file)))
        .unwrap_or_else(|_| Err("it cannot be read".into()))
        .or_broken(|| "`tokenizer.json`".to_owned())
}

fn ids(value: &Value) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(several) => several.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// How the vocabulary writes bytes, from the way it is decoded.
fn spelling(tokenizer: &tokenizers::Tokenizer) -> Result<Spelling, Refusal> {
    let decoder = match tokenizer.get_decoder() {
        None => return Ok(Spelling::Words),
        Some(decoder) => serde_json::to_string(decoder)
            .or_broken(|| "the decoder of `tokenizer.json`".to_owned())?,
    };
    Ok(if decoder.contains("\"ByteLevel\"") {
        Spelling::Characters
    } else if decoder.contains("\"WordPiece\"") {
        Spelling::Words
    } else {
        Spelling::Blocks
    })
}
