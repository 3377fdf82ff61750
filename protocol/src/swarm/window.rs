//! Readers of blobs that are still on their way: what they wait for goes first, in order.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    id::BlobHash,
    layout::{Layout, PieceRange},
    limits,
    service::ReaderId,
};

/// Bytes ahead of a reader that go first, at least: a second of video, a few tensors.
const AHEAD_MIN: u64 = 4 * 1024 * 1024;
/// Seconds ahead of a reader that go first: what is asked for later can still be fetched rarest first.
const AHEAD_SECONDS: u64 = 2;

/// Everybody who waits for bytes.
#[derive(Debug, Default)]
pub(crate) struct Readers(BTreeMap<ReaderId, (BlobHash, Range<u64>)>);

impl Readers {
    /// Somebody reads on from the start of a range to its end. Past a bound on readers nobody is heard.
    /// Returns whether it read before.
    pub(crate) fn put(&mut self, reader: ReaderId, blob: BlobHash, bytes: Range<u64>) -> bool {
        let known = self.0.contains_key(&reader);
        if known || self.0.len() < limits::READERS_MAX {
            self.0.insert(reader, (blob, bytes));
        }
        known
    }

    /// A reader is done. Returns whether it was known.
    pub(crate) fn remove(&mut self, reader: ReaderId) -> bool {
        self.0.remove(&reader).is_some()
    }

    /// Blobs that somebody reads.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &BlobHash> {
        self.0.values().map(|(blob, _)| blob)
    }

    /// Pieces of a blob that readers will come to, however late.
    pub(crate) fn ranges<'a>(
        &'a self,
        blob: &'a BlobHash,
        layout: Layout,
    ) -> impl Iterator<Item = PieceRange> + 'a {
        let read = self.0.values().filter(move |(read, _)| read == blob);
        read.filter_map(move |(_, bytes)| pieces(layout, bytes.clone()))
    }

    /// Pieces of a blob that readers wait for at the rate at which bytes come.
    pub(crate) fn window<'a>(
        &'a self,
        blob: &'a BlobHash,
        layout: Layout,
        rate: u64,
    ) -> impl Iterator<Item = PieceRange> + 'a {
        let ahead = rate.saturating_mul(AHEAD_SECONDS).max(AHEAD_MIN);
        self.0
            .values()
            .filter(move |(read, _)| read == blob)
            .filter_map(move |(_, bytes)| {
                let end = bytes.end.min(bytes.start.saturating_add(ahead));
                pieces(layout, bytes.start..end)
            })
    }

    /// Whether a reader waits for some piece of a run.
    pub(crate) fn waits_for(&self, blob: &BlobHash, layout: Layout, range: PieceRange) -> bool {
        self.window(blob, layout, 0)
            .any(|window| window.start < range.end && range.start < window.end)
    }
}

/// The pieces that bytes lie in.
pub(crate) fn pieces(layout: Layout, bytes: Range<u64>) -> Option<PieceRange> {
    let end = bytes.end.min(layout.size);
    let last = end.checked_sub(1).filter(|last| *last >= bytes.start)?;
    Some(PieceRange {
        start: layout.piece_at(bytes.start)?.get(),
        end: layout.piece_at(last)?.get() + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: BlobHash = BlobHash::new([1; 32]);
    const MIB: u64 = 1024 * 1024;

    #[test]
    fn the_window_begins_at_the_reader_and_grows_with_the_rate() {
        let layout = Layout::new(64 * MIB);
        let mut readers = Readers::default();
        readers.put(ReaderId(1), BLOB, MIB + 1..64 * MIB);
        let window = |readers: &Readers, rate| {
            let window = readers.window(&BLOB, layout, rate).next();
            window.map(|range| (range.start, range.end))
        };
        assert_eq!(window(&readers, 0), Some((4, 21)));
        assert_eq!(window(&readers, 4 * MIB), Some((4, 37)));
        readers.put(ReaderId(1), BLOB, 2 * MIB..3 * MIB);
        assert_eq!(window(&readers, 0), Some((8, 12)));
        readers.remove(ReaderId(1));
        assert_eq!(window(&readers, 0), None);
    }

    #[test]
    fn a_reader_past_the_end_waits_for_nothing() {
        let layout = Layout::new(MIB);
        for bytes in [MIB..2 * MIB, 5..5, u64::MAX - 1..u64::MAX] {
            assert_eq!(pieces(layout, bytes), None);
        }
        let all = pieces(layout, 0..u64::MAX).unwrap();
        assert_eq!((all.start, all.end), (0, 4));
    }
}
