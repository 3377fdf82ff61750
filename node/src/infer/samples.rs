//! Events for tests.

use weft_protocol::infer::{Event, Finish, Usage};

pub(super) fn text(text: &str) -> Event {
    Event::Tokens {
        text: text.to_owned(),
        tokens: Vec::new(),
    }
}

pub(super) fn done() -> Event {
    Event::Done {
        finish: Finish::Stop,
        usage: Usage::default(),
        fingerprints: Vec::new(),
    }
}
