//! What only this node knows of its own repositories: created but without a revision yet, and deleted.
//!
//! A signed history cannot be taken back, so deleting means: forgotten here, and not shown any more until something
//! newer is published. A repository that was created and never filled exists only here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use weft_protocol::{
    id::RepositoryId,
    manifest::{Card, Kind, Manifest},
    time::Timestamp,
};
use weft_registry::Registry;

use super::reply::Fault;

/// The registry's setting that holds all of it.
const SETTING: &str = "hub.repositories";
/// Repositories that can be remembered: one user's own.
const RECORDS_MAX: usize = 10_000;

/// What is remembered of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Set for one that was created: its first revision is going to be of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Sort>,
    /// When that was, in seconds since 1970.
    #[serde(default)]
    created: u64,
    /// Heads up to this index are not shown: it was deleted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hidden_to: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Model,
    Dataset,
    Space,
}

impl Record {
    /// The empty revision that stands for a repository without one.
    pub(super) fn empty_revision(&self, repository: &RepositoryId) -> Option<Manifest> {
        Some(Manifest {
            repository: repository.clone(),
            kind: match self.kind? {
                Sort::Model => Kind::Model,
                Sort::Dataset => Kind::Dataset,
                Sort::Space => Kind::Space,
            },
            parents: Vec::new(),
            files: Vec::new(),
            card: Card::default(),
            tensors: Vec::new(),
            message: "created".to_owned(),
            created: Timestamp(self.created),
        })
    }

    /// Whether a head at this index is shown.
    pub(super) fn shows(&self, index: u64) -> bool {
        self.hidden_to.is_none_or(|hidden| index > hidden)
    }
}

/// All records, kept in the registry.
#[derive(Debug)]
pub(super) struct Records {
    registry: Arc<dyn Registry>,
    /// Read on first use.
    known: Mutex<Option<BTreeMap<String, Record>>>,
}

impl Records {
    pub(super) fn new(registry: Arc<dyn Registry>) -> Self {
        Self {
            registry,
            known: Mutex::default(),
        }
    }

    /// What is remembered of a repository. Blocks on the first call of a run.
    pub(super) fn get(&self, repository: &RepositoryId) -> Result<Option<Record>, Fault> {
        self.with(|known| known.get(&key(repository)).cloned())
    }

    /// Repositories that were created and have no revision.
    pub(super) fn created(&self) -> Result<Vec<(RepositoryId, Record)>, Fault> {
        self.with(|known| {
            let created = known.iter().filter(|(_, record)| record.kind.is_some());
            created
                .filter_map(|(key, record)| Some((key.parse().ok()?, record.clone())))
                .collect()
        })
    }

    /// Remembers that a repository was created.
    pub(super) fn create(
        &self,
        repository: &RepositoryId,
        kind: Kind,
        now: Timestamp,
    ) -> Result<(), Fault> {
        self.change(|known| {
            let record = known.entry(key(repository)).or_default();
            record.kind = Some(match kind {
                Kind::Model | Kind::Adapter => Sort::Model,
                Kind::Dataset => Sort::Dataset,
                Kind::Space => Sort::Space,
            });
            record.created = now.0;
        })
    }

    /// Remembers that a repository was deleted when its newest head had this index; none if it had no head.
    pub(super) fn delete(
        &self,
        repository: &RepositoryId,
        index: Option<u64>,
    ) -> Result<(), Fault> {
        self.change(|known| {
            let before = known.remove(&key(repository)).unwrap_or_default();
            if let Some(hidden) = index.or(before.hidden_to) {
                let record = Record {
                    hidden_to: Some(hidden),
                    ..Record::default()
                };
                known.insert(key(repository), record);
            }
        })
    }

    /// A revision was published: from now on the repository speaks for itself.
    pub(super) fn published(&self, repository: &RepositoryId) -> Result<(), Fault> {
        if self.get(repository)?.is_none() {
            return Ok(());
        }
        self.change(|known| {
            known.remove(&key(repository));
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Record>) -> T) -> Result<T, Fault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            let stored = self.registry.setting(SETTING).map_err(failed)?;
            let stored = stored.map(|bytes| serde_json::from_slice(&bytes));
            *known = Some(stored.transpose().map_err(failed)?.unwrap_or_default());
        }
        Ok(look(known.get_or_insert_default()))
    }

    fn change(&self, edit: impl FnOnce(&mut BTreeMap<String, Record>)) -> Result<(), Fault> {
        let registry = Arc::clone(&self.registry);
        self.with(|known| {
            let mut changed = known.clone();
            edit(&mut changed);
            if changed.len() > RECORDS_MAX {
                return Err(Fault::Forbidden("too many repositories".to_owned()));
            }
            let bytes = serde_json::to_vec(&changed).map_err(failed)?;
            registry.set_setting(SETTING, &bytes).map_err(failed)?;
            // What is on disk is what is believed.
            *known = changed;
            Ok(())
        })?
    }
}

fn key(repository: &RepositoryId) -> String {
    format!("{}/{}", repository.publisher, repository.name.folded())
}

fn failed(error: impl std::fmt::Display) -> Fault {
    Fault::Node(format!("the list of local repositories: {error}"))
}

#[cfg(test)]
mod tests {
    use weft_registry::MemoryRegistry;

    use super::*;

    fn repository() -> RepositoryId {
        let publisher = "a".repeat(52);
        format!("{publisher}/m").parse().unwrap()
    }

    #[test]
    fn what_was_created_is_there_after_a_restart_until_it_is_published() {
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::in_memory());
        let records = Records::new(Arc::clone(&registry));
        records
            .create(&repository(), Kind::Dataset, Timestamp(7))
            .unwrap();

        let records = Records::new(registry);
        let record = records.get(&repository()).unwrap().unwrap();
        let empty = record.empty_revision(&repository()).unwrap();
        assert_eq!((empty.kind, empty.created), (Kind::Dataset, Timestamp(7)));
        assert_eq!(records.created().unwrap().len(), 1);

        records.published(&repository()).unwrap();
        assert_eq!(records.get(&repository()).unwrap(), None);
    }

    #[test]
    fn what_was_deleted_stays_hidden_up_to_its_head() {
        let records = Records::new(Arc::new(MemoryRegistry::in_memory()));
        records.delete(&repository(), Some(3)).unwrap();
        let record = records.get(&repository()).unwrap().unwrap();
        assert!(!record.shows(3) && record.shows(4));
        assert_eq!(record.empty_revision(&repository()), None);

        // Created again: still hidden, and there.
        records
            .create(&repository(), Kind::Model, Timestamp(9))
            .unwrap();
        let record = records.get(&repository()).unwrap().unwrap();
        assert!(!record.shows(3) && record.empty_revision(&repository()).is_some());

        // Deleted again before anything was published.
        records.delete(&repository(), None).unwrap();
        let record = records.get(&repository()).unwrap().unwrap();
        assert!(!record.shows(3) && record.empty_revision(&repository()).is_none());
    }
}
