//! Revisions of which something is fetched because somebody reads it now.
//!
//! Only what is read is fetched: one file of a large revision does not bring the others. It begins with the first
//! reader and goes on a moment after the last one, since clients read file by file. What arrived stays. A fetch that fails is tried again for as long as there is a reader.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::watch, time};
use weft_protocol::id::{RepositoryId, RevisionId};

use crate::operations::Operations;

/// How long a fetch outlives its last reader: longer than a client needs between two files.
const LINGER: Duration = Duration::from_secs(20);
/// Before the next try after a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// What became of a fetch so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// It runs.
    #[default]
    Running,
    /// The last try failed; another one follows.
    Failed(String),
    /// Everything is here.
    Complete,
}

/// All fetches that readers wait for.
#[derive(Debug, Default)]
pub(super) struct Demand {
    running: Mutex<BTreeMap<RevisionId, Weak<watch::Sender<Progress>>>>,
}

/// Keeps a fetch going while it lives.
#[derive(Debug)]
pub(super) struct Reader(pub(super) watch::Receiver<Progress>);

impl Demand {
    /// Joins the fetch of a revision, or begins it.
    pub(super) fn read(
        self: &Arc<Self>,
        operations: &Arc<Operations>,
        repository: &RepositoryId,
        revision: RevisionId,
    ) -> Reader {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = running.get(&revision).and_then(Weak::upgrade) {
            return Reader(sender.subscribe());
        }
        let (sender, reader) = watch::channel(Progress::Running);
        let sender = Arc::new(sender);
        running.insert(revision, Arc::downgrade(&sender));
        tokio::spawn(fetch(
            Arc::clone(self),
            Arc::clone(operations),
            repository.clone(),
            revision,
            sender,
        ));
        Reader(reader)
    }

    fn forget(&self, revision: &RevisionId, sender: Arc<watch::Sender<Progress>>) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock nobody can join any more.
        if !sender.is_closed() {
            return false;
        }
        running.remove(revision);
        drop(sender);
        true
    }
}

async fn fetch(
    demand: Arc<Demand>,
    operations: Arc<Operations>,
    repository: RepositoryId,
    revision: RevisionId,
    sender: Arc<watch::Sender<Progress>>,
) {
    let shutdown = operations.shutdown.clone();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = attempts(&operations, &repository, revision, &sender) => {}
            () = deserted(&sender) => {}
        }
        // Whoever reads on needs nothing from here once all is complete.
        if *sender.borrow() == Progress::Complete {
            sender.closed().await;
        }
        if demand.forget(&revision, Arc::clone(&sender)) {
            return;
        }
    }
}

async fn attempts(
    operations: &Operations,
    repository: &RepositoryId,
    revision: RevisionId,
    sender: &watch::Sender<Progress>,
) {
    loop {
        let mut pending = operations.start_read(repository, revision).await;
        match Operations::fetch_ended(&mut pending).await {
            Ok(()) => {
                sender.send_replace(Progress::Complete);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, %revision, "a fetch for a reader failed");
                sender.send_replace(Progress::Failed(error.message));
                time::sleep(PAUSE).await;
            }
        }
    }
}

/// Returns when nobody has read for a while.
async fn deserted(sender: &watch::Sender<Progress>) {
    loop {
        sender.closed().await;
        time::sleep(LINGER).await;
        if sender.is_closed() {
            return;
        }
    }
}
