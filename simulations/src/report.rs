//! What a run tells: one object of figures, and the curves behind them.

pub mod book;
mod made;
mod picture;

use std::fmt;

use serde::{Deserialize, Serialize};

/// The figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: String,
    /// Hosts that fetch.
    pub peers: usize,
    /// Pieces of what they fetch.
    pub pieces: u64,
    /// What the run was made of.
    pub seed: u64,
    /// Bytes of what they fetch.
    pub bytes: u64,
    /// Honest hosts that were to finish.
    pub expected: usize,
    /// Of those, hosts that did.
    pub completed: usize,
    /// Seconds until the last of them had everything.
    pub last_seconds: f64,
    /// Seconds until half of them had.
    pub p50_seconds: f64,
    /// Nobody can be faster than this: the seed's line, the slowest line down, or all lines up together.
    pub bound_seconds: f64,
    /// The last one against the bound.
    pub ratio_last: f64,
    /// Copies of everything that the seed sent.
    pub seed_copies: f64,
    /// Bytes that honest hosts received beyond what they needed, as a share of what they needed.
    pub duplicate_fraction: f64,
    /// Seconds until the last free rider had everything, if there are any; and the median of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub riders: Option<(f64, f64)>,
    /// Liars, and how many of them somebody named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liars_named: Option<(usize, usize)>,
    /// Things that happened in the run.
    pub events: u64,
    /// Fingerprint of everything that was done.
    pub trace_hash: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, seed {}: {} of {} hosts have {} pieces; last after {:.1} s, half after {:.1} s, bound {:.1} s: {:.3} \
             times; the seed sent {:.2} copies; {:.2} % more than needed; {} events; trace {}",
            self.scenario,
            self.seed,
            self.completed,
            self.expected,
            self.pieces,
            self.last_seconds,
            self.p50_seconds,
            self.bound_seconds,
            self.ratio_last,
            self.seed_copies,
            self.duplicate_fraction * 100.0,
            self.events,
            self.trace_hash,
        )
    }
}

/// One look at a running crowd.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Seconds since the crowd began.
    pub seconds: f64,
    /// Share of the expected hosts that have everything.
    pub finished: f64,
    /// Share of all bytes that the expected hosts have.
    pub held: f64,
    /// Copies of the rarest piece.
    pub copies_min: f64,
    /// Copies of a piece on average.
    pub copies_mean: f64,
}

/// What one host gave and took, in copies of everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Copies sent.
    pub sent: f64,
    /// Copies received.
    pub received: f64,
    /// What it is.
    pub role: Role,
}

/// Part of a host in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It had everything at the start.
    Seed,
    /// It fetches and shares.
    Peer,
    /// It does not serve as it should.
    Adversary,
}

/// A run, to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its figures.
    pub report: Report,
    /// How it went, in order of time.
    pub moments: Vec<Moment>,
    /// Seconds at which honest hosts finished, ascending.
    pub finished: Vec<f64>,
    /// What each host gave and took.
    pub shares: Vec<Share>,
}
