//! Local publisher identities: the keys this node signs with, and the phrase it never stores.
//!
//! Root keys derive from a recovery phrase of 24 BIP-39 words that is shown once and kept by the user alone. The
//! node stores the release key and the freshness key of each identity. Whoever steals those can sign heads until the
//! next rotation, which only the phrase can make.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt, path::PathBuf};

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
/// Both keys of a publisher. The release key comes last: where it lies, the other one lies too.
const KEYS: [&str; 2] = ["freshness", "release"];

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

    /// The keys that this node holds for the publisher of `log`; `None` if it holds none. Keys that a rotation left
    /// waiting replace the old ones as soon as the log names them.
    ///
    /// # Errors
    /// `Storage` if they exist but cannot be read.
    pub(crate) fn keys(&self, log: &IdentityLog) -> Result<Option<Keys>, ErrorBody> {
        let publisher = log.publisher();
        if let Some(next) = self.read(&publisher, "next.key")?
            && log.tip().release_keys.contains(&next.release.public())
        {
            self.promote(&publisher)?;
            return Ok(Some(next));
        }
        self.read(&publisher, "key")
    }

    fn read(&self, publisher: &PublisherId, suffix: &str) -> Result<Option<Keys>, ErrorBody> {
        let directory = self.directory(publisher);
        let read = |name: &str| {
            let path = directory.join(format!("{name}.{suffix}"));
            files::read_seed(&path)
                .map(|seed| SecretKey::from_seed(&seed))
                .map_err(|e| error::io(format!("cannot read `{}`", path.display()), &e))
        };
        if !directory.join(format!("release.{suffix}")).exists() {
            return Ok(None);
        }
        let freshness = match read("freshness") {
            // A crash in the middle of `promote`: this one is at its place already.
            Err(_) if suffix != "key" => {
                let path = directory.join("freshness.key");
                let seed = files::read_seed(&path)
                    .map_err(|e| error::io(format!("cannot read `{}`", path.display()), &e))?;
                SecretKey::from_seed(&seed)
            }
            other => other?,
        };
        Ok(Some(Keys {
            release: read("release")?,
            freshness,
        }))
    }

    /// Puts the keys of a committed rotation in the place of the old ones.
    fn promote(&self, publisher: &PublisherId) -> Result<(), ErrorBody> {
        let directory = self.directory(publisher);
        for name in KEYS {
            let (from, to) = (
                directory.join(format!("{name}.next.key")),
                directory.join(format!("{name}.key")),
            );
            match std::fs::rename(&from, &to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(error::io(format!("cannot write `{}`", to.display()), &e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes the keys of an identity that came to nothing.
    pub(crate) fn discard(&self, publisher: &PublisherId) {
        let directory = self.directory(publisher);
        if let Err(error) = std::fs::remove_dir_all(&directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %directory.display(), "cannot delete unused keys");
        }
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
        self.write(&log.publisher(), "key", release, freshness)?;
        Ok(Created {
            log,
            phrase: Some(phrase),
        })
    }

    /// Rotates: new release and freshness keys, the old ones revoked. Signed by the root key that the log
    /// committed to. The new keys wait beside the old ones until [`KeyStore::keys`] sees the longer log, which is not
    /// in the registry yet.
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
        self.write(&log.publisher(), "next.key", release, freshness)?;
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
        suffix: &str,
        release: [u8; 32],
        freshness: [u8; 32],
    ) -> Result<(), ErrorBody> {
        let directory = self.directory(publisher);
        let attempt = || {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)?;
            for (name, seed) in KEYS.iter().zip([freshness, release]) {
                files::write_seed(&directory.join(format!("{name}.{suffix}")), seed)?;
            }
            Ok(())
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store(directory: &tempfile::TempDir) -> KeyStore {
        KeyStore::new(Home::new(directory.path()), NetworkId::MAIN)
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let publisher = store.create(Timestamp(1)).unwrap().log.publisher();
        let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.path().join("identities")), 0o700);
        assert_eq!(mode(store.directory(&publisher)), 0o700);
        assert_eq!(mode(store.directory(&publisher).join("release.key")), 0o600);
    }

    #[test]
    fn old_keys_count_until_the_rotation_is_committed() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let created = store.create(Timestamp(1)).unwrap();
        let phrase = created.phrase.unwrap();
        let counts = |log: &IdentityLog| {
            let keys = store.keys(log).unwrap().unwrap();
            log.tip().release_keys.contains(&keys.release.public())
                && log.tip().freshness_key == Some(keys.freshness.public())
        };
        // This one is never committed.
        store.rotate(&created.log, &phrase, Timestamp(2)).unwrap();
        assert!(counts(&created.log));
        let rotated = store.rotate(&created.log, &phrase, Timestamp(3)).unwrap();
        assert!(counts(&created.log));
        assert!(counts(&rotated.log));
        assert!(counts(&rotated.log));
    }

    #[test]
    fn promotion_goes_on_after_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let created = store.create(Timestamp(1)).unwrap();
        let phrase = created.phrase.unwrap();
        let rotated = store.rotate(&created.log, &phrase, Timestamp(2)).unwrap();
        let keys = store.directory(&created.log.publisher());
        std::fs::rename(keys.join("freshness.next.key"), keys.join("freshness.key")).unwrap();
        let found = store.keys(&rotated.log).unwrap().unwrap();
        assert_eq!(
            rotated.log.tip().freshness_key,
            Some(found.freshness.public())
        );
        assert!(!keys.join("release.next.key").exists());
    }
}
