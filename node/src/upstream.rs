//! Another hub as the origin of what no publisher signed: repositories that weft does not know and the hub of
//! `origin.hub` does.
//!
//! A revision is resolved at the hub once and pinned to its commit ([`Snapshot`]); its files are fetched when they are
//! read ([`Content`]), from nodes near here that have them or are getting them, else from the hub, and are right when they
//! have the hash that the hub gave. What was seen once works without the hub. Off until the user names a hub.
//!
//! Whom it tells what: the hub, what is asked of it, with the user's token if one came along; nodes of the same site,
//! what public files are wanted; nobody else anything. Nothing of a private or gated repository is given to others.
//!
//! Reading order: `client` (one question over HTTP), `snapshot` (what a revision is), `resolve` (from a name to a
//! snapshot), `content` and `ranges` (a file on its way), `pull` (fetching it), `near` (with others on the site), `all`
//! (a whole revision), `loose` (what nothing holds).

mod all;
mod client;
mod content;
mod loose;
mod near;
mod pull;
mod ranges;
mod resolve;
mod snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use tokio_util::sync::CancellationToken;
use weft_protocol::{id::NodeId, wire::near::ContentHash};

use self::client::Client;
pub(crate) use self::{
    client::{Token, Trouble},
    content::{Content, Place, Reader, is_content},
    snapshot::{Entry, Snapshot},
};
use crate::{files, origin::Base, service, transfer};

/// Snapshots kept in memory; all are on disk.
const SNAPSHOTS_MAX: usize = 64;

/// What sort of repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Model,
    Dataset,
    Space,
}

impl Kind {
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
        }
    }

    /// What stands before a repository's id in the address of a file.
    fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
        }
    }
}

/// A name for a revision as somebody asked for it, of one hub, kind and repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key([u8; 32]);

impl Key {
    fn text(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

/// The hub behind this node.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: Client,
    node: NodeId,
    root: PathBuf,
    transfer: transfer::Handle,
    service: service::Handle,
    shutdown: CancellationToken,
    snapshots: Mutex<Vec<Arc<Snapshot>>>,
    /// When names were last asked for at the hub.
    looked: Mutex<BTreeMap<Key, Instant>>,
    /// The hub did not answer: until then it is not waited for where there is another way.
    silent_until: Mutex<Option<Instant>>,
    /// One question at a time for each name.
    asking: Mutex<BTreeMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    contents: Mutex<BTreeMap<ContentHash, Arc<Content>>>,
    /// Content of public repositories: the only one that others are told of.
    public: Mutex<BTreeSet<ContentHash>>,
}

impl Upstream {
    /// Takes up what earlier runs left below `root`.
    ///
    /// # Errors
    /// If the directory cannot be used or this machine cannot speak HTTP.
    pub(crate) fn open(
        base: Base,
        root: PathBuf,
        transfer: &transfer::Handle,
        service: &service::Handle,
        shutdown: CancellationToken,
    ) -> io::Result<Arc<Self>> {
        for folder in ["files", "names", "snapshots"] {
            files::private_folder(&root.join(folder))?;
        }
        let upstream = Arc::new(Self {
            client: Client::new(base).map_err(io::Error::other)?,
            node: transfer.id(),
            root,
            transfer: transfer.clone(),
            service: service.clone(),
            shutdown,
            snapshots: Mutex::default(),
            looked: Mutex::default(),
            silent_until: Mutex::default(),
            asking: Mutex::default(),
            contents: Mutex::default(),
            public: Mutex::default(),
        });
        upstream.load_public()?;
        let answerer: Weak<Self> = Arc::downgrade(&upstream);
        transfer.answer_near(answerer);
        Ok(upstream)
    }

    /// The hub's name for people.
    pub(crate) fn name(&self) -> String {
        self.client.name()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
