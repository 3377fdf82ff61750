//! What an honest node never writes: heads that nobody's key allows, a database of the future.
//!
//! A node believes its own registry. So a home that was tampered with while its node was down makes a
//! node that lies to its peers in the right words, which is the best liar to test against.

use std::path::Path;

use anyhow::{Context as _, Result};
use weft_protocol::{
    head::Head,
    id::{ObjectId, RepositoryId, RevisionId},
    log,
    op::Op,
    sign::{Envelope, NetworkId, SecretKey},
};
use weft_registry::{
    Registry as _, RocksRegistry,
    rocks::RocksTables,
    schema::{Family, VERSION, VERSION_KEY},
    tables::{Durability, Tables as _, Write},
};

/// How a forged head is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// Signed by a key that the publisher never named.
    StrangersKey,
    /// The honest signature of the head before under a new body.
    OldSignature,
    /// No signature at all.
    Unsigned,
    /// A good number of heads further on than there ever were, signed by a stranger.
    JumpedIndex,
}

/// Makes the stopped node of `home` believe and serve a head that its publisher never signed. The head
/// names `revision`; the answer is its index.
///
/// # Errors
/// When the home does not hold the repository.
pub fn plant_head(home: &Path, repository: &str, revision: &str, forgery: Forgery) -> Result<u64> {
    let repository: RepositoryId = repository.parse()?;
    let manifest: RevisionId = revision.parse()?;
    let registry = RocksRegistry::open(&home.join("registry"))?;
    let snapshot = registry.snapshot()?;
    let facts = snapshot
        .repositories
        .into_iter()
        .find(|facts| facts.repository == repository)
        .context("the repository is not known here")?;
    let honest: Head = facts.head.decode_body()?;
    let mut leaves = facts.leaves;
    let first = leaves.len() as u64;
    if forgery == Forgery::JumpedIndex {
        leaves.extend((0..10).map(|number| ObjectId::new([number; 32])));
    }
    let index = leaves.len() as u64;
    let forged = Head {
        index,
        manifest,
        previous: leaves.last().copied(),
        log_root: log::root(&leaves),
        ..honest
    };
    let stranger = SecretKey::from_seed(&[0x66; 32]);
    let mut head = Envelope::sign(&forged, NetworkId::MAIN, &[(0, &stranger)]);
    match forgery {
        Forgery::StrangersKey | Forgery::JumpedIndex => {}
        Forgery::OldSignature => head.signatures = facts.head.signatures,
        Forgery::Unsigned => head.signatures.clear(),
    }
    let id = head.id::<Head>();
    leaves.push(id);
    let ids = leaves.into_iter().skip(usize::try_from(first)?).collect();
    registry.commit(&[
        Op::PutHead {
            repository: repository.clone(),
            index,
            id,
            head,
        },
        Op::PutLeaves {
            repository,
            first,
            ids,
        },
    ])?;
    // What honest nodes once put here would contradict the lie.
    for record in registry.dht_records()? {
        registry.remove_dht_record(&record.key)?;
    }
    registry.sync()?;
    Ok(index)
}

/// Marks the registry of a stopped node as written by a version of weft that is yet to come.
///
/// # Errors
/// When it cannot be opened.
pub fn age_registry(home: &Path) -> Result<()> {
    let tables = RocksTables::open(&home.join("registry"))?;
    let newer = Write {
        family: Family::Meta,
        key: VERSION_KEY.to_vec(),
        value: Some((VERSION + 1_000).to_be_bytes().to_vec()),
    };
    tables.write(vec![newer], Durability::Synced)?;
    Ok(())
}
