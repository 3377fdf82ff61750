//! One line per route of the control API: path, request, operation.

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequest, Query, Request, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{ask_peers, stream};
use crate::{
    api::{ErrorBody, ErrorCode, ErrorResponse, route},
    operations::Operations,
};

type Shared = State<Arc<Operations>>;
type Answer<T> = Result<axum::Json<T>, Failure>;

/// The control API.
pub(super) fn control(operations: Arc<Operations>) -> Router {
    Router::new()
        .route(
            route::STATUS,
            get(async |ops: Shared| answer(ops.status().await)),
        )
        .route(
            route::PEERS,
            get(async |ops: Shared| answer(ops.peers().await))
                .post(async |ops: Shared, Body(body)| answer(ops.connect(body).await)),
        )
        .route(
            route::REPOSITORIES,
            get(async |ops: Shared| answer(ops.repositories().await)),
        )
        .route(
            route::REPOSITORY,
            get(async |ops: Shared, Query(q): Query<InfoQuery>| {
                answer(ops.info(&q.reference, q.tensors).await)
            }),
        )
        .route(
            route::LOG,
            get(async |ops: Shared, Query(q): Query<ByReference>| {
                answer(ops.log(&q.reference).await)
            }),
        )
        .route(
            route::CONFIG,
            get(async |ops: Shared| answer(ops.config().await))
                .post(async |ops: Shared, Body(body)| answer(ops.set_config(body).await)),
        )
        .route(
            route::MIRRORS,
            get(async |ops: Shared| answer(ops.mirrors().await)),
        )
        .route(
            route::ALIASES,
            get(async |ops: Shared| answer(ops.aliases().await))
                .post(async |ops: Shared, Body(body)| answer(ops.alias(body).await)),
        )
        .route(
            route::IDENTITIES,
            get(async |ops: Shared, Query(q): Query<ByPublisher>| {
                answer(ops.identities(q.publisher.as_deref()).await)
            }),
        )
        .route(
            route::IDENTITY_NEW,
            post(async |ops: Shared, Body(body)| answer(ops.new_identity(body).await)),
        )
        .route(
            route::IDENTITY_ROTATE,
            post(async |ops: Shared, Body(body)| answer(ops.rotate(body).await)),
        )
        .route(
            route::IDENTITY_RECOVER,
            post(async |ops: Shared, Body(body)| answer(ops.recover(body).await)),
        )
        .route(
            route::PUBLISH,
            post(async |State(ops): Shared, Body(body)| {
                stream::lines(ops, |ops, report| async move {
                    ops.publish(body, &report).await
                })
            }),
        )
        .route(
            route::FETCH,
            post(async |State(ops): Shared, Body(body)| {
                stream::lines(
                    ops,
                    |ops, report| async move { ops.fetch(body, &report).await },
                )
            }),
        )
        .route(
            route::SEED,
            post(async |State(ops): Shared, Body(body)| {
                stream::lines(
                    ops,
                    |ops, report| async move { ops.seed(body, &report).await },
                )
            }),
        )
        .route(
            route::VERIFY,
            post(async |State(ops): Shared, Body(body)| {
                stream::lines(
                    ops,
                    |ops, report| async move { ops.verify(body, &report).await },
                )
            }),
        )
        .route(
            route::MIRROR,
            post(async |State(ops): Shared, Body(body)| {
                stream::lines(
                    ops,
                    |ops, report| async move { ops.mirror(body, &report).await },
                )
            }),
        )
        .route(
            route::ASK,
            post(async |State(ops): Shared, Body(body)| {
                stream::answer(ops, |ops, lines| async move { ops.ask(body, &lines).await })
            }),
        )
        .route(
            route::EMBED,
            post(async |State(ops): Shared, Body(body)| {
                stream::lines(
                    ops,
                    |ops, report| async move { ops.embed(body, &report).await },
                )
            }),
        )
        .route(
            route::RUNNING,
            get(async |ops: Shared| answer(Ok(ops.running()))),
        )
        .route(
            route::UNLOAD,
            post(async |ops: Shared, Body(body)| answer(ops.unload(body).await)),
        )
        .route(
            route::UNSEED,
            post(async |ops: Shared, Body(body)| answer(ops.unseed(body).await)),
        )
        .route(
            route::UNMIRROR,
            post(async |ops: Shared, Body(body)| answer(ops.unmirror(body).await)),
        )
        .route(
            route::REMOVE,
            post(async |ops: Shared, Body(body)| answer(ops.remove(body).await)),
        )
        .route(
            route::PRUNE,
            post(async |ops: Shared, Body(body)| answer(ops.prune(body).await)),
        )
        .route(
            route::HOST,
            post(async |ops: Shared, Body(body)| answer(ops.host(body).await)),
        )
        .route(
            route::UNHOST,
            post(async |ops: Shared, Body(body)| answer(ops.unhost(body).await)),
        )
        .route(
            route::HOSTED,
            get(async |ops: Shared| answer(ops.hosted().await)),
        )
        .route(
            route::ASK_PEERS,
            post(async |State(ops): Shared, Body(body)| ask_peers::lines(ops, body)),
        )
        .route(
            route::RECEIPTS,
            get(async |ops: Shared, Query(q): Query<ByReceipt>| {
                answer(ops.receipts(q.receipt.as_deref()).await)
            }),
        )
        .route(
            route::AUDIT,
            post(async |ops: Shared, Body(body)| answer(ops.audit(body).await)),
        )
        .route(
            route::SHUTDOWN,
            post(async |ops: Shared| {
                ops.shutdown.cancel();
                answer(Ok(crate::api::Done {
                    message: Some("shutting down".to_owned()),
                }))
            }),
        )
        .with_state(operations)
}

/// What answers without a token.
pub(super) fn health() -> Router {
    Router::new().route("/health", get(async || "ok\n"))
}

#[derive(Debug, Deserialize)]
struct InfoQuery {
    reference: String,
    #[serde(default)]
    tensors: bool,
}

#[derive(Debug, Deserialize)]
struct ByReference {
    reference: String,
}

#[derive(Debug, Deserialize)]
struct ByReceipt {
    receipt: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ByPublisher {
    publisher: Option<String>,
}

/// A JSON body; what does not fit is told in the API's own shape.
struct Body<T>(T);

impl<S: Send + Sync, T: for<'de> Deserialize<'de>> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body: Result<axum::Json<T>, JsonRejection> =
            axum::Json::from_request(request, state).await;
        body.map(|axum::Json(body)| Self(body))
            .map_err(|e| Failure(ErrorBody::new(ErrorCode::Usage, e.body_text())))
    }
}

fn answer<T: Serialize>(result: Result<T, ErrorBody>) -> Answer<T> {
    result.map(axum::Json).map_err(Failure)
}

/// An error as a response.
#[derive(Debug)]
pub(super) struct Failure(pub(super) ErrorBody);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(ErrorResponse { error: self.0 })).into_response()
    }
}
