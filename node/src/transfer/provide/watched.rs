//! Telling over TCP what is here: any number of blobs on one connection, which from then on carries nothing else.

use std::{collections::HashMap, io, sync::Arc};

use iroh_blobs::protocol::{ERR_LIMIT, ERR_PERMISSION, ObserveRequest, Request};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tracing::debug;
use weft_protocol::id::BlobHash;

use super::OBSERVATIONS_PER_CONNECTION_MAX;
use crate::transfer::{
    context::Context,
    link::{Channel, Kind},
    observation::Changes,
    peers::Inbound,
};

/// Items made and not yet sent. A full queue makes the next ones wait, and they then say more.
const ITEMS_MAX: usize = 16;

/// What becomes of an observation: its number with an item, or nothing when it ended.
type Told = (u32, Option<Vec<u8>>);

/// Answers a first observation and those that follow, until the connection ends.
pub(super) async fn serve(
    context: &Arc<Context>,
    mut channel: Channel,
    inbound: &Inbound,
    number: u32,
    first: ObserveRequest,
) -> io::Result<()> {
    let _activity = context.peers.activity(inbound.peer());
    channel.keep_alive()?;
    let (sender, mut told) = mpsc::channel::<Told>(ITEMS_MAX);
    let mut tasks = JoinSet::new();
    let mut open: HashMap<u32, AbortHandle> = HashMap::new();
    let mut begin = |open: &mut HashMap<u32, AbortHandle>, number, request: &ObserveRequest| {
        let blob = BlobHash::new(*request.hash.as_bytes());
        let changes = Changes::new(context, blob);
        open.insert(number, tasks.spawn(tell(changes, number, sender.clone())));
    };
    begin(&mut open, number, &first);
    loop {
        let asked = tokio::select! {
            asked = channel.request() => asked?,
            Some((number, item)) = told.recv() => {
                match item {
                    // What was on its way when it was stopped is not sent.
                    Some(item) if open.contains_key(&number) => channel.tell(number, &item).await?,
                    Some(_) => {}
                    None if open.remove(&number).is_some() => {
                        channel.end(number, Err(ERR_LIMIT)).await?;
                    }
                    None => {}
                }
                continue;
            }
        };
        let Some((header, payload)) = asked else {
            return Ok(());
        };
        let number = header.request;
        if header.kind == Kind::Stop {
            if let Some(task) = open.remove(&number) {
                task.abort();
                channel.end(number, Ok(())).await?;
            }
            continue;
        }
        match postcard::from_bytes::<Request>(&payload).map_err(io::Error::other)? {
            Request::Observe(_) if open.contains_key(&number) => {
                return Err(io::Error::other("two observations of one number"));
            }
            Request::Observe(_) if open.len() >= OBSERVATIONS_PER_CONNECTION_MAX => {
                channel.end(number, Err(ERR_LIMIT)).await?;
            }
            Request::Observe(observe) if context.offers(&observe.hash) => {
                begin(&mut open, number, &observe);
            }
            _ => {
                debug!(peer = %inbound.peer().fmt_short(), "request refused");
                channel.end(number, Err(ERR_PERMISSION)).await?;
            }
        }
    }
}

async fn tell(mut changes: Changes, number: u32, told: mpsc::Sender<Told>) {
    while let Ok(item) = changes.next().await {
        if told.send((number, Some(item))).await.is_err() {
            return;
        }
    }
    // Whoever listens may be gone as well.
    let _ = told.send((number, None)).await;
}
