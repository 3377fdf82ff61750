//! Connections of the local port: accepted, bounded, and ended with the node.
//!
//! What one client may cost is limited here: how many connections there are, how large and how slow a request's head
//! may be. How large and how slow a body may be depends on the route and is limited where it is read.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;

/// Connections at a time: a training job with many workers has some dozens; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;
/// The largest request head. Tokens and long paths fit many times.
const HEAD_LEN_MAX: usize = 64 * 1024;
/// Header lines of one request.
const HEADERS_MAX: usize = 128;
/// From the first moment a head is waited for to its last byte, idle time between two requests included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// What running answers get at the end of the node.
const LINGER: Duration = Duration::from_secs(2);
/// Before the next try when no connection can be accepted: no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until cancelled, then gives what is being answered a moment to end.
pub(super) async fn serve(listener: TcpListener, app: Router, cancel: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // Never closed, so there always comes a permit.
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => {}
            Some((slot, accepted)) = accepted => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, slot, app.clone(), cancel.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a local connection");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    _slot: OwnedSemaphorePermit,
    app: Router,
    cancel: CancellationToken,
) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match time::timeout(LINGER, connection).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        // Clients go away in the middle of things all the time.
        tracing::debug!(%error, "a local connection ended early");
    }
}
