//! What two weft nodes must agree on, and every decision a node takes.
//!
//! This crate is pure: it never opens a file or a socket, never reads a clock, never draws from a
//! global random source and never iterates over an unordered collection. Time and randomness are
//! arguments; effects are values handed back to the caller. `weft-node` carries them out for real,
//! `weft-simulations` carries them out in virtual time, and both drive the very same code.
//!
//! Reading order: [`id`] and [`codec`] (how things are named and written down), [`sign`] and
//! [`identity`] (who speaks), [`manifest`], [`head`], [`log`] and [`accept`] (what a publisher
//! says and when it is believed), [`wire`] (what nodes say to each other), [`swarm`] (which piece
//! to ask of whom) and [`service`] (the one machine that ties it all together).
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]
// A panic in a test is a failed test, and its numbers are small.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::indexing_slicing
    )
)]

pub mod accept;
pub mod codec;
pub mod delta;
pub mod discovery;
pub mod diversity;
pub mod formats;
pub mod freshness;
pub mod head;
pub mod id;
pub mod identity;
pub mod infer;
pub mod layout;
pub mod limits;
pub mod log;
pub mod manifest;
pub mod op;
pub mod path;
pub mod peer_book;
pub mod peer_exchange;
pub mod piece_set;
pub mod reference;
pub mod refs;
pub mod service;
pub mod sign;
pub mod swarm;
pub mod time;
pub mod wire;
