//! The endpoint that Ollama's clients understand: `OLLAMA_HOST=http://127.0.0.1:4780` and nothing else changes.
//!
//! Answers in parts are lines of JSON, and that is the default. Names without a tag mean what they mean elsewhere here;
//! in lists they end in `:latest`. What would change a repository is refused: `weft` does that. The root of the port is
//! Ollama's heartbeat; what another client sends there ([`super::inference`]) is answered in the same shape.

mod answer;
mod embed;
mod fields;
mod generate;
mod models;
mod pull;
mod reply;

use axum::{
    Router,
    body::Body,
    extract::{Query, State},
    http::HeaderMap,
    response::Response,
    routing::{MethodRouter, any, get, post},
};

use self::reply::{Answer, Failed, ok};
use super::{
    ask::{Fault, Shared},
    inference::{Address, vectors},
};

/// The routes of the endpoint.
pub(super) fn router(operations: Shared) -> Router {
    Router::new()
        .route(
            "/",
            only(get(async || "Ollama is running").post(
                async |State(ops): State<Shared>,
                       Query(address): Query<Address>,
                       headers: HeaderMap,
                       body: Body| {
                    answer(vectors(&ops, &headers, address, body).await.map(ok))
                },
            )),
        )
        .route(
            "/api/version",
            only(get(async || answer(Ok(models::version())))),
        )
        .route(
            "/api/tags",
            only(get(async |State(ops): State<Shared>| {
                answer(models::tags(&ops).await)
            })),
        )
        .route(
            "/api/ps",
            only(get(async |State(ops): State<Shared>| {
                answer(models::running(&ops).await)
            })),
        )
        .route(
            "/api/show",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(models::show(&ops, &headers, body).await)
                },
            )),
        )
        .route(
            "/api/generate",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(generate::generate(ops, &headers, body).await)
                },
            )),
        )
        .route(
            "/api/chat",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(generate::chat(ops, &headers, body).await)
                },
            )),
        )
        .route(
            "/api/embed",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(embed::many(&ops, &headers, body).await)
                },
            )),
        )
        .route(
            "/api/embeddings",
            only(post(
                async |State(ops): State<Shared>, headers: HeaderMap, body: Body| {
                    answer(embed::one(&ops, &headers, body).await)
                },
            )),
        )
        .route(
            "/api/pull",
            only(post(async |State(ops): State<Shared>, body: Body| {
                answer(pull::answer(ops, body).await)
            })),
        )
        .route(
            "/api/delete",
            any(async || elsewhere("`weft rm` removes models")),
        )
        .route(
            "/api/copy",
            any(async || elsewhere("`weft alias` gives models other names")),
        )
        .route(
            "/api/create",
            any(async || elsewhere("`weft publish` makes models")),
        )
        .route(
            "/api/push",
            any(async || elsewhere("`weft publish` makes models")),
        )
        .route(
            "/api/me",
            any(async || {
                let fault = Fault {
                    status: 401,
                    ..Fault::forbidden("unauthorized")
                };
                answer(Err(fault))
            }),
        )
        .with_state(operations)
}

fn elsewhere(hint: &str) -> Response {
    answer(Err(Fault::forbidden(format!("not offered here: {hint}"))))
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
