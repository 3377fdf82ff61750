//! Over what a peer is watched: QUIC, or TCP where QUIC does not reach it.

use std::{io, sync::Arc, time::Duration};

use weft_protocol::{
    id::{BlobHash, NodeId},
    service::TransferError,
};

use super::watcher::Watcher;
use crate::transfer::{
    context::Context,
    observation::{self, Observation},
    peers::{Activity, Lease},
};

/// How long QUIC is tried alone. Where UDP is let through it answers within a round trip or two; where it is not, it
/// never says so.
const HEAD_START: Duration = Duration::from_millis(500);

/// A connection to watch on.
#[derive(Debug)]
pub(in crate::transfer) enum Line {
    Quic(Lease),
    Tcp {
        watcher: Watcher,
        _activity: Activity,
    },
}

/// The connection there is, or whichever can be had first.
pub(super) async fn connect(context: &Arc<Context>, peer: NodeId) -> Result<Line, TransferError> {
    if let Some(line) = context.peers.line(peer)? {
        return Ok(line);
    }
    let mut quic = Box::pin(context.connect(peer));
    match tokio::time::timeout(HEAD_START, &mut quic).await {
        Ok(Ok(lease)) => return Ok(Line::Quic(lease)),
        Ok(Err(_)) => return Box::pin(context.peers.watch(context, peer)).await,
        Err(_) => {}
    }
    let mut tcp = Box::pin(context.peers.watch(context, peer));
    tokio::select! {
        lease = &mut quic => match lease {
            Ok(lease) => Ok(Line::Quic(lease)),
            Err(_) => tcp.await,
        },
        line = &mut tcp => match line {
            Ok(line) => Ok(line),
            Err(_) => quic.await.map(Line::Quic),
        },
    }
}

impl Line {
    pub(in crate::transfer) fn tcp(watcher: Watcher, activity: Activity) -> Self {
        Self::Tcp {
            watcher,
            _activity: activity,
        }
    }

    /// Asks what the peer has of a blob.
    pub(super) async fn observe(&self, blob: BlobHash) -> io::Result<Observation> {
        match self {
            Self::Quic(lease) => {
                let (mut send, recv) = lease.connection().open_bi().await?;
                send.write_all(&observation::request(blob)?).await?;
                send.finish().map_err(io::Error::other)?;
                Ok(Observation::new(recv))
            }
            Self::Tcp { watcher, .. } => watcher.observe(blob).await,
        }
    }

    /// Waits until the connection is lost.
    pub(super) async fn closed(&self) {
        match self {
            Self::Quic(lease) => {
                lease.connection().closed().await;
            }
            Self::Tcp { watcher, .. } => watcher.closed().await,
        }
    }
}
