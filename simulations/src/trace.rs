//! The fingerprint of a run: every input and every output of every machine, with its time.
//!
//! What is hashed is short: time, host, kind, and the numbers that tell two things of one kind apart. Writing
//! everything out as text is possible too, and an order of magnitude slower.

use std::{fmt::Debug, hash::Hash};

use weft_protocol::service::{Input, Output};

use crate::HostId;

/// Bytes that are hashed at a time.
const BATCH: usize = 64 * 1024;

/// A running fingerprint.
#[derive(Default)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    batch: Vec<u8>,
    text: Option<Box<dyn std::io::Write>>,
}

impl Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

impl Trace {
    /// Writes everything out as well.
    pub(crate) fn tell(&mut self, text: Box<dyn std::io::Write>) {
        self.text = Some(text);
    }

    /// What was done so far.
    pub(crate) fn finish(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.batch);
        hasher.finalize().to_hex().to_string()
    }

    pub(crate) fn input(&mut self, now: u64, host: HostId, input: &Input) {
        self.text(now, host, input);
        self.head(now, host, &std::mem::discriminant(input), b'<');
        self.numbers(input_numbers(input));
    }

    pub(crate) fn output(&mut self, now: u64, host: HostId, output: &Output) {
        self.text(now, host, output);
        self.head(now, host, &std::mem::discriminant(output), b'>');
        self.numbers(output_numbers(output));
    }

    fn text(&mut self, now: u64, host: HostId, what: &dyn Debug) {
        if let Some(text) = &mut self.text {
            // A trace that cannot be written is not worth ending a run for.
            let _ = writeln!(text, "{:>12.6} {:>5} {what:?}", now as f64 / 1e6, host.0);
        }
    }

    fn head(&mut self, now: u64, host: HostId, kind: &impl Hash, direction: u8) {
        if self.batch.len() >= BATCH {
            self.hasher.update(&self.batch);
            self.batch.clear();
        }
        self.batch.push(direction);
        self.batch.extend(now.to_le_bytes());
        self.batch.extend(host.line().to_le_bytes());
        kind.hash(&mut Bytes(&mut self.batch));
    }

    fn numbers(&mut self, numbers: [u64; 3]) {
        for number in numbers {
            self.batch.extend(number.to_le_bytes());
        }
    }
}

/// Takes a hashable value's bytes as they are.
struct Bytes<'a>(&'a mut Vec<u8>);

impl std::hash::Hasher for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn node(node: &weft_protocol::id::NodeId) -> u64 {
    node.as_bytes()
        .last_chunk::<8>()
        .map_or(0, |last| u64::from_be_bytes(*last))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is rare is told apart by time, host and kind"
)]
fn input_numbers(input: &Input) -> [u64; 3] {
    match input {
        Input::Availability {
            peer,
            blob: _,
            have,
        } => [node(peer), u64::from(have.count()), 0],
        Input::PeerConnected { peer, .. } | Input::PeerDisconnected { peer } => [node(peer), 0, 0],
        Input::AvailabilityGained { peer, pieces, .. } => {
            [node(peer), u64::from(pieces.start), u64::from(pieces.end)]
        }
        Input::UploadAsked { upload, peer, .. } => [upload.0, node(peer), 0],
        Input::UploadProgress { upload, bytes } | Input::UploadEnded { upload, bytes } => {
            [upload.0, *bytes, 0]
        }
        Input::PiecesProgress { request, bytes } => [request.0, *bytes, 0],
        Input::PiecesFetched { request, result } => [request.0, u64::from(result.is_ok()), 0],
        Input::Committed { request, result } => [request.0, u64::from(result.is_ok()), 0],
        Input::Response { request, result } => [request.0, u64::from(result.is_ok()), 0],
        Input::Request { peer, request, .. } => [node(peer), request.0, 0],
        _ => [0; 3],
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is rare is told apart by time, host and kind"
)]
fn output_numbers(output: &Output) -> [u64; 3] {
    match output {
        Output::FetchPieces {
            request,
            peer,
            pieces,
            ..
        } => [
            request.0,
            node(peer),
            u64::from(pieces.start) << 32 | u64::from(pieces.end),
        ],
        Output::StartUpload { upload } | Output::RefuseUpload { upload } => [upload.0, 0, 0],
        Output::CancelPieces { request } => [request.0, 0, 0],
        Output::Observe { peer, .. } | Output::Unobserve { peer, .. } => [node(peer), 0, 0],
        Output::SendRequest { request, peer, .. } => [request.0, node(peer), 0],
        Output::Connect { peer, .. } | Output::Ban { peer } => [node(peer), 0, 0],
        Output::Commit { request, .. } => [request.0, 0, 0],
        _ => [0; 3],
    }
}
