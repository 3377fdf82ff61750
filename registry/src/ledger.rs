//! The one implementation of [`Registry`], over any [`Tables`].

use std::sync::{PoisonError, RwLock};

use weft_protocol::{
    id::{BlobHash, ObjectId, RepositoryId},
    op::{Op, Snapshot},
    sign::Envelope,
};

use crate::{
    Registry,
    blob::{BlobRecord, BlobWrite},
    error::Error,
    key,
    local::{DhtProvider, DhtRecord, Petname, PetnameTarget},
    migrate,
    plan::Plan,
    query,
    record::{self, corrupt},
    schema::Family,
    tables::{Durability, Tables, Write},
};

/// A registry in tables.
#[derive(Debug)]
pub struct Ledger<T> {
    tables: T,
    /// Held for writing from the first rule checked to the batch on disk, and for reading while a
    /// snapshot is taken: a batch is judged by exactly what it is applied to, and seen whole.
    order: RwLock<()>,
}

impl<T: Tables> Ledger<T> {
    /// Opens tables that may hold a registry already.
    ///
    /// # Errors
    /// [`Error::Newer`] with nothing changed, [`Error::Corrupt`], or a failure of the storage.
    pub fn open_tables(tables: T) -> Result<Self, Error> {
        migrate::prepare(&tables)?;
        Ok(Self {
            tables,
            order: RwLock::new(()),
        })
    }

    fn put(
        &self,
        family: Family,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        durability: Durability,
    ) -> Result<(), Error> {
        self.tables
            .write(vec![Write { family, key, value }], durability)
    }
}

impl<T: Tables> Registry for Ledger<T> {
    fn snapshot(&self) -> Result<Snapshot, Error> {
        let _order = self.order.read().unwrap_or_else(PoisonError::into_inner);
        query::snapshot(&self.tables)
    }

    fn commit(&self, ops: &[Op]) -> Result<(), Error> {
        let _order = self.order.write().unwrap_or_else(PoisonError::into_inner);
        let mut plan = Plan::new(&self.tables);
        ops.iter().try_for_each(|op| plan.apply(op))?;
        let writes = plan.into_writes();
        if writes.is_empty() {
            return Ok(());
        }
        self.tables.write(writes, Durability::Synced)
    }

    fn object(&self, id: ObjectId) -> Result<Option<Vec<u8>>, Error> {
        self.tables.get(Family::Objects, id.as_bytes())
    }

    fn head(&self, repository: &RepositoryId, index: u64) -> Result<Option<Envelope>, Error> {
        self.tables
            .get(Family::Heads, &key::indexed(repository, index))?
            .map(|bytes| record::decode(Family::Heads, &bytes))
            .transpose()
    }

    fn dht_record(&self, key: &[u8]) -> Result<Option<DhtRecord>, Error> {
        self.tables
            .get(Family::DhtRecords, &key::dht(key))?
            .map(|bytes| record::decode(Family::DhtRecords, &bytes))
            .transpose()
    }

    fn put_dht_record(&self, record: &DhtRecord) -> Result<(), Error> {
        self.put(
            Family::DhtRecords,
            key::dht(&record.key),
            Some(record::encode(record)),
            Durability::Buffered,
        )
    }

    fn remove_dht_record(&self, key: &[u8]) -> Result<(), Error> {
        let key = key::dht(key);
        self.put(Family::DhtRecords, key, None, Durability::Buffered)
    }

    fn dht_records(&self) -> Result<Vec<DhtRecord>, Error> {
        query::all(&self.tables, Family::DhtRecords)
    }

    fn dht_providers(&self, key: &[u8]) -> Result<Vec<DhtProvider>, Error> {
        self.tables
            .scan(Family::DhtProviders, &key::dht(key))?
            .iter()
            .map(|(_, value)| record::decode(Family::DhtProviders, value))
            .collect()
    }

    fn put_dht_provider(&self, provider: &DhtProvider) -> Result<(), Error> {
        self.put(
            Family::DhtProviders,
            key::dht_provider(&provider.key, &provider.provider),
            Some(record::encode(provider)),
            Durability::Buffered,
        )
    }

    fn remove_dht_provider(&self, key: &[u8], provider: &[u8]) -> Result<(), Error> {
        let key = key::dht_provider(key, provider);
        self.put(Family::DhtProviders, key, None, Durability::Buffered)
    }

    fn all_dht_providers(&self) -> Result<Vec<DhtProvider>, Error> {
        query::all(&self.tables, Family::DhtProviders)
    }

    fn petname(&self, name: &str) -> Result<Option<PetnameTarget>, Error> {
        self.tables
            .get(Family::Petnames, name.as_bytes())?
            .map(|value| petname_target(&value))
            .transpose()
    }

    fn set_petname(&self, name: &str, target: &PetnameTarget) -> Result<(), Error> {
        let value = target.to_string().into_bytes();
        self.put(
            Family::Petnames,
            name.as_bytes().to_vec(),
            Some(value),
            Durability::Synced,
        )
    }

    fn remove_petname(&self, name: &str) -> Result<(), Error> {
        let key = name.as_bytes().to_vec();
        self.put(Family::Petnames, key, None, Durability::Synced)
    }

    fn petnames(&self) -> Result<Vec<Petname>, Error> {
        self.tables
            .scan(Family::Petnames, &[])?
            .into_iter()
            .map(|(name, value)| {
                Ok(Petname {
                    name: String::from_utf8(name)
                        .map_err(|_| corrupt(Family::Petnames, "a name that is not text"))?,
                    target: petname_target(&value)?,
                })
            })
            .collect()
    }

    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.tables.get(Family::Settings, key.as_bytes())
    }

    fn set_setting(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.put(
            Family::Settings,
            key.as_bytes().to_vec(),
            Some(value.to_vec()),
            Durability::Synced,
        )
    }

    fn blob(&self, blob: &BlobHash) -> Result<Option<BlobRecord>, Error> {
        self.tables
            .get(Family::Blobs, blob.as_bytes())?
            .map(|bytes| record::decode(Family::Blobs, &bytes))
            .transpose()
    }

    fn outboard(&self, blob: &BlobHash) -> Result<Option<Vec<u8>>, Error> {
        self.tables.get(Family::Outboards, blob.as_bytes())
    }

    fn blobs(&self) -> Result<Vec<(BlobHash, BlobRecord)>, Error> {
        self.tables
            .scan(Family::Blobs, &[])?
            .iter()
            .map(|(key, value)| {
                let blob = BlobHash::new(record::fixed(Family::Blobs, key)?);
                Ok((blob, record::decode(Family::Blobs, value)?))
            })
            .collect()
    }

    fn write_blobs(&self, writes: &[BlobWrite], durability: Durability) -> Result<(), Error> {
        let mut batch = Vec::with_capacity(writes.len() * 2);
        for write in writes {
            let key = || write.blob.as_bytes().to_vec();
            batch.push(Write {
                family: Family::Blobs,
                key: key(),
                value: write.record.as_ref().map(record::encode),
            });
            if write.record.is_none() || write.outboard.is_some() {
                batch.push(Write {
                    family: Family::Outboards,
                    key: key(),
                    value: write.outboard.clone(),
                });
            }
        }
        self.tables.write(batch, durability)
    }

    fn sync(&self) -> Result<(), Error> {
        self.tables.sync()
    }
}

fn petname_target(value: &[u8]) -> Result<PetnameTarget, Error> {
    str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| corrupt(Family::Petnames, "a target that is not an id"))
}
