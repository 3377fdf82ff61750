//! A batch of ops turned into writes, with every rule checked on the way.
//!
//! Nothing is written here: a [`Plan`] collects writes over the tables it reads, so that a later op sees
//! what an earlier one of the same batch will do, and a refused op leaves nothing behind.

use std::collections::BTreeMap;

use weft_protocol::{
    id::{ObjectId, PublisherId, RepositoryId},
    op::Op,
    sign::Envelope,
};

use crate::{
    error::Error,
    key,
    record::{self, Record, RepositoryRecord},
    schema::Family,
    tables::{Tables, Write},
};

/// The writes that a batch amounts to so far.
#[derive(Debug)]
pub struct Plan<'a, T> {
    tables: &'a T,
    writes: BTreeMap<(Family, Vec<u8>), Option<Vec<u8>>>,
}

impl<'a, T: Tables> Plan<'a, T> {
    /// An empty plan over what `tables` hold now.
    pub fn new(tables: &'a T) -> Self {
        Self {
            tables,
            writes: BTreeMap::new(),
        }
    }

    /// The writes, one per key, in key order.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
            .into_iter()
            .map(|((family, key), value)| Write { family, key, value })
            .collect()
    }

    /// Adds one op.
    ///
    /// # Errors
    /// A broken rule, or a failure of the storage while reading.
    pub fn apply(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::PutIdentity { publisher, events } => self.put_identity(*publisher, events)?,
            Op::PutIdentityFork { publisher, proof } => {
                self.put_first(Family::IdentityForks, publisher.as_bytes().to_vec(), proof)?;
            }
            Op::PutHead {
                repository,
                index,
                id,
                head,
            } => self.put_head(repository, *index, *id, head)?,
            Op::PutFreshness {
                repository,
                freshness,
            } => {
                self.touch_repository(repository)?;
                self.put(
                    Family::Freshness,
                    key::repository(repository),
                    record::encode(freshness),
                );
            }
            Op::PutLeaves {
                repository,
                first,
                ids,
            } => self.put_leaves(repository, *first, ids)?,
            Op::PutEquivocation { repository, proof } => {
                self.touch_repository(repository)?;
                self.put_first(Family::Equivocations, key::repository(repository), proof)?;
            }
            Op::PutObject { id, preimage } => {
                let found = ObjectId::new(*blake3::hash(preimage).as_bytes());
                if found != *id {
                    return Err(Error::ObjectMismatch { id: *id, found });
                }
                self.put(Family::Objects, id.as_bytes().to_vec(), preimage.clone());
            }
            Op::DeleteObject { id } => self.delete(Family::Objects, id.as_bytes().to_vec()),
            Op::PutRevision(revision) => self.put(
                Family::Revisions,
                key::revision(&revision.repository, &revision.revision),
                record::encode(revision),
            ),
            Op::DeleteRevision {
                repository,
                revision,
            } => self.delete(Family::Revisions, key::revision(repository, revision)),
            Op::PutMirror(mirror) => self.put(
                Family::Mirrors,
                key::scope(&mirror.scope),
                record::encode(mirror),
            ),
            Op::DeleteMirror { scope } => self.delete(Family::Mirrors, key::scope(scope)),
            Op::PutPeer(peer) => self.put(
                Family::Peers,
                peer.peer.as_bytes().to_vec(),
                record::encode(peer),
            ),
            Op::DeletePeer { peer } => self.delete(Family::Peers, peer.as_bytes().to_vec()),
        }
        Ok(())
    }

    /// A log may only grow. Bodies are compared: another set of valid signatures is the same event.
    fn put_identity(&mut self, publisher: PublisherId, events: &[Envelope]) -> Result<(), Error> {
        let key = publisher.as_bytes().to_vec();
        let stored: Vec<Envelope> = self.record(Family::Identities, &key)?.unwrap_or_default();
        for (index, old) in (0..).zip(&stored) {
            let same = usize::try_from(index)
                .ok()
                .and_then(|i| events.get(i))
                .is_some_and(|new| new.body == old.body);
            if !same {
                return Err(Error::IdentityDiverges { publisher, index });
            }
        }
        self.put(Family::Identities, key, record::encode(&events.to_vec()));
        Ok(())
    }

    fn put_head(
        &mut self,
        repository: &RepositoryId,
        index: u64,
        id: ObjectId,
        head: &Envelope,
    ) -> Result<(), Error> {
        let mut facts = self.repository(repository)?;
        let conflict = |have| Error::Conflict {
            repository: Box::new(repository.clone()),
            index,
            have,
            got: id,
        };
        match facts.tip {
            Some((have, _)) if index < have => {
                return Err(Error::IndexFalls {
                    repository: Box::new(repository.clone()),
                    have,
                    got: index,
                });
            }
            Some((have, tip)) if index == have && tip != id => return Err(conflict(tip)),
            _ => {}
        }
        if let Some(leaf) = self.leaf(repository, index)?
            && leaf != id
        {
            return Err(conflict(leaf));
        }
        facts.name = repository.name.clone();
        facts.tip = Some((index, id));
        let bytes = record::encode(head);
        self.put(Family::Heads, key::indexed(repository, index), bytes);
        self.put_repository(repository, &facts);
        Ok(())
    }

    fn put_leaves(
        &mut self,
        repository: &RepositoryId,
        first: u64,
        ids: &[ObjectId],
    ) -> Result<(), Error> {
        let mut facts = self.repository(repository)?;
        if first > facts.leaves {
            return Err(Error::Gap {
                repository: Box::new(repository.clone()),
                expected: facts.leaves,
                got: first,
            });
        }
        for (index, id) in (first..).zip(ids) {
            let known = match facts.tip {
                Some((tip, have)) if tip == index => Some(have),
                _ => self.leaf(repository, index)?,
            };
            if let Some(have) = known
                && have != *id
            {
                return Err(Error::Conflict {
                    repository: Box::new(repository.clone()),
                    index,
                    have,
                    got: *id,
                });
            }
            self.put(
                Family::Leaves,
                key::indexed(repository, index),
                id.as_bytes().to_vec(),
            );
            facts.leaves = facts.leaves.max(index.saturating_add(1));
        }
        self.put_repository(repository, &facts);
        Ok(())
    }

    fn leaf(&self, repository: &RepositoryId, index: u64) -> Result<Option<ObjectId>, Error> {
        self.get(Family::Leaves, &key::indexed(repository, index))?
            .map(|bytes| record::fixed(Family::Leaves, &bytes).map(ObjectId::new))
            .transpose()
    }

    fn repository(&self, repository: &RepositoryId) -> Result<RepositoryRecord, Error> {
        let stored = self.record(Family::Repositories, &key::repository(repository))?;
        Ok(stored.unwrap_or_else(|| RepositoryRecord {
            name: repository.name.clone(),
            tip: None,
            leaves: 0,
        }))
    }

    fn put_repository(&mut self, repository: &RepositoryId, facts: &RepositoryRecord) {
        self.put(
            Family::Repositories,
            key::repository(repository),
            record::encode(facts),
        );
    }

    /// Gives the repository a line, so that facts which arrive before its first head are found with it.
    fn touch_repository(&mut self, repository: &RepositoryId) -> Result<(), Error> {
        let facts = self.repository(repository)?;
        self.put_repository(repository, &facts);
        Ok(())
    }

    /// Evidence is kept as it was first seen.
    fn put_first(&mut self, family: Family, key: Vec<u8>, value: &[u8]) -> Result<(), Error> {
        if self.get(family, &key)?.is_none() {
            self.put(family, key, value.to_vec());
        }
        Ok(())
    }

    fn record<R: Record>(&self, family: Family, key: &[u8]) -> Result<Option<R>, Error> {
        self.get(family, key)?
            .map(|bytes| record::decode(family, &bytes))
            .transpose()
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.writes.get(&(family, key.to_vec())) {
            Some(planned) => Ok(planned.clone()),
            None => self.tables.get(family, key),
        }
    }

    fn put(&mut self, family: Family, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert((family, key), Some(value));
    }

    fn delete(&mut self, family: Family, key: Vec<u8>) {
        self.writes.insert((family, key), None);
    }
}
