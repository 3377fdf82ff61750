//! The registry's writer thread: the only place that blocks on the database.
//!
//! It takes batches and reads in the order the machine asked for them and answers each one. A batch is durable
//! when it is answered.

use std::{sync::Arc, thread};

use tokio::sync::mpsc;
use weft_protocol::{
    id::{ObjectId, RepositoryId},
    op::Op,
    service::{Input, RequestId, StorageError},
};
use weft_registry::Registry;

/// One thing to do for the machine.
#[derive(Debug)]
pub(crate) enum Command {
    Commit {
        request: RequestId,
        ops: Vec<Op>,
    },
    ReadObject {
        request: RequestId,
        id: ObjectId,
    },
    ReadHead {
        request: RequestId,
        repository: RepositoryId,
        index: u64,
    },
}

/// How many commands may wait; the machine keeps fewer in flight.
const COMMANDS_MAX: usize = 256;

/// Starts the thread. It ends when the sender is dropped and everything queued is done.
///
/// # Errors
/// If the operating system gives no thread.
pub(crate) fn spawn(
    registry: Arc<dyn Registry>,
    inputs: mpsc::Sender<Input>,
) -> std::io::Result<(mpsc::Sender<Command>, thread::JoinHandle<()>)> {
    let (sender, mut receiver) = mpsc::channel(COMMANDS_MAX);
    let thread = thread::Builder::new()
        .name("weft-storage".into())
        .spawn(move || {
            while let Some(command) = receiver.blocking_recv() {
                if inputs
                    .blocking_send(carry_out(registry.as_ref(), command))
                    .is_err()
                {
                    return;
                }
            }
        })?;
    Ok((sender, thread))
}

fn carry_out(registry: &dyn Registry, command: Command) -> Input {
    match command {
        Command::Commit { request, ops } => Input::Committed {
            request,
            result: registry.commit(&ops).map_err(|error| {
                tracing::warn!(%error, "the registry refused a batch");
                StorageError::from(error)
            }),
        },
        Command::ReadObject { request, id } => Input::ObjectRead {
            request,
            preimage: registry.object(id).unwrap_or_else(|error| {
                tracing::warn!(%error, id = %id.fmt_short(), "cannot read an object");
                None
            }),
        },
        Command::ReadHead {
            request,
            repository,
            index,
        } => Input::HeadRead {
            request,
            head: registry.head(&repository, index).unwrap_or_else(|error| {
                tracing::warn!(%error, %repository, index, "cannot read a head");
                None
            }),
        },
    }
}
