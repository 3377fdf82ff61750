//! Answers of peers, line by line as they come.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use tokio::sync::mpsc;

use crate::{
    api::{AskPeersLine, AskPeersRequest},
    operations::Operations,
};

/// Lines that wait for a slow reader; then the host waits.
const LINES_MAX: usize = 64;

/// Asks, and streams what is heard. The question is cancelled with the connection.
pub(super) fn lines(operations: Arc<Operations>, request: AskPeersRequest) -> Response {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    let shutdown = operations.shutdown.clone();
    tokio::spawn(shutdown.run_until_cancelled_owned(async move {
        let asked = tokio::select! {
            () = sender.closed() => return,
            asked = operations.ask_peers(request, &sender) => asked,
        };
        if let Err(error) = asked {
            // Whoever asked may be gone.
            let _ = sender.send(AskPeersLine::Error(error)).await;
        }
    }));
    let body = stream::unfold(receiver, |mut receiver| async {
        let line = receiver.recv().await?;
        Some((Ok::<_, Infallible>(encode(&line)), receiver))
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(body),
    )
        .into_response()
}

fn encode(line: &AskPeersLine) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
