//! The local HTTP port: what programs on this machine say to the node.
//!
//! It carries the control API ([`crate::api`]), a health check, and endpoints for the clients people have: those of
//! Hugging Face ([`hub`], [`inference`]), OpenAI ([`openai`]) and Ollama ([`ollama`]). Rules for everything on it ([`guard`], [`listener`]): loopback only, an exact list of `Host` values
//! (against DNS rebinding), nothing that a web page elsewhere caused, bounded heads, bodies and times. The control API
//! wants the token that lies in the data directory; whoever changes a repository through the hub endpoint wants one too.

mod ask;
mod ask_peers;
mod guard;
mod hub;
mod inference;
mod listener;
mod ollama;
mod openai;
mod routes;
mod stream;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::guard::hub_token;
use crate::{
    api::{ErrorBody, ErrorCode},
    operations::Operations,
};

/// A bound port that does not answer yet.
#[derive(Debug)]
pub(crate) struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
}

impl Gateway {
    /// Takes the port.
    ///
    /// # Errors
    /// `Refused` if another program has it.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, ErrorBody> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok::<_, std::io::Error>(Self { listener, address })
        };
        bound.await.map_err(|e| {
            ErrorBody::new(
                ErrorCode::Refused,
                format!("cannot listen on the gateway address {address}: {e}"),
            )
            .with_hint("another program has this port; choose one with `--gateway 127.0.0.1:PORT`")
        })
    }

    /// The URL local programs use.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers until cancelled, then finishes what is being answered.
    pub(crate) async fn serve(
        self,
        operations: Arc<Operations>,
        token: String,
        cancel: CancellationToken,
    ) {
        let tokens = guard::Tokens::new(&token);
        let guard = Arc::new(guard::Guard::new(self.address, tokens.clone()));
        let app = Router::new()
            .merge(routes::control(operations.clone()))
            .layer(middleware::from_fn_with_state(guard.clone(), guard::token))
            .layer(axum::extract::DefaultBodyLimit::max(
                crate::defaults::CONTROL_BODY_LEN_MAX,
            ))
            .merge(routes::health())
            .merge(openai::router(operations.clone()))
            .merge(ollama::router(operations.clone()))
            .merge(hub::router(operations, tokens))
            .layer(middleware::from_fn_with_state(guard, guard::local));
        listener::serve(self.listener, app, cancel).await;
    }
}
