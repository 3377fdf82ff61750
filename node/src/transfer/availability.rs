//! From chunk ranges to pieces: what is here, and what a peer says it has.

use iroh_blobs::protocol::ChunkRanges;
use weft_protocol::{
    id::BlobHash,
    layout::{Layout, PieceRange},
    piece_set::PieceSet,
};

use super::context::Context;

/// Bytes of a BLAKE3 chunk.
const CHUNK_LEN: u64 = 1_024;

/// The pieces whose every chunk is in `ranges`.
pub(super) fn pieces(layout: Layout, ranges: &ChunkRanges) -> PieceSet {
    let count = layout.pieces();
    let mut set = PieceSet::empty(count);
    let mut boundaries = ranges.boundaries().iter().map(|chunk| chunk.0);
    while let Some(start) = boundaries.next() {
        let start = start.saturating_mul(CHUNK_LEN);
        // A range without an end reaches to the end of the blob, and so does one that covers its last chunk.
        let end = boundaries
            .next()
            .map_or(u64::MAX, |chunk| chunk.saturating_mul(CHUNK_LEN));
        let first = start.div_ceil(layout.piece_len);
        let past = if end >= layout.size {
            u64::from(count)
        } else {
            end / layout.piece_len
        };
        if let (Ok(start), Ok(end)) = (u32::try_from(first), u32::try_from(past))
            && start < end
        {
            set.insert_range(PieceRange { start, end });
        }
    }
    set
}

/// What is here of each blob, in the order asked. A blob that cannot be read counts as absent, and so does one
/// that has another size than its manifest says.
pub(super) async fn inspect(context: &Context, blobs: Vec<(BlobHash, u64)>) -> Vec<PieceSet> {
    let store = context.store.clone();
    let nothing: Vec<_> = blobs
        .iter()
        .map(|(_, size)| PieceSet::empty(Layout::new(*size).pieces()))
        .collect();
    let looked = tokio::task::spawn_blocking(move || {
        let look = |(hash, size): &(BlobHash, u64)| {
            let layout = Layout::new(*size);
            match store.blob(hash).filter(|blob| blob.size() == *size) {
                Some(blob) => blob.pieces(layout),
                None => PieceSet::empty(layout.pieces()),
            }
        };
        blobs.iter().map(look).collect()
    });
    looked.await.unwrap_or(nothing)
}
