//! Models that answer: on this machine, or at a peer.
//!
//! Who can answer a [`Question`] is an [`Answerer`]: the pool runs engines here, others ask elsewhere. Which
//! weights a question is about is said by a [`ModelId`], which means the same bytes on every node; names are resolved
//! before (`operations/models`), and the files are laid out for an engine after (`shelf`).

mod asker;
mod auditor;
#[cfg(feature = "faults")]
mod faults;
mod host;
mod joined;
mod keeper;
mod mailbox;
pub(crate) mod pool;
mod process;
mod receipts;
mod route;
#[cfg(test)]
mod samples;
mod shelf;

use std::{fmt, future::Future, io, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    id::NodeId,
    infer::{Description, Event, Job, ModelId, Refusal},
};
use weft_registry::Registry;

use self::{
    pool::{Pool, Settings},
    process::Program,
    shelf::Shelf,
};
use crate::transfer;

/// Starts the pool of this node.
///
/// # Errors
/// When this program does not find itself.
pub(crate) fn start(
    settings: Settings,
    registry: Arc<dyn Registry>,
    transfer: transfer::Handle,
    directory: PathBuf,
    cancel: CancellationToken,
) -> io::Result<(Pool, JoinHandle<()>)> {
    let shelf = Shelf {
        registry,
        transfer,
        directory,
    };
    // Of a node that was killed; usually there is nothing.
    shelf.clear();
    Ok(Pool::start(settings, shelf, Program::own()?, cancel))
}

pub use self::route::Peers;
pub(crate) use self::{
    asker::{Asker, Heard, Parts},
    auditor::Report,
    host::Hosting,
    receipts::{Found, Receipts},
    route::Route,
};

/// What comes back: any number of events, of which the last is the only one that ends an answer
/// ([`Event::Done`], `Embedded`, `Scored` or `Failed`). Dropping it cancels the job and frees what it holds.
pub type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// What will be said of a model.
pub type Describing = Pin<Box<dyn Future<Output = Result<Description, Refusal>> + Send>>;

/// Somebody who answers.
pub trait Answerer: fmt::Debug + Send + Sync {
    /// Asks. Never waits: refusals come as the first event.
    fn ask(&self, question: Question) -> Events;

    /// What a model is; it is loaded for that if it is not yet.
    fn describe(&self, model: Model, caller: Caller) -> Describing;
}

/// A model that is asked: what it is, and what it is called by who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Which weights.
    pub id: ModelId,
    /// `publisher/name:tag` for lists and messages; decides nothing.
    pub name: String,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who shall answer it.
    pub model: Model,
    /// What is asked.
    pub job: Job,
    /// On whose behalf.
    pub caller: Caller,
    /// After how long nobody wants the answer any more.
    pub deadline: Option<Duration>,
    /// How long the model stays in memory afterwards, if who asks has a wish.
    pub keep: Option<Keep>,
}

/// On whose behalf something is asked: each has a share of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A program on this machine. The number tells connections apart, so that one with many requests does not starve another.
    Local(u64),
    /// A node that the user named.
    Known(NodeId),
    /// Any other node: it gets what a stranger may have.
    Peer(NodeId),
}

/// How long a model stays in memory without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So long; zero lets it go with the end of the answer.
    For(Duration),
    /// Until the memory is needed.
    Forever,
}
