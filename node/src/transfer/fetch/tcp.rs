//! Getting over a TCP connection.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::{id::NodeId, service::TransferError};

use super::intake::Intake;
use crate::transfer::{
    context::Context,
    fault,
    link::{Channel, GetError, Header, Kind, Lease, Link},
};

/// How long a peer may take to confirm that it was asked to stop, before the connection is given up instead.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks, waits for the answer to begin, and takes it on a thread.
pub(super) async fn get(
    context: &Arc<Context>,
    peer: NodeId,
    (mut link, lease): (Link, Lease),
    request: &[u8],
    cancel: &CancellationToken,
    mut intake: Intake,
) -> Result<(), TransferError> {
    link.number = link.number.wrapping_add(1);
    let number = link.number;
    if let Err(error) = link.channel.ask(number, request).await {
        debug!(peer = %peer.fmt_short(), "TCP connection lost: {error}");
        return Err(TransferError::Connection);
    }
    if cancel
        .run_until_cancelled(link.channel.stirs())
        .await
        .is_none()
    {
        context.tasks.spawn(take_back(link, lease));
        return Err(TransferError::Cancelled);
    }
    let (channel, rebuild) = link.split();
    let pumped = {
        let cancel = cancel.clone();
        tokio::task::spawn_blocking(move || {
            let mut pump = match channel.into_pump() {
                Ok(pump) => pump,
                Err(error) => return (None, Err(GetError::Connection(error)), Ok(())),
            };
            let ended = pump.take_answer(number, &cancel, &mut |bytes| intake.take(bytes));
            let done = intake.is_done();
            let stored = intake.finish();
            let ended = match ended {
                // The peer ended the answer before everything was there.
                Ok(()) if !done => Err(GetError::Sink(TransferError::Unavailable)),
                ended => ended,
            };
            (Some(pump), ended, stored)
        })
    };
    let Ok((pump, ended, stored)) = pumped.await else {
        return Err(TransferError::Connection);
    };
    let is_usable = matches!(ended, Ok(()) | Err(GetError::Reset(_) | GetError::Stopped));
    if is_usable && let Some(Ok(channel)) = pump.map(Channel::from_pump) {
        lease.give_back(rebuild(channel));
    }
    match ended {
        Ok(()) => stored,
        Err(GetError::Sink(failure)) => Err(failure),
        Err(GetError::Reset(code)) => stored.and_then(|()| Err(fault::reset(code))),
        Err(GetError::Stopped) => Err(TransferError::Cancelled),
        Err(GetError::Connection(error)) => {
            debug!(peer = %peer.fmt_short(), "TCP connection lost: {error}");
            if cancel.is_cancelled() {
                return Err(TransferError::Cancelled);
            }
            context.links.failed(peer);
            stored.and(Err(TransferError::Connection))
        }
    }
}

/// Tells the peer that a request which still waits is not wanted any more, and keeps the connection if it agrees.
async fn take_back(mut link: Link, lease: Lease) {
    let number = link.number;
    let agreed = async {
        link.channel.stop(number).await.ok()?;
        let mut ended = false;
        while !ended {
            let mut look = |header: Header, _: &[u8], last| {
                ended |= last && matches!(header.kind, Kind::End | Kind::Reset);
                Ok(())
            };
            link.channel.answers(&mut look).await.ok()?.then_some(())?;
        }
        Some(())
    };
    if let Ok(Some(())) = tokio::time::timeout(STOP_TIMEOUT, agreed).await {
        lease.give_back(link);
    }
}
