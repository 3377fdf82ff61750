//! Watching any number of a peer's blobs over one TCP connection.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context as Polling, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;
use weft_protocol::id::BlobHash;

use crate::transfer::{
    link::{Kind, Link},
    observation::{self, Observation},
};

/// Questions and stops that wait to be sent: more than there are observations of one peer.
const ASKS_MAX: usize = 1_024;
/// Bytes of one observation that came and were not yet looked at; whoever asked looks at once.
const BUFFER_LEN: usize = 16 * 1024;

/// A connection on which blobs are watched. It ends with the last handle, or when the peer is lost or banned.
#[derive(Debug, Clone)]
pub(in crate::transfer) struct Watcher {
    asks: mpsc::Sender<Ask>,
    numbers: Arc<AtomicU32>,
}

#[derive(Debug)]
enum Ask {
    Begin {
        number: u32,
        request: Vec<u8>,
        items: DuplexStream,
    },
    Stop {
        number: u32,
    },
}

/// What came of one observation; dropped, it asks no more.
#[derive(Debug)]
struct Items {
    number: u32,
    items: DuplexStream,
    asks: mpsc::WeakSender<Ask>,
}

impl Watcher {
    /// Takes over a connection, until the last handle is gone or `ban` fires.
    pub(in crate::transfer) fn begin(
        tasks: &TaskTracker,
        link: Link,
        ban: CancellationToken,
    ) -> Self {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        tasks.spawn(async move {
            let peer = link.channel.peer();
            if let Some(Err(error)) = ban.run_until_cancelled(carry(link, asked)).await {
                debug!(peer = %peer.fmt_short(), "TCP connection lost: {error}");
            }
        });
        Self {
            asks,
            numbers: Arc::default(),
        }
    }

    pub(in crate::transfer) fn is_closed(&self) -> bool {
        self.asks.is_closed()
    }

    /// Waits until the connection is lost.
    pub(super) async fn closed(&self) {
        self.asks.closed().await;
    }

    /// Asks what the peer has of a blob.
    pub(super) async fn observe(&self, blob: BlobHash) -> io::Result<Observation> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (items, ours) = duplex(BUFFER_LEN);
        let begin = Ask::Begin {
            number,
            request: observation::request(blob)?,
            items: ours,
        };
        let sent = self.asks.send(begin).await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(Observation::new(Items {
            number,
            items,
            asks: self.asks.downgrade(),
        }))
    }
}

impl AsyncRead for Items {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Polling<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.items).poll_read(cx, buffer)
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        let number = self.number;
        if let Some(asks) = self.asks.upgrade() {
            // Where there is no room, the next item finds nobody and says so.
            let _ = asks.try_send(Ask::Stop { number });
        }
    }
}

/// Carries questions there and items back.
async fn carry(mut link: Link, mut asked: mpsc::Receiver<Ask>) -> io::Result<()> {
    link.channel.keep_alive()?;
    let mut open: HashMap<u32, DuplexStream> = HashMap::new();
    loop {
        let mut came = Vec::new();
        let mut each = |header: crate::transfer::link::Header, bytes: &[u8], last: bool| {
            came.push((header, bytes.to_vec(), last));
            Ok(())
        };
        tokio::select! {
            ask = asked.recv() => match ask {
                None => return Ok(()),
                Some(Ask::Begin { number, request, items }) => {
                    link.channel.ask(number, &request).await?;
                    open.insert(number, items);
                }
                Some(Ask::Stop { number }) => {
                    if open.remove(&number).is_some() {
                        link.channel.stop(number).await?;
                    }
                }
            },
            alive = link.channel.answers(&mut each) => if !alive? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            },
        }
        for (header, bytes, last) in came {
            let number = header.request;
            match header.kind {
                Kind::Data => {
                    let Some(items) = open.get_mut(&number) else {
                        continue;
                    };
                    if items.write_all(&bytes).await.is_err() {
                        open.remove(&number);
                        link.channel.stop(number).await?;
                    }
                }
                Kind::End | Kind::Reset if last => {
                    open.remove(&number);
                }
                _ => {}
            }
        }
    }
}
