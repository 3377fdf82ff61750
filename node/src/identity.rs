//! Local publisher identities: the keys this node signs with, and the phrase it never stores.
//!
//! Root keys derive from a recovery phrase of 24 BIP-39 words that is shown once and kept by the user alone. The
//! node stores the release key and the freshness key of each identity. Whoever steals those can sign heads until the
//! next rotation, which only the phrase can make.

use std::path::PathBuf;

use bip39::Mnemonic;
use weft_protocol::{
    id::PublisherId,
    identity::{IdentityEvent, IdentityLog, next_digest},
    sign::{Envelope, NetworkId, PublicKey, SecretKey},
    time::Timestamp,
};

use crate::{
    api::{ErrorBody, ErrorCode},
    error, files,
    home::Home,
};

/// Context of the key derivation; a new scheme would need a new one.
const ROOT_KEY_CONTEXT: &str = "weft 2026 root key v1";

/// What `weft id recover` and `rotate` need from the user.
pub struct RecoveryPhrase(Mnemonic);

impl std::fmt::Debug for RecoveryPhrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryPhrase(…)")
    }
}

impl RecoveryPhrase {
    fn generate() -> Result<Self, ErrorBody> {
        let entropy = files::random_seed().map_err(|e| error::io("cannot draw a key", &e))?;
        Mnemonic::from_entropy(&entropy)
            .map(Self)
            .map_err(|e| ErrorBody::new(ErrorCode::Failure, format!("cannot make a phrase: {e}")))
    }

    /// Reads the 24 words, in any case and spacing.
    ///
    /// # Errors
    /// `Usage` if they are not such a phrase.
    pub fn parse(text: &str) -> Result<Self, ErrorBody> {
        let text = text.to_lowercase();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let phrase = Mnemonic::parse(&words)
            .map_err(|e| ErrorBody::new(ErrorCode::Usage, format!("not a recovery phrase: {e}")))?;
        if phrase.word_count() == 24 {
            Ok(Self(phrase))
        } else {
            Err(ErrorBody::new(
                ErrorCode::Usage,
                format!(
                    "a recovery phrase has 24 words, this one has {}",
                    phrase.word_count()
                ),
            ))
        }
    }

    /// The words, for showing them once.
    pub fn words(&self) -> String {
        self.0.to_string()
    }

    fn root_key(&self, index: u64) -> SecretKey {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut material = self.0.to_entropy();
        material.extend_from_slice(&index.to_le_bytes());
        SecretKey::from_seed(&blake3::derive_key(ROOT_KEY_CONTEXT, &material))
    }
}

/// The keys this node holds for one publisher.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) release: SecretKey,
    pub(crate) freshness: SecretKey,
}

impl Keys {
    fn generate() -> Result<([u8; 32], [u8; 32]), ErrorBody> {
        let draw = || files::random_seed().map_err(|e| error::io("cannot draw a key", &e));
        Ok((draw()?, draw()?))
    }
}

/// An identity made or rotated just now.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) log: IdentityLog,
    /// Shown once; only on creation.
    pub(crate) phrase: Option<RecoveryPhrase>,
}

/// Where the keys of local publishers lie.
#[derive(Debug, Clone)]
pub(crate) struct KeyStore {
    home: Home,
    network: NetworkId,
}

impl KeyStore {
    pub(crate) fn new(home: Home, network: NetworkId) -> Self {
        Self { home, network }
    }

    /// Publishers this node holds keys for, in id order. A crash between writing keys and committing the log
    /// leaves a directory whose identity the registry does not know; callers drop those.
    pub(crate) fn publishers(&self) -> Vec<PublisherId> {
        let Ok(entries) = std::fs::read_dir(self.home.identities()) else {
            return Vec::new();
        };
        let mut publishers: Vec<PublisherId> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        publishers.sort();
        publishers
    }

    /// The keys of one publisher; `None` if this node holds none.
    ///
    /// # Errors
    /// `Storage` if they exist but cannot be read.
    pub(crate) fn keys(&self, publisher: &PublisherId) -> Result<Option<Keys>, ErrorBody> {
        let directory = self.directory(publisher);
        if !directory.exists() {
            return Ok(None);
        }
        let read = |name: &str| {
            let path = directory.join(name);
            files::read_seed(&path)
                .map(|seed| SecretKey::from_seed(&seed))
                .map_err(|e| error::io(format!("cannot read `{}`", path.display()), &e))
        };
        Ok(Some(Keys {
            release: read("release.key")?,
            freshness: read("freshness.key")?,
        }))
    }

