//! Being dialled over TCP.

use std::{io, sync::Arc, time::Duration};

use iroh_blobs::protocol::{ERR_LIMIT, ERR_PERMISSION, Request};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{debug, trace};

use super::{
    CONNECTIONS_MAX, PATIENCE,
    answer::{self, BrokenOff, Wire, Wish},
    watched,
};
use crate::transfer::{
    context::Context,
    link::{Channel, Kind, Pump},
    peers::Inbound,
};

/// How long a connection may be silent between requests; longer than the other side keeps one.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// Pause after an accept failed: for want of file descriptors, which come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the data plane ends.
pub(in crate::transfer) async fn accept(context: Arc<Context>, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = context.cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!("accept failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            debug!("TCP connection refused: {CONNECTIONS_MAX} are open");
            continue;
        };
        let context = Arc::clone(&context);
        context.clone().tasks.spawn(async move {
            welcome(&context, stream).await;
            drop(slot);
        });
    }
}

async fn welcome(context: &Arc<Context>, stream: TcpStream) {
    let shaken = context
        .cancel
        .run_until_cancelled(tokio::time::timeout(
            PATIENCE,
            Channel::accept(&context.keys, stream),
        ))
        .await;
    let channel = match shaken {
        Some(Ok(Ok(channel))) => channel,
        Some(Ok(Err(error))) => {
            trace!("TCP handshake failed: {error}");
            return;
        }
        Some(Err(_)) | None => return,
    };
    let peer = channel.peer();
    let Some(inbound) = context.peers.admit(peer) else {
        debug!(peer = %peer.fmt_short(), "TCP connection refused");
        return;
    };
    let serve = Box::pin(serve(context, channel, &inbound));
    let ended = tokio::select! {
        () = context.cancel.cancelled() => return,
        () = inbound.banned().cancelled() => return,
        ended = serve => ended,
    };
    if let Err(error) = ended {
        trace!(peer = %peer.fmt_short(), "TCP connection ended: {error}");
    }
}

/// Answers requests one after another.
async fn serve(context: &Arc<Context>, mut channel: Channel, inbound: &Inbound) -> io::Result<()> {
    loop {
        let request = tokio::time::timeout(IDLE_MAX, channel.request()).await;
        let Some((header, payload)) = request.map_err(io::Error::other)?? else {
            return Ok(());
        };
        let number = header.request;
        if header.kind == Kind::Stop {
            // For an answer that has just ended.
            continue;
        }
        let request = postcard::from_bytes::<Request>(&payload).map_err(io::Error::other)?;
        match request {
            Request::Get(get) if get.ranges.is_blob() && context.offers(&get.hash) => {
                let ranges = super::first_ranges(&get);
                let wish = Wish {
                    peer: inbound.peer(),
                    hash: get.hash,
                    ranges,
                };
                match answer(context, channel, number, wish).await? {
                    Some(next) => channel = next,
                    None => return Ok(()),
                }
            }
            Request::Observe(observe) if context.offers(&observe.hash) => {
                return watched::serve(context, channel, inbound, number, observe).await;
            }
            _ => {
                debug!(peer = %inbound.peer().fmt_short(), "request refused");
                channel.end(number, Err(ERR_PERMISSION)).await?;
            }
        }
    }
}

/// Waits until the machine wants a request served, and serves it on a thread. Gives the connection back if it can
/// carry another.
async fn answer(
    context: &Arc<Context>,
    mut channel: Channel,
    number: u32,
    wish: Wish,
) -> io::Result<Option<Channel>> {
    let _activity = context.peers.activity(wish.peer);
    let asked = context.uploads.ask(wish.peer, wish.blob(), wish.bytes());
    let Some(mut upload) = asked.await else {
        channel.end(number, Err(ERR_LIMIT)).await?;
        return Ok(Some(channel));
    };
    let start = tokio::select! {
        start = upload.started() => start,
        request = channel.request() => match request? {
            Some((header, _)) if header.kind == Kind::Stop && header.request == number => false,
            Some(_) => return Err(io::Error::other("a second request while one waits")),
            None => return Ok(None),
        },
    };
    if !start {
        channel.end(number, Err(ERR_LIMIT)).await?;
        return Ok(Some(channel));
    }
    let context = Arc::clone(context);
    let pumped = tokio::task::spawn_blocking(move || {
        let mut pump = channel.into_pump()?;
        pump.begin_answer()?;
        let mut wire = Pumped {
            pump: &mut pump,
            number,
        };
        match answer::send(&context, &wish, &mut upload, &mut wire) {
            Ok(()) => pump.end_answer(number, Ok(()))?,
            Err(BrokenOff::Reset { code, reason }) => {
                trace!(peer = %wish.peer.fmt_short(), "request ended early: {reason}");
                pump.end_answer(number, Err(code))?;
            }
            Err(BrokenOff::Connection(error)) => return Err(error),
        }
        Ok(pump)
    });
    let pump = pumped.await.map_err(io::Error::other)??;
    Channel::from_pump(pump).map(Some)
}

struct Pumped<'a> {
    pump: &'a mut Pump,
    number: u32,
}

impl Wire for Pumped<'_> {
    fn send(&mut self, part: &mut Vec<u8>) -> io::Result<()> {
        self.pump.answer(self.number, part)
    }

    fn is_stopped(&mut self) -> io::Result<bool> {
        self.pump.is_stopped(self.number)
    }

    fn rest(&mut self, wait: Duration) -> io::Result<()> {
        self.pump.rest(wait)
    }

    fn delay(&mut self) -> io::Result<Option<Duration>> {
        self.pump.delay(self.number)
    }
}
