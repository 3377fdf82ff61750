//! What an honest node never writes: heads that nobody's key allows, a database of the future.
//!
//! A node believes its own registry. So a home that was tampered with while its node was down makes a
//! node that lies to its peers in the right words, which is the best liar to test against.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use weft_protocol::{
    codec::{self, Object as _},
    head::Head,
    id::{ObjectId, RepositoryId, RevisionId},
    log,
    manifest::{Manifest, Tensor},
    op::{Op, RepositoryFacts, RevisionRecord},
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
    let (facts, honest) = tip(&registry, &repository)?;
    let mut leaves = facts.leaves;
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
    leaves.push(head.id::<Head>());
    append(&registry, &repository, (index, head), leaves)?;
    Ok(index)
}

/// Makes the stopped node of `home`, which is the publisher's own, sign the tip of a repository again with another
/// tensor index; the answer is the new revision. Its files are the same, so only the index may lie.
///
/// # Errors
/// When the home does not hold the repository or its key.
pub fn plant_index(
    home: &Path,
    repository: &str,
    change: impl FnOnce(&mut Vec<Tensor>),
) -> Result<String> {
    let repository: RepositoryId = repository.parse()?;
    let registry = RocksRegistry::open(&home.join("registry"))?;
    let (facts, honest) = tip(&registry, &repository)?;
    let revision = honest.manifest;
    let preimage = registry.object(revision)?.context("no such manifest")?;
    let mut manifest: Manifest = codec::decode_preimage(revision, &preimage)?;
    change(&mut manifest.tensors);
    manifest.validate().map_err(anyhow::Error::msg)?;
    let preimage = codec::preimage(&manifest);
    let id = codec::preimage_id(&preimage);
    let mut records = registry.snapshot()?.revisions.into_iter();
    let record = records.find(|record| record.revision == revision);
    let record = RevisionRecord {
        revision: id,
        ..record.context("no such revision")?
    };
    registry.commit(&[Op::PutObject { id, preimage }, Op::PutRevision(record)])?;

    let keys = home
        .join("identities")
        .join(repository.publisher.to_string());
    let seed = fs::read_to_string(keys.join("release.key"))?;
    let key = SecretKey::from_seed(blake3::Hash::from_hex(seed.trim())?.as_bytes());
    let mut leaves = facts.leaves;
    let head = Head {
        index: leaves.len() as u64,
        manifest: id,
        previous: leaves.last().copied(),
        log_root: log::root(&leaves),
        ..honest
    };
    let envelope = Envelope::sign(&head, NetworkId::MAIN, &[(0, &key)]);
    leaves.push(envelope.id::<Head>());
    append(&registry, &repository, (head.index, envelope), leaves)?;
    Ok(id.to_string())
}

/// What a registry has of a repository, and the newest head.
fn tip(registry: &RocksRegistry, repository: &RepositoryId) -> Result<(RepositoryFacts, Head)> {
    let facts = registry
        .snapshot()?
        .repositories
        .into_iter()
        .find(|facts| facts.repository == *repository)
        .context("the repository is not known here")?;
    let head: Head = facts.head.decode_body()?;
    Ok((facts, head))
}

/// Writes a head as the newest; `leaves` ends with its id.
fn append(
    registry: &RocksRegistry,
    repository: &RepositoryId,
    (index, head): (u64, Envelope),
    leaves: Vec<ObjectId>,
) -> Result<()> {
    let id = head.id::<Head>();
    // How many are known depends on what was forged before them: all are written again.
    registry.commit(&[
        Op::PutHead {
            repository: repository.clone(),
            index,
            id,
            head,
        },
        Op::PutLeaves {
            repository: repository.clone(),
            first: 0,
            ids: leaves,
        },
    ])?;
    // What honest nodes once put here would contradict the lie.
    for record in registry.dht_records()? {
        registry.remove_dht_record(&record.key)?;
    }
    Ok(registry.sync()?)
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