    /// Makes a new identity: phrase, inception event, keys on disk. The log is not in the registry yet.
    ///
    /// # Errors
    /// `Storage` if the keys cannot be written.
    pub(crate) fn create(&self, now: Timestamp) -> Result<Created, ErrorBody> {
        let phrase = RecoveryPhrase::generate()?;
        let (release, freshness) = Keys::generate()?;
        let event = IdentityEvent {
            index: 0,
            previous: None,
            root_keys: vec![phrase.root_key(0).public()],
            root_threshold: 1,
            next_digests: vec![next_digest(&phrase.root_key(1).public())],
            next_threshold: 1,
            release_keys: vec![SecretKey::from_seed(&release).public()],
            release_threshold: 1,
            freshness_key: Some(SecretKey::from_seed(&freshness).public()),
            label_key: None,
            serving_keys: Vec::new(),
            aliases: Vec::new(),
            revocations: Vec::new(),
            created: now,
        };
        let envelope = Envelope::sign(&event, self.network, &[(0, &phrase.root_key(0))]);
        let log = self.verified(&[envelope])?;
        self.write(&log.publisher(), release, freshness)?;
        Ok(Created {
            log,
            phrase: Some(phrase),
        })
    }

    /// Rotates: new release and freshness keys, the old ones revoked. Signed by the root key that the log
    /// committed to. The new keys replace the old ones on disk; the longer log is not in the registry yet.
    ///
    /// # Errors
    /// `Usage` if the phrase is not this identity's; `Storage` if the keys cannot be written.
    pub(crate) fn rotate(
        &self,
        log: &IdentityLog,
        phrase: &RecoveryPhrase,
        now: Timestamp,
    ) -> Result<Created, ErrorBody> {
        let tip = log.tip();
        let index = tip.index + 1;
        let root = phrase.root_key(index);
        if !tip.next_digests.contains(&next_digest(&root.public())) {
            return Err(ErrorBody::new(
                ErrorCode::Usage,
                format!(
                    "this phrase does not belong to publisher `{}`",
                    log.publisher()
                ),
            )
            .with_hint("use the 24 words that were shown when the identity was made"));
        }
        let (release, freshness) = Keys::generate()?;
        let mut revocations: Vec<PublicKey> = tip.release_keys.clone();
        revocations.extend(tip.freshness_key);
        revocations.sort();
        revocations.dedup();
        let event = IdentityEvent {
            index,
            previous: Some(log.tip_id()),
            root_keys: vec![root.public()],
            root_threshold: 1,
            next_digests: vec![next_digest(&phrase.root_key(index + 1).public())],
            next_threshold: 1,
            release_keys: vec![SecretKey::from_seed(&release).public()],
            release_threshold: 1,
            freshness_key: Some(SecretKey::from_seed(&freshness).public()),
            revocations,
            created: now,
            ..tip.clone()
        };
        let envelope = Envelope::sign(&event, self.network, &[(0, &root)]);
        let mut events = log.envelopes().to_vec();
        events.push(envelope);
        let log = self.verified(&events)?;
        self.write(&log.publisher(), release, freshness)?;
        Ok(Created { log, phrase: None })
    }

    fn verified(&self, events: &[Envelope]) -> Result<IdentityLog, ErrorBody> {
        IdentityLog::verify(self.network, events).map_err(|e| {
            ErrorBody::new(
                ErrorCode::Failure,
                format!("the new identity is not valid: {e}"),
            )
        })
    }

    fn write(
        &self,
        publisher: &PublisherId,
        release: [u8; 32],
        freshness: [u8; 32],
    ) -> Result<(), ErrorBody> {
        let directory = self.directory(publisher);
        let attempt = || {
            std::fs::create_dir_all(&directory)?;
            files::write_seed(&directory.join("freshness.key"), freshness)?;
            files::write_seed(&directory.join("release.key"), release)
        };
        attempt().map_err(|e| {
            error::io(
                format!("cannot write keys to `{}`", directory.display()),
                &e,
            )
        })
    }

    fn directory(&self, publisher: &PublisherId) -> PathBuf {
        self.home.identities().join(publisher.to_string())
    }
}
