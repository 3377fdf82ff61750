//! Answers that have to be JSON.
//!
//! A small machine reads bytes and knows at each of them what may follow. A token may come next if the machine can
//! read all its bytes. Where a schema leaves several ways open, the machine is in several states at once.

mod machine;
mod schema;

use machine::State;
use schema::Schema;
use weft_protocol::infer::{self, Refusal};

use crate::tokenizer::Tokenizer;

/// States at once; schemas in use need a few.
const STATES_MAX: usize = 256;

/// What an answer has to be, and how far it is.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    schema: std::sync::Arc<Schema>,
    states: Vec<State>,
}

impl Form {
    /// Reads what is asked for.
    pub(crate) fn new(ask: &infer::Constraint) -> Result<Self, Refusal> {
        let schema = match ask {
            infer::Constraint::Json => Schema::any_object(),
            infer::Constraint::Schema(text) => Schema::parse(text)?,
        };
        let states = vec![State::new(schema.root())];
        Ok(Self {
            schema: schema.into(),
            states,
        })
    }

    /// Reads the bytes of a token. Whether they fit; if not, nothing may follow any more.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            let mut next: Vec<State> = Vec::new();
            for state in &self.states {
                state.read(*byte, &self.schema, &mut |state| {
                    if next.len() < STATES_MAX && !next.contains(&state) {
                        next.push(state);
                    }
                });
            }
            self.states = next;
            if self.states.is_empty() {
                return false;
            }
        }
        true
    }

    /// Whether the answer could end here.
    pub(crate) fn may_end(&self) -> bool {
        self.states.iter().any(State::may_end)
    }

    /// Whether nothing but the end can follow.
    pub(crate) fn is_whole(&self) -> bool {
        self.states.iter().all(State::is_over)
    }
}

/// What may come next.
#[derive(Debug)]
pub(crate) struct Constraint<'a> {
    pub(crate) form: &'a Form,
    pub(crate) tokenizer: &'a Tokenizer,
}

impl Constraint<'_> {
    /// Whether a token may come next.
    pub(crate) fn allows(&self, id: u32) -> bool {
        if self.tokenizer.is_end(id) {
            return self.form.may_end();
        }
        let piece = self.tokenizer.piece(id);
        !piece.is_empty() && !self.tokenizer.is_control(id) && self.form.clone().push(piece)
    }
}

#[cfg(test)]
mod tests;
