//! HTTP origins: any web server that holds the files of a revision, as one more source beside the peers.
//!
//! An origin is asked for byte ranges and knows nothing of hash trees. What it sends is held against the span
//! hashes of the manifest ([`weft_protocol::manifest::Spans`]) and dressed up as the answer of a peer, hash
//! pairs and all, so that the data plane takes it in by the same door and verifies it against the blob's own
//! hash: an origin can waste a span, never more, and never write a wrong byte.
//!
//! It decides nothing about when to ask: to the machine an origin is a source like any other, which is slow,
//! fails or lies by the same rules. Its name among the sources is made up ([`Origin::id`]) and never told to
//! anybody.
//!
//! # What it contacts
//! The URL that the user named, and where that redirects to, with two limits: a server on the internet does not
//! send us to addresses on our LAN or machine, and HTTPS does not lead to HTTP. No proxy, no cookie, no
//! referrer; credentials in the URL go to its own server only and into no log.
//!
//! Reading order: [`address`] (which URLs, which addresses), [`client`] (one request), [`encode`] (bytes into a
//! peer's answer), [`answer`] (a whole one).

mod address;
mod answer;
mod client;
mod encode;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use weft_protocol::{
    id::{BlobHash, NodeId, RevisionId},
    manifest::{File, Manifest, SPAN_LOG2_MAX, Spans},
    path::RepoPath,
};

pub use self::address::{AddressError, Base};
use self::client::Client;
pub(crate) use self::{
    address::Guard,
    client::{http, next_hop},
};

/// What separates the made-up id of an origin from every key and every other hash.
const ID_CONTEXT: &[u8] = b"weft/origin/v1\0";

/// One web server's copy of one revision.
#[derive(Debug)]
pub struct Origin {
    id: NodeId,
    base: Base,
    files: BTreeMap<BlobHash, Entry>,
    client: Client,
}

/// A file that the origin can be asked for.
#[derive(Debug)]
struct Entry {
    path: RepoPath,
    size: u64,
    spans: Option<Spans>,
}

/// An origin cannot be used at all: the HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SetupError(String);

impl Origin {
    /// The copy of `manifest`'s files below `base`. `nonce` keeps two uses of one server apart.
    ///
    /// # Errors
    /// If this machine cannot speak HTTP.
    pub fn new(
        base: Base,
        revision: RevisionId,
        manifest: &Manifest,
        nonce: u64,
    ) -> Result<Self, SetupError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(ID_CONTEXT);
        hasher.update(&nonce.to_le_bytes());
        hasher.update(revision.as_bytes());
        hasher.update(base.name().as_bytes());
        let files = manifest.files.iter().filter(|file| is_checkable(file));
        let files = files.map(|file| {
            let entry = Entry {
                path: file.path.clone(),
                size: file.size,
                spans: file.spans.clone(),
            };
            (file.blake3, entry)
        });
        Ok(Self {
            id: NodeId::new(*hasher.finalize().as_bytes()),
            client: Client::new(&base)?,
            files: files.collect(),
            base,
        })
    }

    /// Its name among the sources of a download: no key, so that no peer can have it.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its name for people: scheme, host and port, without credentials and path.
    pub fn name(&self) -> String {
        self.base.name()
    }

    /// Whether it can be asked for a blob.
    pub fn has(&self, blob: &BlobHash) -> bool {
        self.files.contains_key(blob)
    }
}

/// Whether a part of the file can be checked before all of it is here, or all of it fits into memory.
fn is_checkable(file: &File) -> bool {
    file.size > 0 && (file.spans.is_some() || !Spans::apply_to(file.size, SPAN_LOG2_MAX))
}
