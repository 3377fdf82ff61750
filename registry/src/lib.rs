//! What a node knows for sure.
//!
//! The machine in `weft-protocol` decides; this crate writes its decisions down and hands them back
//! after a restart. It never touches the network, never reads a clock and never decides anything: the
//! rules that [`Registry::commit`] checks again are a second lock on the same door.
//!
//! Reading order: [`Registry`] (what can be asked), [`Error`] (how it says no), [`schema`] and [`key`] (where each
//! fact lies), [`record`] and [`blob`] (how it is written), [`plan`] (a batch of ops turned into checked writes),
//! [`ledger`] (the one implementation, over any [`tables::Tables`]), and the two tables: [`mem`] and, with the feature
//! `rocks`, `rocks`. [`failing`] breaks either of them on purpose.
//!
//! Invariants:
//! - A batch is applied whole or not at all, and is on disk before `commit` returns.
//! - The index of a repository's tip never falls, and an accepted head is never replaced by another.
//! - A database written by a newer version is refused before anything in it changes.

pub mod blob;
pub mod error;
pub mod failing;
pub mod key;
pub mod ledger;
pub mod local;
pub mod mem;
pub mod migrate;
pub mod plan;
pub mod query;
pub mod record;
#[cfg(feature = "rocks")]
pub mod rocks;
pub mod schema;
pub mod tables;

use weft_protocol::{
    id::{BlobHash, ObjectId, RepositoryId},
    op::{Op, Snapshot},
    sign::Envelope,
};

#[cfg(feature = "rocks")]
pub use self::rocks::RocksRegistry;
pub use self::{
    blob::{BlobRecord, BlobWrite},
    error::Error,
    ledger::Ledger,
    local::{DhtProvider, DhtRecord, Petname, PetnameTarget},
    mem::MemoryRegistry,
    tables::Durability,
};

/// The facts of one node. Synchronous: callers keep it off their async threads.
///
/// Reads may run beside each other and beside a commit; commits run one after another.
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// Everything the machine needs at start.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if what is stored makes no sense, or the storage's own failure.
    fn snapshot(&self) -> Result<Snapshot, Error>;

    /// Applies a batch in order, all of it or nothing, and returns when it is on disk.
    ///
    /// # Errors
    /// A broken rule ([`Error::is_refusal`]) or a failure of the storage. After a failure of the storage
    /// the batch may still turn out to be there on the next start, whole; never in part.
    fn commit(&self, ops: &[Op]) -> Result<(), Error>;

    /// The preimage of a stored object.
    ///
    /// # Errors
    /// Failures of the storage.
    fn object(&self, id: ObjectId) -> Result<Option<Vec<u8>>, Error>;

    /// The accepted head at `index`, if it was ever a tip here.
    ///
    /// # Errors
    /// Failures of the storage.
    fn head(&self, repository: &RepositoryId, index: u64) -> Result<Option<Envelope>, Error>;

    /// A stored DHT record. Expired ones are returned too: this crate has no clock.
    ///
    /// # Errors
    /// Failures of the storage.
    fn dht_record(&self, key: &[u8]) -> Result<Option<DhtRecord>, Error>;

    /// Stores a DHT record in place of any other under its key. Not synced: losing it costs a query.
    ///
    /// # Errors
    /// Failures of the storage.
    fn put_dht_record(&self, record: &DhtRecord) -> Result<(), Error>;

    /// Forgets a DHT record.
    ///
    /// # Errors
    /// Failures of the storage.
    fn remove_dht_record(&self, key: &[u8]) -> Result<(), Error>;

    /// All DHT records, by key.
    ///
    /// # Errors
    /// Failures of the storage.
    fn dht_records(&self) -> Result<Vec<DhtRecord>, Error>;

    /// The providers stored under a DHT key, by peer id.
    ///
    /// # Errors
    /// Failures of the storage.
    fn dht_providers(&self, key: &[u8]) -> Result<Vec<DhtProvider>, Error>;

    /// Stores a provider in place of an older record of the same peer under the same key. Not synced.
    ///
    /// # Errors
    /// Failures of the storage.
    fn put_dht_provider(&self, provider: &DhtProvider) -> Result<(), Error>;

    /// Forgets one provider of a DHT key.
    ///
    /// # Errors
    /// Failures of the storage.
    fn remove_dht_provider(&self, key: &[u8], provider: &[u8]) -> Result<(), Error>;

    /// All providers, by key and peer id.
    ///
    /// # Errors
    /// Failures of the storage.
    fn all_dht_providers(&self) -> Result<Vec<DhtProvider>, Error>;

    /// What a local name stands for.
    ///
    /// # Errors
    /// Failures of the storage.
    fn petname(&self, name: &str) -> Result<Option<PetnameTarget>, Error>;

    /// Gives a local name a meaning, replacing the one it had.
    ///
    /// # Errors
    /// Failures of the storage.
    fn set_petname(&self, name: &str, target: &PetnameTarget) -> Result<(), Error>;

    /// Forgets a local name.
    ///
    /// # Errors
    /// Failures of the storage.
    fn remove_petname(&self, name: &str) -> Result<(), Error>;

    /// All local names, in order.
    ///
    /// # Errors
    /// Failures of the storage.
    fn petnames(&self) -> Result<Vec<Petname>, Error>;

    /// A small setting of this node.
    ///
    /// # Errors
    /// Failures of the storage.
    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Stores a small setting.
    ///
    /// # Errors
    /// Failures of the storage.
    fn set_setting(&self, key: &str, value: &[u8]) -> Result<(), Error>;

    /// What is here of a blob.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if what is stored makes no sense, or a failure of the storage.
    fn blob(&self, blob: &BlobHash) -> Result<Option<BlobRecord>, Error>;

    /// The hash tree of a blob that is stored here because it is small.
    ///
    /// # Errors
    /// Failures of the storage.
    fn outboard(&self, blob: &BlobHash) -> Result<Option<Vec<u8>>, Error>;

    /// What is here of all blobs, by hash.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if what is stored makes no sense, or a failure of the storage.
    fn blobs(&self) -> Result<Vec<(BlobHash, BlobRecord)>, Error>;

    /// Changes what is known of blobs, all of it or nothing.
    ///
    /// # Errors
    /// Failures of the storage.
    fn write_blobs(&self, writes: &[BlobWrite], durability: Durability) -> Result<(), Error>;

    /// Brings unsynced writes (the DHT's) to disk; called on an orderly shutdown.
    ///
    /// # Errors
    /// Failures of the storage.
    fn sync(&self) -> Result<(), Error>;
}
