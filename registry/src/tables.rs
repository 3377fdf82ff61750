//! The little that the registry asks of a storage: ordered tables, atomic batches, and fsync.

use crate::{error::Error, schema::Family};

/// Key and value, as stored.
pub type Entry = (Vec<u8>, Vec<u8>);

/// One write: into which table, under which key, and the new value or `None` to remove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The table.
    pub family: Family,
    /// The key.
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives loss of power.
    Synced,
    /// It survives the end of the process; loss of power may take back the last ones.
    Buffered,
}

/// Ordered tables of bytes.
pub trait Tables: Send + Sync + std::fmt::Debug {
    /// One value.
    ///
    /// # Errors
    /// Failures of the storage.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// All entries whose key starts with `prefix`, in key order.
    ///
    /// # Errors
    /// Failures of the storage.
    fn scan(&self, family: Family, prefix: &[u8]) -> Result<Vec<Entry>, Error>;

    /// Applies all writes in order or none, however many tables they touch.
    ///
    /// # Errors
    /// Failures of the storage.
    fn write(&self, writes: Vec<Write>, durability: Durability) -> Result<(), Error>;

    /// Makes every earlier write survive loss of power.
    ///
    /// # Errors
    /// Failures of the storage.
    fn sync(&self) -> Result<(), Error>;
}
