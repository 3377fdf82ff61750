//! One binary with every test that needs whole programs or the whole repository.
//!
//! Process tests run real `weft` nodes on loopback; see `weft_tests` for how they are driven. Each
//! test has a world of its own and leaves nothing behind.
#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in test functions, but not in their helpers here"
)]

mod dependency_rule;
mod tidy;

mod abuse;
mod anchors;
mod ask;
mod audits;
mod complaints;
mod conversation;
mod crash;
mod delta;
mod disk;
mod engines;
mod forgery;
mod gateway;
mod growth;
mod hf_cache;
mod hub;
mod hub_writes;
mod identity;
mod liars;
mod limits;
mod mirror;
mod model_lists;
mod overhead;
mod peers;
mod publish_fetch;
mod quiet;
mod refusals;
mod restart;
mod silence;
mod swarm;
mod upstream;
mod web_seed;
mod weights;
mod xet;
