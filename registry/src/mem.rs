//! The registry in memory, for simulations and tests.
//!
//! Clones of [`MemoryTables`] share their content, so that a simulated node finds its facts again when
//! it is restarted.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    error::Error,
    ledger::Ledger,
    schema::Family,
    tables::{Durability, Entry, Tables, Write},
};

/// A registry that forgets everything when its last clone of tables is dropped.
pub type MemoryRegistry = Ledger<MemoryTables>;

impl MemoryRegistry {
    /// An empty registry of its own.
    ///
    /// # Panics
    /// Never: empty tables in memory are always accepted.
    pub fn in_memory() -> Self {
        Self::open_tables(MemoryTables::default()).expect("empty tables have no wrong version")
    }
}

type Entries = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

/// Ordered tables in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTables {
    entries: Arc<RwLock<Entries>>,
}

impl Tables for MemoryTables {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        // A panic elsewhere cannot leave a half-applied batch: applying one does not panic.
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(&(family, key.to_vec())).cloned())
    }

    fn scan(&self, family: Family, prefix: &[u8]) -> Result<Vec<Entry>, Error> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries
            .range((family, prefix.to_vec())..)
            .take_while(|((f, key), _)| *f == family && key.starts_with(prefix))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn write(&self, writes: Vec<Write>, _: Durability) -> Result<(), Error> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for Write { family, key, value } in writes {
            match value {
                Some(value) => entries.insert((family, key), value),
                None => entries.remove(&(family, key)),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }
}
