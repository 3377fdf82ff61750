//! A publisher and a repository with deterministic keys: key `n` has the seed `[n; 32]`.

use weft_protocol::{
    accept::{AcceptedHead, RepositoryRecord},
    freshness::Freshness,
    head::Head,
    id::{ObjectId, PublisherId, RepositoryId},
    identity::{IdentityEvent, IdentityLog, next_digest},
    log,
    sign::{Envelope, NetworkId, PublicKey, SecretKey},
    time::Timestamp,
};

pub(crate) const NET: NetworkId = NetworkId(7);
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);
pub(crate) const DAY: u64 = 86_400;

/// The first release key.
pub(crate) const RELEASE: u8 = 100;
/// The first freshness key.
pub(crate) const FRESHNESS: u8 = 101;
/// Release key after a rotation that replaces it.
pub(crate) const RELEASE_NEW: u8 = 110;

pub(crate) fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub(crate) fn key(n: u8) -> PublicKey {
    secret(n).public()
}

pub(crate) fn id(n: u8) -> ObjectId {
    ObjectId::new([n; 32])
}

pub(crate) fn earlier(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 - seconds)
}

pub(crate) fn later(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

/// Signs with keys by number.
pub(crate) fn sign<T: weft_protocol::codec::Object>(object: &T, signers: &[(u16, u8)]) -> Envelope {
    let secrets: Vec<_> = signers.iter().map(|(at, n)| (*at, secret(*n))).collect();
    let signers: Vec<_> = secrets.iter().map(|(at, secret)| (*at, secret)).collect();
    Envelope::sign(object, NET, &signers)
}

/// An identity whose event `i` is signed by root key `i + 1`.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    pub(crate) events: Vec<Envelope>,
    pub(crate) tip: IdentityEvent,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut IdentityEvent)) -> Self {
        let mut tip = IdentityEvent {
            index: 0,
            previous: None,
            root_keys: vec![key(1)],
            root_threshold: 1,
            next_digests: vec![next_digest(&key(2))],
            next_threshold: 1,
            release_keys: vec![key(RELEASE)],
            release_threshold: 1,
            freshness_key: Some(key(FRESHNESS)),
            label_key: None,
            serving_keys: vec![],
            aliases: vec![],
            revocations: vec![],
            created: earlier(100 * DAY),
        };
        change(&mut tip);
        Self {
            events: vec![sign(&tip, &[(0, 1)])],
            tip,
        }
    }

    pub(crate) fn rotate(&mut self, change: impl FnOnce(&mut IdentityEvent)) {
        let signer = u8::try_from(self.events.len()).expect("few events") + 1;
        let previous = self.events.last().map(Envelope::id::<IdentityEvent>);
        let mut tip = IdentityEvent {
            index: self.tip.index + 1,
            previous,
            root_keys: vec![key(signer)],
            next_digests: vec![next_digest(&key(signer + 1))],
            revocations: vec![],
            created: earlier(DAY),
            ..self.tip.clone()
        };
        change(&mut tip);
        self.events.push(sign(&tip, &[(0, signer)]));
        self.tip = tip;
    }

    pub(crate) fn log(&self) -> IdentityLog {
        IdentityLog::verify(NET, &self.events).expect("the fixture is valid")
    }

    pub(crate) fn id(&self) -> PublisherId {
        self.log().publisher()
    }
}

/// A repository `tiny` with its heads.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) publisher: Publisher,
    pub(crate) heads: Vec<Envelope>,
    pub(crate) ids: Vec<ObjectId>,
}

impl Repository {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self {
            publisher,
            heads: vec![],
            ids: vec![],
        }
    }

    /// With so many heads, signed by the first release key.
    pub(crate) fn of_length(heads: u8) -> Self {
        let mut repository = Self::new(Publisher::new());
        for n in 0..heads {
            repository.publish(n, RELEASE);
        }
        repository
    }

    pub(crate) fn id(&self) -> RepositoryId {
        let name = "tiny".parse().expect("a valid name");
        RepositoryId {
            publisher: self.publisher.id(),
            name,
        }
    }

    /// The head that would come next, naming manifest `[n; 32]`.
    pub(crate) fn next_head(&self, n: u8) -> Head {
        let identity = self.publisher.events.last().expect("at least inception");
        Head {
            publisher: self.publisher.id(),
            name: self.id().name,
            index: self.ids.len() as u64,
            manifest: id(n),
            refs: None,
            previous: self.ids.last().copied(),
            log_root: log::root(&self.ids),
            identity: identity.id::<IdentityEvent>(),
            identity_index: self.publisher.tip.index,
            issued: earlier(DAY),
            expires: later(300 * DAY),
            ttl: 3_600,
        }
    }

    pub(crate) fn push(&mut self, envelope: Envelope) {
        self.ids.push(envelope.id::<Head>());
        self.heads.push(envelope);
    }

    pub(crate) fn publish(&mut self, n: u8, signer: u8) {
        let head = self.next_head(n);
        self.push(sign(&head, &[(0, signer)]));
    }

    /// A record around any head.
    pub(crate) fn wrap(&self, head: Envelope) -> RepositoryRecord {
        let identity = self.publisher.events.clone();
        RepositoryRecord {
            identity,
            head,
            freshness: None,
            extension: None,
        }
    }

    /// The record of head `index`, with the proof that it extends head `from`.
    pub(crate) fn record(&self, index: usize, from: Option<u64>) -> RepositoryRecord {
        let extension = from.and_then(|from| log::prove_extension(&self.ids[..index], from));
        RepositoryRecord {
            extension,
            ..self.wrap(self.heads[index].clone())
        }
    }

    pub(crate) fn accepted(&self, index: usize) -> AcceptedHead {
        let (_, _, head) = self.record(index, None).verify(NET, NOW).expect("valid");
        head
    }

    pub(crate) fn freshness(&self, index: usize) -> Freshness {
        Freshness {
            publisher: self.publisher.id(),
            name: self.id().name,
            head: self.ids[index],
            index: index as u64,
            issued: earlier(3_600),
            expires: later(3_600),
        }
    }
}
