//! Asking a model: what is asked, what comes back, and why not.
//!
//! The same messages travel over two kinds of pipe: between a node and the process in which it runs a model, and
//! between a node and a peer that hosts one. Each is one deterministic CBOR item in a frame of its own. Nothing in
//! here runs a model.

pub mod account;
pub mod admission;
pub mod audit;
pub mod engine;
pub mod event;
pub mod hosts;
pub mod job;
pub mod model;
pub mod peer;
mod real;
pub mod receipt;

pub use account::Account;
pub use engine::{Description, FromEngine, Rank, ToEngine};
pub use event::{Candidate, Ended, Event, Fingerprint, Finish, Refusal, Retold, Sampled, Usage};
pub use job::{Constraint, Embed, Generate, Job, Prompt, Said, Sampling, Score, Terms, Text};
pub use model::ModelId;
pub use real::Real;
pub use receipt::{Complaint, Numerics, Receipt};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn frames_of_an_engine_read_back_and_cut_ones_do_not() {
        let start = ToEngine::Start {
            job: 7,
            rank: Rank::Known,
            what: Box::new(Job::Generate(Generate {
                stop: vec!["\n".to_owned()],
                logprobs: Some(2),
                constraint: Some(Constraint::Schema("{}".to_owned())),
                ..Generate::greedy(Prompt::Text {
                    text: "Once".to_owned(),
                    raw: false,
                })
            })),
        };
        let event = FromEngine::Event {
            job: 7,
            event: Event::Done {
                finish: Finish::Stop,
                usage: Usage::default(),
                fingerprints: vec![Fingerprint {
                    position: 0,
                    top: vec![(3, Real::new(-1.5))],
                }],
            },
        };
        let (asked, told) = (encode(&start), encode(&event));
        assert_eq!(decode(&asked), Ok(start));
        assert_eq!(decode(&told), Ok(event));
        for len in 0..asked.len() {
            assert!(decode::<ToEngine>(&asked[..len]).is_err());
        }
        for len in 0..told.len() {
            assert!(decode::<FromEngine>(&told[..len]).is_err());
        }
    }
}
