//! Serving: who may connect, what may be asked, how much at once.

use std::{io, sync::Arc, time::Duration};

use bao_tree::io::EncodeError;
use bytes::Bytes;
use iroh::endpoint::{
    Connection, Incoming, IncomingAddr, RecvStream as QuicRecv, SendStream as QuicSend, VarInt,
};
use iroh_blobs::{
    api::ExportBaoError,
    protocol::{ERR_LIMIT, ERR_PERMISSION, Request},
    provider::{self, HandleGetError, StreamPair, events::EventSender},
    util::SendStream,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, error, trace};
use weft_protocol::id::NodeId;

use super::{context::Context, counters::Meter, peers::CLOSE_IDLE};

/// Connections accepted at once. Each costs some 100 KiB while it is busy.
const CONNECTIONS_MAX: usize = 256;
/// Requests served at once on one connection; more wait their turn. The store takes 32 commands for one blob at
/// a time, so one client alone must not fill that.
const GETS_PER_CONNECTION_MAX: usize = 8;
/// Observations served on one connection; more are refused.
const OBSERVATIONS_PER_CONNECTION_MAX: usize = 384;
/// Time to say hello and to say what is wanted.
const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts connections until the data plane ends.
pub(super) async fn accept(context: Arc<Context>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let incoming = tokio::select! {
            () = context.cancel.cancelled() => return,
            incoming = context.endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            return;
        };
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => {
                let welcome = welcome(Arc::clone(&context), incoming, slot);
                context.tasks.spawn(welcome);
            }
            Err(_) => {
                debug!("connection refused: {CONNECTIONS_MAX} are open");
                incoming.refuse();
            }
        }
    }
}

async fn welcome(context: Arc<Context>, incoming: Incoming, slot: OwnedSemaphorePermit) {
    let address = incoming.remote_addr();
    let connection = match tokio::time::timeout(PATIENCE, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            trace!("handshake failed: {error:#}");
            return;
        }
        Err(_) => {
            trace!("handshake timed out");
            return;
        }
    };
    let peer = NodeId::new(*connection.remote_id().as_bytes());
    if let Err(code) = context.peers.adopt(peer, &connection) {
        debug!(peer = %peer.fmt_short(), %code, "connection refused");
        connection.close(code, b"refused");
        return;
    }
    if let IncomingAddr::Ip(address) = address {
        // One socket both listens and dials, so where it came from is where it can be reached.
        context.peers.learn(peer, [address]);
    }
    serve_streams(&context, peer, &connection).await;
    context.peers.ended(peer, &connection, true);
    drop(slot);
}

/// Serves a peer on a connection that we dialled.
pub(super) async fn serve(context: Arc<Context>, peer: NodeId, connection: Connection) {
    serve_streams(&context, peer, &connection).await;
    context.peers.ended(peer, &connection, false);
}

async fn serve_streams(context: &Arc<Context>, peer: NodeId, connection: &Connection) {
    let client = Arc::new(Client {
        peer,
        connection: connection.stable_id() as u64,
        meter: context.counters.meter(peer),
        gets: Semaphore::new(GETS_PER_CONNECTION_MAX),
        observations: Semaphore::new(OBSERVATIONS_PER_CONNECTION_MAX),
    });
    loop {
        let stream = tokio::select! {
            () = context.cancel.cancelled() => {
                connection.close(CLOSE_IDLE, b"shutdown");
                return;
            }
            stream = connection.accept_bi() => stream,
        };
        let Ok((send, recv)) = stream else {
            return;
        };
        // Bounded by the streams the transport lets a peer open.
        context.tasks.spawn(serve_stream(
            Arc::clone(context),
            Arc::clone(&client),
            send,
            recv,
        ));
    }
}

/// One connection's limits and counts.
#[derive(Debug)]
struct Client {
    peer: NodeId,
    connection: u64,
    meter: Meter,
    gets: Semaphore,
    observations: Semaphore,
}

async fn serve_stream(
    context: Arc<Context>,
    client: Arc<Client>,
    send: QuicSend,
    mut recv: QuicRecv,
) {
    let _activity = context.peers.activity(client.peer);
    let mut send = Counted {
        inner: send,
        context: Arc::clone(&context),
        meter: client.meter.clone(),
        #[cfg(any(test, feature = "faults"))]
        leaves: 0,
    };
    let Ok(Ok((request, _))) = tokio::time::timeout(PATIENCE, Request::read_async(&mut recv)).await
    else {
        send.reset(ERR_PERMISSION).ok();
        return;
    };
    let store = context.store.clone();
    let result = match request {
        Request::Get(get) if get.ranges.is_blob() && context.offers(&get.hash) => {
            let Ok(_turn) = client.gets.acquire().await else {
                return;
            };
            let blob = get.hash;
            let pair = StreamPair::new(client.connection, recv, send, EventSender::DEFAULT);
            let result = Box::pin(provider::handle_get(pair, store, get)).await;
            if let Err(error) = &result
                && is_damage(error.downcast_ref())
            {
                // Whoever asked got nothing, and nobody will until the file is restored.
                error!(blob = %blob.fmt_short(), "a blob on this disk no longer matches its hash and is not sent; `weft verify` names the file");
            }
            result
        }
        Request::Observe(observe) if context.offers(&observe.hash) => {
            let Ok(_place) = client.observations.try_acquire() else {
                send.reset(ERR_LIMIT).ok();
                return;
            };
            let pair = StreamPair::new(client.connection, recv, send, EventSender::DEFAULT);
            Box::pin(provider::handle_observe(pair, store, observe)).await
        }
        _ => {
            debug!(peer = %client.peer.fmt_short(), "request refused");
            send.reset(ERR_PERMISSION).ok();
            return;
        }
    };
    if let Err(error) = result {
        trace!(peer = %client.peer.fmt_short(), "request ended early: {error:#}");
    }
}

/// Whether a request failed because our own copy does not verify.
fn is_damage(error: Option<&HandleGetError>) -> bool {
    matches!(
        error,
        Some(HandleGetError::ExportBao {
            source: ExportBaoError::ExportBaoInner {
                source: EncodeError::ParentHashMismatch(_) | EncodeError::LeafHashMismatch(_),
                ..
            },
            ..
        })
    )
}

/// A stream that counts the payload it carries.
#[derive(Debug)]
struct Counted {
    inner: QuicSend,
    context: Arc<Context>,
    meter: Meter,
    #[cfg(any(test, feature = "faults"))]
    leaves: u64,
}

impl SendStream for Counted {
    async fn send_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        #[cfg(any(test, feature = "faults"))]
        let bytes = {
            self.leaves += 1;
            self.context.faults.leaf(self.leaves - 1, bytes)
        };
        let len = bytes.len() as u64;
        self.inner.send_bytes(bytes).await?;
        // Leaves come this way, hashes and sizes through `send`.
        self.context.counters.uploaded(&self.meter, len);
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(any(test, feature = "faults"))]
        if let Some(size) = self.context.faults.size(bytes) {
            return SendStream::send(&mut self.inner, &size).await;
        }
        SendStream::send(&mut self.inner, bytes).await
    }

    async fn sync(&mut self) -> io::Result<()> {
        SendStream::sync(&mut self.inner).await
    }

    fn reset(&mut self, code: VarInt) -> io::Result<()> {
        SendStream::reset(&mut self.inner, code)
    }

    async fn stopped(&mut self) -> io::Result<Option<VarInt>> {
        SendStream::stopped(&mut self.inner).await
    }

    fn id(&self) -> u64 {
        SendStream::id(&self.inner)
    }
}
