//! Transfers in flight, and when one counts as stalled.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    piece_set::PieceSet,
    service::RequestId,
    time::Instant,
};

/// One `FetchPieces` that has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Transfer {
    pub(crate) peer: NodeId,
    pub(crate) blob: BlobHash,
    pub(crate) range: PieceRange,
    pub(crate) bytes_expected: u64,
    /// Bytes reported so far.
    pub(crate) bytes: u64,
    pub(crate) started: Instant,
    /// Last moment at which bytes arrived, or the start.
    pub(crate) progressed: Instant,
    /// Its pieces were given up; only its end is awaited.
    pub(crate) cancelled: bool,
    /// When it must be over, judged by the peer's own rate.
    pub(crate) deadline: Instant,
}

/// No byte for this long is a stall, however slow the link: a 16 KiB chunk group fits a 16 kbit/s line.
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(10);
/// A transfer gets this many times the time that the peer's own rate would need…
const SLOWNESS: u32 = 8;
/// …but at least this long.
const DEADLINE_MIN: Duration = Duration::from_secs(60);

impl Transfer {
    pub(crate) fn new(
        now: Instant,
        peer: NodeId,
        blob: BlobHash,
        range: PieceRange,
        bytes_expected: u64,
        rate: Option<u64>,
    ) -> Self {
        // An unknown rate gives an hour: the stall rule alone decides then.
        let expected = rate.map_or(Duration::from_secs(450), |rate| {
            Duration::from_millis(bytes_expected.saturating_mul(1_000) / rate.max(1))
        });
        Self {
            peer,
            blob,
            range,
            bytes_expected,
            bytes: 0,
            started: now,
            progressed: now,
            cancelled: false,
            deadline: now + expected.saturating_mul(SLOWNESS).max(DEADLINE_MIN),
        }
    }

    /// When it counts as stalled unless bytes arrive before.
    pub(crate) fn stalls_at(&self) -> Instant {
        (self.progressed + STALL_AFTER).min(self.deadline)
    }

    /// Whether a second peer should try the same pieces once nothing else is left to do.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        let elapsed = now.since(self.started);
        if elapsed < ENDGAME_AFTER {
            return false;
        }
        let rate = self.bytes.saturating_mul(1_000)
            / u64::try_from(elapsed.as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
        let left = self.bytes_expected.saturating_sub(self.bytes);
        left.saturating_mul(1_000) / rate.max(1) > ENDGAME_LEFT_MS
    }
}

/// A transfer younger than this is not doubled.
pub(crate) const ENDGAME_AFTER: Duration = Duration::from_secs(1);
/// A transfer that needs less than this is not doubled either: the copy would come too late.
const ENDGAME_LEFT_MS: u64 = 500;

/// All transfers in flight.
#[derive(Debug, Default)]
pub(crate) struct Requests(BTreeMap<RequestId, Transfer>);

impl Requests {
    pub(crate) fn insert(&mut self, request: RequestId, transfer: Transfer) {
        self.0.insert(request, transfer);
    }

    pub(crate) fn get_mut(&mut self, request: RequestId) -> Option<&mut Transfer> {
        self.0.get_mut(&request)
    }

    pub(crate) fn remove(&mut self, request: RequestId) -> Option<Transfer> {
        self.0.remove(&request)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// In order of their ids, that is oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &Transfer)> {
        self.0
            .iter()
            .map(|(request, transfer)| (*request, transfer))
    }

    /// Live transfers of a blob.
    pub(crate) fn of_blob<'a>(
        &'a self,
        blob: &'a BlobHash,
    ) -> impl Iterator<Item = (RequestId, &'a Transfer)> {
        self.iter()
            .filter(move |(_, transfer)| transfer.blob == *blob && !transfer.cancelled)
    }

    /// Pieces of a blob that somebody was asked for.
    pub(crate) fn assigned(&self, blob: &BlobHash, pieces: u32) -> PieceSet {
        let mut assigned = PieceSet::empty(pieces);
        for (_, transfer) in self.of_blob(blob) {
            assigned.insert_range(transfer.range);
        }
        assigned
    }

    /// Live transfers that match, for cancelling.
    pub(crate) fn matching(&self, wanted: impl Fn(&Transfer) -> bool) -> Vec<RequestId> {
        self.iter()
            .filter(|(_, transfer)| !transfer.cancelled && wanted(transfer))
            .map(|(request, _)| request)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(rate: Option<u64>) -> Transfer {
        let range = PieceRange { start: 0, end: 1 };
        let (peer, blob) = (NodeId::new([1; 32]), BlobHash::new([2; 32]));
        Transfer::new(Instant(0), peer, blob, range, 1 << 20, rate)
    }

    #[test]
    fn silence_stalls_and_progress_does_not() {
        let mut transfer = transfer(None);
        assert_eq!(transfer.stalls_at(), Instant(10_000));
        transfer.progressed = Instant(9_000);
        assert_eq!(transfer.stalls_at(), Instant(19_000));
    }

    #[test]
    fn a_drip_stalls_relative_to_the_peers_own_rate() {
        let mut transfer = transfer(Some(1 << 20));
        transfer.progressed = Instant(55_000);
        assert_eq!(transfer.stalls_at(), Instant(60_000));
    }

    #[test]
    fn only_a_transfer_with_much_left_is_slow() {
        let mut transfer = transfer(None);
        assert!(!transfer.is_slow(Instant(500)));
        assert!(transfer.is_slow(Instant(2_000)));
        transfer.bytes = 1_000_000;
        assert!(!transfer.is_slow(Instant(2_000)));
    }
}
