//! Transfers in flight: which wait at their provider, which move, and when one is late.

use std::time::Duration;

use super::table::Table;
use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
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
    /// Whether it brings the groups beside copies instead of all of its pieces.
    pub(crate) is_beside: bool,
    /// Bytes reported so far.
    pub(crate) bytes: u64,
    pub(crate) started: Instant,
    /// When the peer began to answer; until then it lets us wait, which costs nobody anything.
    pub(crate) moved: Option<Instant>,
    /// Last moment at which bytes arrived, or the start.
    pub(crate) progressed: Instant,
    /// Its pieces were given up; only its end is awaited.
    pub(crate) cancelled: bool,
}

/// No byte for this long is a stall, however slow the link: a 16 KiB chunk group fits a 16 kbit/s line.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// A moving transfer may take this many times what is expected of it …
const SLOWNESS: u32 = 4;
/// … but at least this long.
const DEADLINE_MIN: Duration = Duration::from_secs(1);

impl Transfer {
    pub(crate) fn new(
        now: Instant,
        peer: NodeId,
        blob: BlobHash,
        range: PieceRange,
        bytes_expected: u64,
    ) -> Self {
        Self {
            peer,
            blob,
            range,
            bytes_expected,
            is_beside: false,
            bytes: 0,
            started: now,
            moved: None,
            progressed: now,
            cancelled: false,
        }
    }

    /// Whether it waits at its provider.
    pub(crate) fn waits(&self) -> bool {
        self.moved.is_none()
    }

    /// Whether it is late, measured by what is expected of its peer in bytes per second.
    pub(crate) fn is_late(&self, now: Instant, rate: Option<u64>) -> bool {
        if now.since(self.progressed) >= SILENCE_MAX {
            return true;
        }
        let (Some(moved), Some(rate)) = (self.moved, rate) else {
            return false;
        };
        let expected = self.bytes_expected.saturating_mul(1_000) / rate.max(1);
        let allowed = Duration::from_millis(expected).saturating_mul(SLOWNESS);
        now.since(moved) >= allowed.max(DEADLINE_MIN)
    }

    /// Bytes per second since it moves.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        let moved = self.moved.unwrap_or(self.started);
        let millis = u64::try_from(now.since(moved).as_millis()).unwrap_or(u64::MAX);
        self.bytes.saturating_mul(1_000) / millis.max(1)
    }

    /// Whether a second peer should try the same pieces in the end-game.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        if now.since(self.moved.unwrap_or(self.started)) < ENDGAME_AFTER {
            return false;
        }
        let left = self.bytes_expected.saturating_sub(self.bytes);
        left.saturating_mul(1_000) / self.rate(now).max(1) > ENDGAME_LEFT_MS
    }
}

/// A transfer that moves for less than this is not doubled.
pub(crate) const ENDGAME_AFTER: Duration = Duration::from_secs(1);
/// A transfer that needs less than this is not doubled either: the copy would come too late.
const ENDGAME_LEFT_MS: u64 = 500;

/// All transfers in flight.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Table<RequestId, Transfer>);

impl Requests {
    pub(crate) fn insert(&mut self, request: RequestId, transfer: Transfer) {
        self.0.insert(request, transfer);
    }

    pub(crate) fn get(&self, request: RequestId) -> Option<&Transfer> {
        self.0.get(&request)
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

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order of their ids, that is oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &Transfer)> {
        self.0
            .iter()
            .map(|(request, transfer)| (*request, transfer))
    }

    /// Live transfers, oldest first.
    pub(crate) fn live(&self) -> impl Iterator<Item = (RequestId, &Transfer)> {
        self.iter().filter(|(_, transfer)| !transfer.cancelled)
    }

    /// Live transfers of a blob.
    pub(crate) fn of_blob<'a>(
        &'a self,
        blob: &'a BlobHash,
    ) -> impl Iterator<Item = (RequestId, &'a Transfer)> {
        self.live()
            .filter(move |(_, transfer)| transfer.blob == *blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer() -> Transfer {
        let range = PieceRange { start: 0, end: 1 };
        let (peer, blob) = (NodeId::new([1; 32]), BlobHash::new([2; 32]));
        Transfer::new(Instant(0), peer, blob, range, 1 << 20)
    }

    #[test]
    fn silence_is_late_and_progress_is_not() {
        let mut transfer = transfer();
        assert!(!transfer.is_late(Instant(9_999), None));
        assert!(transfer.is_late(Instant(10_000), None));
        transfer.progressed = Instant(9_000);
        assert!(!transfer.is_late(Instant(18_999), None));
    }

    #[test]
    fn a_moving_transfer_is_late_after_four_times_what_is_expected() {
        let mut transfer = transfer();
        let rate = Some(1 << 19);
        transfer.progressed = Instant(8_900);
        assert!(!transfer.is_late(Instant(9_000), rate), "it waits");
        transfer.moved = Some(Instant(1_000));
        assert!(!transfer.is_late(Instant(8_999), rate));
        assert!(transfer.is_late(Instant(9_000), rate));
    }

    #[test]
    fn nothing_is_late_within_a_second() {
        let mut transfer = transfer();
        transfer.moved = Some(Instant(0));
        assert!(!transfer.is_late(Instant(999), Some(u64::MAX)));
        assert!(transfer.is_late(Instant(1_000), Some(u64::MAX)));
    }

    #[test]
    fn only_a_transfer_with_much_left_is_slow() {
        let mut transfer = transfer();
        assert!(!transfer.is_slow(Instant(500)));
        assert!(transfer.is_slow(Instant(2_000)));
        transfer.bytes = 1_000_000;
        assert!(!transfer.is_slow(Instant(2_000)));
    }
}
