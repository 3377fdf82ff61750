//! A publisher's keys and what it signs.

use weft_protocol::{
    codec, freshness,
    head::Head,
    id::{BlobHash, ObjectId, PublisherId, RepositoryId, RevisionId},
    identity::{IdentityEvent, IdentityLog, next_digest},
    limits, log,
    manifest::{Card, File, Kind, Manifest, Role},
    service::Publication,
    sign::{Envelope, SecretKey},
    time::Timestamp,
};

use crate::NETWORK;

/// A publisher with one repository.
#[derive(Debug, Clone)]
pub struct Publisher {
    seed: u64,
    release: SecretKey,
    freshness: SecretKey,
    /// The identity log.
    pub identity: IdentityLog,
    /// Its repository.
    pub repository: RepositoryId,
    leaves: Vec<ObjectId>,
}

impl Publisher {
    /// A publisher made out of a seed.
    ///
    /// # Panics
    /// If the protocol refuses the identity.
    pub fn new(seed: u64, name: &str, created: Timestamp) -> Self {
        let (root, next) = (key(seed, "root 0"), key(seed, "root 1"));
        let (release, freshness) = (key(seed, "release"), key(seed, "freshness"));
        let event = IdentityEvent {
            index: 0,
            previous: None,
            root_keys: vec![root.public()],
            root_threshold: 1,
            next_digests: vec![next_digest(&next.public())],
            next_threshold: 1,
            release_keys: vec![release.public()],
            release_threshold: 1,
            freshness_key: Some(freshness.public()),
            label_key: None,
            serving_keys: Vec::new(),
            aliases: Vec::new(),
            revocations: Vec::new(),
            created,
        };
        let envelope = Envelope::sign(&event, NETWORK, &[(0, &root)]);
        let identity = IdentityLog::verify(NETWORK, &[envelope]).expect("a plain inception");
        let repository = RepositoryId {
            publisher: identity.publisher(),
            name: name.parse().expect("a repository name"),
        };
        Self {
            seed,
            release,
            freshness,
            identity,
            repository,
            leaves: Vec::new(),
        }
    }

    /// The publisher after a rotation of its root key; different `salt`s contradict each other.
    ///
    /// # Panics
    /// If the protocol refuses the rotation.
    #[must_use]
    pub fn rotated(&self, salt: u64, created: Timestamp) -> Self {
        let root = key(self.seed, "root 1");
        let next = key(self.seed ^ salt, "root 2");
        let mut event = self.identity.tip().clone();
        event.index += 1;
        event.previous = Some(self.identity.tip_id());
        event.root_keys = vec![root.public()];
        event.next_digests = vec![next_digest(&next.public())];
        event.created = created;
        let envelope = Envelope::sign(&event, NETWORK, &[(0, &root)]);
        let mut rotated = self.clone();
        rotated
            .identity
            .append(NETWORK, envelope)
            .expect("a rotation to the pre-committed key");
        rotated
    }

    /// Who it is.
    pub fn id(&self) -> PublisherId {
        self.identity.publisher()
    }

    /// A file's entry: the hash follows from name and size.
    pub fn file(path: &str, size: u64) -> File {
        let content = format!("{path} {size}");
        let hash = blake3::hash(if size == 0 { b"" } else { content.as_bytes() });
        File {
            path: path.parse().expect("a repository path"),
            size,
            blake3: BlobHash::new(*hash.as_bytes()),
            sha256: *hash.as_bytes(),
            git_sha1: None,
            role: Role::Weights,
            spans: None,
            chunks: None,
        }
    }

    /// Signs the next revision. Files are `(path, bytes)`.
    pub fn publish(&mut self, files: &[(&str, u64)], now: Timestamp) -> (RevisionId, Publication) {
        let (revision, publication) = self.sign(files, now);
        self.leaves.push(publication.head.id::<Head>());
        (revision, publication)
    }

    /// Signs what would be the next revision without remembering it: signing again contradicts it.
    pub fn sign(&self, files: &[(&str, u64)], now: Timestamp) -> (RevisionId, Publication) {
        let mut files: Vec<File> = files
            .iter()
            .map(|(path, size)| Self::file(path, *size))
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest {
            repository: self.repository.clone(),
            kind: Kind::Model,
            parents: Vec::new(),
            files,
            card: Card::default(),
            tensors: Vec::new(),
            message: String::new(),
            created: now,
        };
        let body = codec::encode(&manifest);
        let revision = codec::object_id::<Manifest>(&body);
        let head = Head {
            publisher: self.id(),
            name: self.repository.name.clone(),
            index: u64::try_from(self.leaves.len()).unwrap_or(u64::MAX),
            manifest: revision,
            refs: None,
            previous: self.leaves.last().copied(),
            log_root: log::root(&self.leaves),
            identity: self.identity.tip_id(),
            identity_index: self.identity.tip().index,
            issued: now,
            expires: now.plus(limits::HEAD_LIFETIME_MAX / 2),
            ttl: 3_600,
        };
        let envelope = Envelope::sign(&head, NETWORK, &[(0, &self.release)]);
        let statement = freshness::Freshness {
            publisher: self.id(),
            name: self.repository.name.clone(),
            head: envelope.id::<Head>(),
            index: head.index,
            issued: now,
            expires: now.plus(limits::FRESHNESS_LIFETIME_MAX),
        };
        let publication = Publication {
            repository: self.repository.clone(),
            identity: self.identity.envelopes().to_vec(),
            manifest: codec::preimage(&manifest),
            others: Vec::new(),
            refs: None,
            head: envelope,
            freshness: Some(self.sign_freshness(&statement)),
        };
        (revision, publication)
    }

    /// Forgets the newest head, so that the next one contradicts it.
    pub fn forget_last(&mut self) {
        self.leaves.pop();
    }

    /// Signs a freshness statement.
    pub fn sign_freshness(&self, statement: &freshness::Freshness) -> Envelope {
        Envelope::sign(statement, NETWORK, &[(0, &self.freshness)])
    }
}

/// A key made out of a seed and its role.
fn key(seed: u64, role: &str) -> SecretKey {
    let seed = blake3::hash(format!("{seed} {role}").as_bytes());
    SecretKey::from_seed(seed.as_bytes())
}
