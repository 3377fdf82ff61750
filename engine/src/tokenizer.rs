//! Text into token ids and back.
//!
//! Answers are put together from the bytes of their tokens, so that a character that spans tokens is told when it is
//! whole, and never as a replacement character before.

mod bpe;
mod folder;
mod gguf;
mod pieces;
mod spm;
mod stream;

use std::collections::BTreeSet;

use spm::Spm;
pub(crate) use stream::Stream;
use weft_protocol::infer::Refusal;

use crate::refusal::invalid;

/// Longest text that is looked at: a million tokens' worth.
const TEXT_LEN_MAX: usize = 8 * 1024 * 1024;

/// A vocabulary and how to use it.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    method: Method,
    /// Bytes of each token, by id; control tokens have their name.
    pieces: Vec<Box<[u8]>>,
    /// Control tokens: part of the format, not of the text.
    control: BTreeSet<u32>,
    /// Tokens that end an answer.
    ends: BTreeSet<u32>,
    /// What chat templates ask for by name.
    names: Names,
}

/// Texts of tokens with a role.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    pub(crate) bos: Option<String>,
    pub(crate) eos: Option<String>,
    pub(crate) unk: Option<String>,
    pub(crate) pad: Option<String>,
}

#[derive(Debug)]
enum Method {
    /// By the library that wrote `tokenizer.json`.
    Library {
        tokenizer: Box<tokenizers::Tokenizer>,
        /// Put before and behind a text by us.
        around: Around,
    },
    /// SentencePiece's merging by score, from a GGUF's own vocabulary.
    Spm { spm: Box<Spm>, around: Around },
}

/// Tokens before and behind a text that the library does not know of.
#[derive(Debug, Default)]
struct Around {
    before: Option<u32>,
    behind: Option<u32>,
}

impl Around {
    fn put(&self, ids: &mut Vec<u32>) {
        if let Some(id) = self.before {
            ids.insert(0, id);
        }
        ids.extend(self.behind);
    }
}

impl Tokenizer {
    /// Token ids of a text; `whole` puts what the model wants at the start before it.
    pub(crate) fn encode(&self, text: &str, whole: bool) -> Result<Vec<u32>, Refusal> {
        if text.len() > TEXT_LEN_MAX {
            return Err(invalid(format!(
                "the text has {} bytes, more than the {TEXT_LEN_MAX} allowed",
                text.len()
            )));
        }
        match &self.method {
            Method::Library { tokenizer, around } => {
                let encoding = tokenizer
                    .encode_fast(text, whole)
                    .map_err(|error| Refusal::Failed(format!("the tokenizer: {error}")))?;
                let mut ids = encoding.get_ids().to_vec();
                if whole {
                    around.put(&mut ids);
                }
                Ok(ids)
            }
            Method::Spm { spm, around } => {
                let mut ids = spm.encode(text);
                if whole {
                    around.put(&mut ids);
                }
                Ok(ids)
            }
        }
    }

    /// Bytes of a token; none for ids that have no text.
    pub(crate) fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id as usize).map_or(&[], |piece| piece)
    }

    /// Whether a token is part of the format rather than of the text.
    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.control.contains(&id)
    }

    pub(crate) fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// One more token that ends an answer, as a chat template has it.
    pub(crate) fn add_end(&mut self, id: u32) {
        self.ends.insert(id);
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }
}
