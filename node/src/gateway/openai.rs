//! The endpoint that OpenAI's clients understand: `OPENAI_BASE_URL=http://127.0.0.1:4780/v1` and nothing else changes.
//!
//! Any key is accepted and none is needed: who may use this port is decided by [`super::guard`]. What is not supported
//! is refused and never ignored in silence.

mod chat;
mod completions;
mod embeddings;
mod fields;
mod models;
mod reply;
mod stream;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::{MethodRouter, get, post},
};

use self::reply::{Answer, Failed};
pub(super) use self::{
    embeddings::{normalise, shorten},
    fields::{keep, stops},
};
use super::ask::{Fault, Shared};

/// The routes of the endpoint.
pub(super) fn router(operations: Shared) -> Router {
    Router::new()
        .route(
            "/v1/models",
            only(get(async |State(ops): State<Shared>| {
                answer(models::list(&ops).await)
            })),
        )
        .route(
            "/v1/models/{*id}",
            only(get(
                async |State(ops): State<Shared>, Path(id): Path<String>| {
                    answer(models::one(&ops, &id).await)
                },
            )),
        )
        .route(
            "/v1/chat/completions",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(chat::answer(ops, &headers, body).await)
                },
            )),
        )
        .route(
            "/v1/completions",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(completions::answer(ops, &headers, body).await)
                },
            )),
        )
        .route(
            "/v1/embeddings",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(embeddings::answer(&ops, &headers, body).await)
                },
            )),
        )
        .with_state(operations)
}

/// Other methods are refused in the endpoint's own shape.
fn only(route: MethodRouter<Shared>) -> MethodRouter<Shared> {
    route.fallback(async || {
        let fault = Fault {
            status: 405,
            ..Fault::invalid("this path is not used with this method")
        };
        answer(Err(fault))
    })
}

fn answer(answer: Answer) -> Response {
    answer.unwrap_or_else(|fault| Failed(fault).into())
}
