//! Serving: who may connect, what may be asked, how much at once. When a request is served is for the machine to say.

mod answer;
pub(super) mod links;
mod watched;

use std::{io, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use iroh::endpoint::{
    Connection, Incoming, IncomingAddr, RecvStream as QuicRecv, SendStream as QuicSend,
};
use iroh_blobs::protocol::{ChunkRanges, ERR_LIMIT, ERR_PERMISSION, GetRequest, Request};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tracing::{debug, trace};
use weft_protocol::id::{BlobHash, NodeId};

use self::answer::{BrokenOff, ROOM, Wire, Wish};
use super::{
    context::Context,
    infer, near,
    observation::Changes,
    peers::{CLOSE_BANNED, CLOSE_IDLE},
};

/// Connections accepted at once. Each costs some 100 KiB while it is busy.
const CONNECTIONS_MAX: usize = 256;
/// Requests served at once on one connection; more wait their turn. Each has a thread.
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
    if connection.alpn() == near::ALPN {
        let ip = match address {
            IncomingAddr::Ip(address) => Some(address.ip()),
            _ => None,
        };
        near::serve(context, peer, ip, connection).await;
        return drop(slot);
    }
    if connection.alpn() == infer::ALPN {
        infer::serve(context, peer, connection).await;
        return drop(slot);
    }
    if !context.peers.adopt(peer, &connection) {
        debug!(peer = %peer.fmt_short(), "a banned peer's connection is refused");
        connection.close(CLOSE_BANNED, b"banned");
        return;
    }
    if let IncomingAddr::Ip(address) = address {
        // One socket both listens and dials, so where it came from is where it can be reached.
        context.peers.learn(peer, [address]);
    }
    serve_streams(&context, peer, &connection).await;
    context.peers.ended(peer, &connection);
    drop(slot);
}

/// Serves a peer on a connection that we dialled.
pub(super) async fn serve(context: Arc<Context>, peer: NodeId, connection: Connection) {
    serve_streams(&context, peer, &connection).await;
    context.peers.ended(peer, &connection);
}

async fn serve_streams(context: &Arc<Context>, peer: NodeId, connection: &Connection) {
    let client = Arc::new(Client {
        peer,
        connection: connection.clone(),
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
    connection: Connection,
    gets: Semaphore,
    observations: Semaphore,
}

async fn serve_stream(
    context: Arc<Context>,
    client: Arc<Client>,
    mut send: QuicSend,
    mut recv: QuicRecv,
) {
    let _activity = context.peers.activity(client.peer);
    let Ok(Ok((request, _))) = tokio::time::timeout(PATIENCE, Request::read_async(&mut recv)).await
    else {
        send.reset(ERR_PERMISSION).ok();
        return;
    };
    match request {
        Request::Get(get) if get.ranges.is_blob() && context.offers(&get.hash) => {
            let Ok(_turn) = client.gets.acquire().await else {
                return;
            };
            let wish = Wish {
                peer: client.peer,
                hash: get.hash,
                ranges: first_ranges(&get),
            };
            answer(&context, wish, (send, &client.connection)).await;
        }
        Request::Observe(observe) if context.offers(&observe.hash) => {
            let Ok(_place) = client.observations.try_acquire() else {
                send.reset(ERR_LIMIT).ok();
                return;
            };
            let blob = BlobHash::new(*observe.hash.as_bytes());
            if let Err(error) = tell(&context, blob, &mut send).await {
                trace!(peer = %client.peer.fmt_short(), "observation ended: {error}");
            }
        }
        _ => {
            debug!(peer = %client.peer.fmt_short(), "request refused");
            send.reset(ERR_PERMISSION).ok();
        }
    }
}

/// Tells what is here of a blob until nobody listens any more.
async fn tell(context: &Arc<Context>, blob: BlobHash, send: &mut QuicSend) -> io::Result<()> {
    let mut changes = Changes::new(context, blob);
    loop {
        let item = tokio::select! {
            item = changes.next() => item?,
            _ = send.stopped() => return Ok(()),
            () = context.cancel.cancelled() => return Ok(()),
        };
        send.write_all(&item).await?;
    }
}

/// What is asked for of the blob itself; the rest of a request is about collections.
fn first_ranges(get: &GetRequest) -> ChunkRanges {
    let mut ranges = get.ranges.iter_non_empty_infinite();
    ranges
        .next()
        .filter(|(offset, _)| *offset == 0)
        .map_or_else(ChunkRanges::empty, |(_, ranges)| ranges.clone())
}

/// Waits until the machine wants a request served, and serves it on a thread.
async fn answer(
    context: &Arc<Context>,
    wish: Wish,
    (mut send, connection): (QuicSend, &Connection),
) {
    let asked = context.uploads.ask(wish.peer, wish.blob(), wish.bytes());
    let Some(mut upload) = asked.await else {
        send.reset(ERR_LIMIT).ok();
        return;
    };
    let start = tokio::select! {
        start = upload.started() => start,
        _ = send.stopped() => return,
    };
    if !start {
        send.reset(ERR_LIMIT).ok();
        return;
    }
    let context = Arc::clone(context);
    let connection = connection.clone();
    let sent = tokio::task::spawn_blocking(move || {
        let mut wire = Streamed {
            send,
            connection,
            runtime: Handle::current(),
        };
        let ended = answer::send(&context, &wish, &mut upload, &mut wire);
        match &ended {
            Ok(()) => {
                wire.send.finish().ok();
            }
            Err(BrokenOff::Reset { code, .. }) => {
                wire.send.reset(*code).ok();
            }
            Err(BrokenOff::Connection(_)) => {}
        }
        if let Err(error) = ended {
            trace!(peer = %wish.peer.fmt_short(), "request ended early: {error}");
        }
    });
    // A thread that died has told the log; the stream is reset when it is dropped.
    sent.await.ok();
}

struct Streamed {
    send: QuicSend,
    connection: Connection,
    runtime: Handle,
}

impl Wire for Streamed {
    fn send(&mut self, part: &mut Vec<u8>) -> io::Result<()> {
        // The stream takes the buffer as it is.
        let part = Bytes::from(std::mem::take(part)).slice(ROOM..);
        Ok(self.runtime.block_on(self.send.write_chunk(part))?)
    }

    fn is_stopped(&mut self) -> io::Result<bool> {
        // Sending fails then.
        Ok(false)
    }

    fn rest(&mut self, wait: Duration) -> io::Result<()> {
        thread::park_timeout(wait);
        Ok(())
    }

    fn delay(&mut self) -> io::Result<Option<Duration>> {
        // QUIC measures for itself.
        let paths = self.connection.paths();
        let selected = paths.iter().find(|path| path.is_selected());
        Ok(selected.map(|path| path.rtt()))
    }
}
