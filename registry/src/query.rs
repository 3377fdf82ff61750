//! The whole registry read back into a [`Snapshot`].

use std::collections::BTreeSet;

use weft_protocol::{
    id::{ObjectId, PublisherId, RepositoryId},
    op::{IdentityFacts, RepositoryFacts, RevisionRecord, Snapshot},
};

use crate::{
    error::Error,
    key,
    record::{self, Record, RepositoryRecord, corrupt},
    schema::Family,
    tables::Tables,
};

/// Everything the machine needs at start, in key order.
///
/// # Errors
/// [`Error::Corrupt`] if facts contradict each other, or a failure of the storage.
pub fn snapshot(tables: &impl Tables) -> Result<Snapshot, Error> {
    let revisions: Vec<RevisionRecord> = all(tables, Family::Revisions)?;
    Ok(Snapshot {
        identities: identities(tables)?,
        repositories: repositories(tables)?,
        manifests: manifests(tables, &revisions)?,
        revisions,
        mirrors: all(tables, Family::Mirrors)?,
        peers: all(tables, Family::Peers)?,
    })
}

/// All records of a family that carry their key inside.
///
/// # Errors
/// [`Error::Corrupt`] for an unreadable record, or a failure of the storage.
pub fn all<R: Record>(tables: &impl Tables, family: Family) -> Result<Vec<R>, Error> {
    tables
        .scan(family, &[])?
        .iter()
        .map(|(_, value)| record::decode(family, value))
        .collect()
}

fn identities(tables: &impl Tables) -> Result<Vec<IdentityFacts>, Error> {
    let family = Family::Identities;
    tables
        .scan(family, &[])?
        .iter()
        .map(|(key, value)| {
            Ok(IdentityFacts {
                publisher: PublisherId::new(record::fixed(family, key)?),
                events: record::decode(family, value)?,
                fork: tables.get(Family::IdentityForks, key)?,
            })
        })
        .collect()
}

fn repositories(tables: &impl Tables) -> Result<Vec<RepositoryFacts>, Error> {
    let mut repositories = Vec::new();
    for (key, value) in tables.scan(Family::Repositories, &[])? {
        let facts: RepositoryRecord = record::decode(Family::Repositories, &value)?;
        let repository = repository_of(&key, &facts)?;
        // Without a head there is nothing to tell the machine yet.
        let Some((index, _)) = facts.tip else {
            continue;
        };
        let head = tables
            .get(Family::Heads, &key::indexed(&repository, index))?
            .ok_or_else(|| corrupt(Family::Heads, &format!("no head {index} of {repository}")))?;
        let leaves = tables
            .scan(Family::Leaves, &key)?
            .iter()
            .map(|(_, id)| record::fixed(Family::Leaves, id).map(ObjectId::new))
            .collect::<Result<Vec<_>, _>>()?;
        if leaves.len() as u64 != facts.leaves {
            let what = format!(
                "{} of {} leaves of {repository}",
                leaves.len(),
                facts.leaves
            );
            return Err(corrupt(Family::Leaves, &what));
        }
        repositories.push(RepositoryFacts {
            head: record::decode(Family::Heads, &head)?,
            freshness: tables
                .get(Family::Freshness, &key)?
                .map(|bytes| record::decode(Family::Freshness, &bytes))
                .transpose()?,
            leaves,
            equivocation: tables.get(Family::Equivocations, &key)?,
            repository,
        });
    }
    Ok(repositories)
}

fn repository_of(key: &[u8], facts: &RepositoryRecord) -> Result<RepositoryId, Error> {
    let wrong = || corrupt(Family::Repositories, "a key that is not its repository's");
    let publisher = key.get(..32).ok_or_else(wrong)?;
    let repository = RepositoryId {
        publisher: PublisherId::new(record::fixed(Family::Repositories, publisher)?),
        name: facts.name.clone(),
    };
    if key::repository(&repository) == key {
        Ok(repository)
    } else {
        Err(wrong())
    }
}

fn manifests(
    tables: &impl Tables,
    revisions: &[RevisionRecord],
) -> Result<Vec<(ObjectId, Vec<u8>)>, Error> {
    let ids: BTreeSet<_> = revisions.iter().map(|revision| revision.revision).collect();
    let mut manifests = Vec::new();
    for id in ids {
        if let Some(preimage) = tables.get(Family::Objects, id.as_bytes())? {
            manifests.push((id, preimage));
        }
    }
    Ok(manifests)
}
