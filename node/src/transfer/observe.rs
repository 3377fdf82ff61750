//! Watching which pieces of a blob a peer has.
//!
//! A downloading peer sends hundreds of changes a second; the machine hears of at most four. When the peer has
//! everything there is nothing more to watch: the stream is given back, and only the loss of the connection is
//! still waited for.
//!
//! Reading order: this file, `line` (over what), `watcher` (over TCP).

mod line;
mod watcher;

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use iroh_blobs::protocol::ChunkRanges;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::Layout,
    piece_set::PieceSet,
    service::Input,
};

pub(super) use self::{line::Line, watcher::Watcher};
use super::{availability, context::Context};

/// Least time between two reports on one blob of one peer.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// Whom and what to watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    pub(super) peer: NodeId,
    pub(super) blob: BlobHash,
    pub(super) size: u64,
}

/// Why watching ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("no connection")]
    Connection,
    #[error("the peer ended the stream")]
    Ended,
    #[error("the peer's copy has {0} bytes")]
    Size(u64),
}

/// Watches until cancelled (silently) or lost (reported).
pub(super) async fn run(context: Arc<Context>, watch: Watch, cancel: CancellationToken) {
    let Some(Err(lost)) = cancel
        .run_until_cancelled(Box::pin(follow(&context, watch)))
        .await
    else {
        return;
    };
    debug!(
        peer = %watch.peer.fmt_short(),
        blob = %watch.blob.fmt_short(),
        "observation lost: {lost}"
    );
    context
        .report(Input::AvailabilityLost {
            peer: watch.peer,
            blob: watch.blob,
        })
        .await;
}

async fn follow(context: &Arc<Context>, watch: Watch) -> Result<Infallible, Lost> {
    if let Some(origin) = context.origins.get(&watch.peer) {
        origin.observe(context, watch).await;
        return Err(Lost::Ended);
    }
    let line = line::connect(context, watch.peer)
        .await
        .map_err(|_| Lost::Connection)?;
    let slot = context.peers.observation(watch.peer).await;
    until_full(context, watch, &line).await?;
    drop(slot);
    line.closed().await;
    Err(Lost::Connection)
}

/// Reports changes until the peer has all pieces.
async fn until_full(context: &Context, watch: Watch, line: &Line) -> Result<(), Lost> {
    let layout = Layout::new(watch.size);
    let observation = line.observe(watch.blob).await.map_err(|_| Lost::Ended)?;
    let changes = stream::unfold(observation, |mut observation| async {
        let item = observation.next().await.ok()?;
        Some((item, observation))
    });
    let mut changes = Box::pin(changes);
    let mut ranges = ChunkRanges::empty();
    let mut reported: Option<PieceSet> = None;
    let mut report_at = Instant::now();
    let mut changed = false;
    loop {
        tokio::select! {
            change = changes.next() => {
                let Some(change) = change else {
                    return Err(Lost::Ended);
                };
                // The first item is the state, each later one the difference to the state before.
                ranges = &ranges ^ &change.ranges;
                if !ranges.is_empty() && change.size != watch.size {
                    return Err(Lost::Size(change.size));
                }
                changed = true;
            }
            () = tokio::time::sleep_until(report_at), if changed => {
                changed = false;
                let have = availability::pieces(layout, &ranges);
                let full = have.is_full();
                if reported.as_ref() != Some(&have) {
                    reported = Some(have.clone());
                    context
                        .report(Input::Availability { peer: watch.peer, blob: watch.blob, have })
                        .await;
                    report_at = Instant::now() + REPORT_INTERVAL;
                }
                if full {
                    return Ok(());
                }
            }
        }
    }
}
