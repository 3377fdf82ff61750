//! The DHT's store: what other nodes ask this one to keep.
//!
//! Kademlia's own store keeps anything and lets the last writer win. This one keeps only records that
//! prove themselves, the best of each key, and says no so that the sender notices: an error from `put`
//! makes Kademlia reset the sender's stream instead of acknowledging.
//!
//! It lives inside the swarm's poll, so it reads from memory only; writes go through to the registry
//! (unsynced point writes) and are read back once at start. Nothing here iterates over the disk.
//!
//! # Invariants
//! - Every held value decodes, verifies for its network and stands under its repository's key.
//! - The index held under a key never falls while it is held.
//! - At most [`RECORDS_MAX`] foreign records; own ones are never pushed out.

mod judge;
mod providers;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    error::Error as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{
        KBucketKey, ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result},
    },
};
use tokio::sync::mpsc;
use weft_protocol::{
    accept::{EquivocationProof, Rejection},
    limits::RECORD_LEN_MAX,
    service::DhtKey,
    sign::NetworkId,
    time::Timestamp,
};
use weft_registry::{DhtRecord, Registry};

use self::{
    judge::{Comparison, Invalid},
    providers::Providers,
};

/// Foreign records kept: at most 48 MiB, typically six.
const RECORDS_MAX: usize = 4_096;
/// How long a record is kept after the last put, unless its head expires earlier.
const RECORD_TTL: Duration = Duration::from_secs(48 * 3_600);
/// Contradictions that wait for the actor. One too many is dropped: whoever repeats it brings it again.
pub(crate) const CONFLICTS_MAX: usize = 64;

/// A kept record.
#[derive(Debug)]
struct Held {
    value: Vec<u8>,
    /// Whether this node put it itself, and so repeats it.
    own: bool,
    publisher: Option<PeerId>,
    expires: Timestamp,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The sender's: no honest node sends this.
    Sender,
    /// Nobody's: the sender may know less, or this node has no room.
    Nobody,
}

/// The store.
pub(crate) struct Store {
    local: PeerId,
    network: NetworkId,
    registry: Arc<dyn Registry>,
    records: BTreeMap<DhtKey, Held>,
    providers: Providers,
    /// A channel, because a refused put is no event of Kademlia's: the actor must be woken.
    conflicts: mpsc::Sender<EquivocationProof>,
    refusal: Option<Fault>,
    /// Where the message comes from that is being handled, without port.
    sender: Option<Multiaddr>,
}

impl Store {
    /// Takes up what the last run kept; tells contradictions to `conflicts`. What no longer verifies or has expired is forgotten.
    ///
    /// # Errors
    /// The registry's own failure.
    pub(crate) fn open(
        local: PeerId,
        network: NetworkId,
        registry: Arc<dyn Registry>,
        conflicts: mpsc::Sender<EquivocationProof>,
    ) -> std::result::Result<Self, weft_registry::Error> {
        let now = unix_now();
        let mut store = Self {
            local,
            network,
            records: BTreeMap::new(),
            providers: Providers::open(local, registry.clone(), now)?,
            conflicts,
            refusal: None,
            sender: None,
            registry,
        };
        for record in store.registry.dht_records()? {
            let restored = store.restore(&record, now);
            if restored.is_none() {
                store.registry.remove_dht_record(&record.key)?;
            }
        }
        Ok(store)
    }

    fn restore(&mut self, record: &DhtRecord, now: Timestamp) -> Option<()> {
        if record.expires <= now || self.records.len() >= RECORDS_MAX {
            return None;
        }
        let judged = judge::judge(self.network, now, &record.value).ok()?;
        let key = dht_key(&record.key).filter(|key| *key == judged.key)?;
        let publisher = record.publisher.as_deref();
        let held = Held {
            value: record.value.clone(),
            // The machine puts its own records again after a restart.
            own: false,
            publisher: publisher.and_then(|bytes| PeerId::from_bytes(bytes).ok()),
            expires: record.expires,
        };
        self.records.insert(key, held);
        Some(())
    }

    /// From now on a peer at `sender` speaks, or nobody.
    pub(crate) fn hear(&mut self, sender: Option<Multiaddr>) {
        self.sender = sender;
    }

    /// Whose fault the refusal of the last put was, if it was refused.
    pub(crate) fn take_refusal(&mut self) -> Option<Fault> {
        self.refusal.take()
    }

    /// The held record under a key, ready to be put again.
    pub(crate) fn held(&self, key: &DhtKey) -> Option<Record> {
        let held = self.records.get(key)?;
        (held.expires > unix_now()).then(|| to_record(key, held))
    }

    fn put_checked(&mut self, record: Record) -> std::result::Result<(), Refusal> {
        if record.value.len() > RECORD_LEN_MAX {
            return Err(Refusal::TooLong);
        }
        let now = unix_now();
        let judged = judge::judge(self.network, now, &record.value)?;
        let key = dht_key(record.key.as_ref()).filter(|key| *key == judged.key);
        let key = key.ok_or(Refusal::WrongKey)?;
        let own = record.publisher == Some(self.local);
        let expires = now.plus(RECORD_TTL).min(judged.expires);
        let expires = match record.expires {
            Some(at) => expires.min(now.plus(at.saturating_duration_since(Instant::now()))),
            None => expires,
        };

        let mut value = record.value;
        if let Some(held) = self.records.get_mut(&key) {
            match judge::compare(self.network, now, &held.value, &value) {
                Comparison::Better(bytes) => value = bytes,
                // What is held says as much or more; whoever put this one need not try elsewhere.
                Comparison::Worse => return Ok(()),
                // Nothing new, but somebody still stands behind it.
                Comparison::Same => {
                    held.expires = held.expires.max(expires);
                    held.own |= own;
                    let stored = to_stored(&key, held);
                    return self
                        .registry
                        .put_dht_record(&stored)
                        .map_err(Refusal::Storage);
                }
                Comparison::Refused(rejection) => return Err(Refusal::Superseded(rejection)),
                Comparison::Contradiction(proof) => {
                    if self.conflicts.try_send(*proof).is_err() {
                        tracing::debug!("evidence of a contradiction was dropped");
                    }
                    return Err(Refusal::Contradiction);
                }
            }
            if value.len() > RECORD_LEN_MAX {
                return Err(Refusal::TooLong);
            }
        } else {
            self.make_room(&key, own)?;
        }
        let own = own || self.records.get(&key).is_some_and(|held| held.own);
        let held = Held {
            value,
            own,
            publisher: record.publisher,
            expires,
        };
        let stored = to_stored(&key, &held);
        self.registry
            .put_dht_record(&stored)
            .map_err(Refusal::Storage)?;
        self.records.insert(key, held);
        Ok(())
    }

    /// When full, the foreign record farthest from this node gives way to a nearer one.
    fn make_room(&mut self, key: &DhtKey, own: bool) -> std::result::Result<(), Refusal> {
        if self.records.len() < RECORDS_MAX {
            return Ok(());
        }
        let now = unix_now();
        if let Some(expired) = self.records.iter().find(|(_, held)| held.expires <= now) {
            let expired = *expired.0;
            return self.forget(&expired).map_err(Refusal::Storage);
        }
        let local = KBucketKey::from(self.local);
        let distance = |key: &DhtKey| local.distance(&KBucketKey::new(key.0.to_vec()));
        let foreign = self.records.iter().filter(|(_, held)| !held.own);
        let farthest = foreign
            .map(|(key, _)| (distance(key), *key))
            .max_by(|a, b| a.0.cmp(&b.0));
        match farthest {
            Some((far, farthest)) if own || distance(key) < far => {
                self.forget(&farthest).map_err(Refusal::Storage)
            }
            Some(_) => Err(Refusal::Full),
            None if own => Ok(()),
            None => Err(Refusal::Full),
        }
    }

    fn forget(&mut self, key: &DhtKey) -> std::result::Result<(), weft_registry::Error> {
        self.records.remove(key);
        self.registry.remove_dht_record(&key.0)
    }
}

/// Why a record is not kept. Kademlia knows three reasons of its own; the log tells ours.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the record is longer than {RECORD_LEN_MAX} bytes")]
    TooLong,
    #[error("the record does not verify")]
    Invalid(#[from] Invalid),
    #[error("the record does not stand beside the one that is held")]
    Superseded(#[source] Rejection),
    #[error("the record stands under a key that is not its repository's")]
    WrongKey,
    #[error("it contradicts the record that is held")]
    Contradiction,
    #[error("the store is full of records nearer to this node")]
    Full,
    #[error("the registry failed")]
    Storage(#[source] weft_registry::Error),
}

impl Refusal {
    fn fault(&self) -> Fault {
        match self {
            // Clocks differ, and so does what nodes know of an identity.
            Self::Invalid(Invalid::Rejected(
                Rejection::Expired { .. } | Rejection::FromFuture { .. },
            ))
            | Self::Superseded(_)
            | Self::Contradiction
            | Self::Full
            | Self::Storage(_) => Fault::Nobody,
            Self::TooLong | Self::Invalid(_) | Self::WrongKey => Fault::Sender,
        }
    }
}

impl RecordStore for Store {
    type RecordsIter<'a> = Box<dyn Iterator<Item = Cow<'a, Record>> + 'a>;
    type ProvidedIter<'a> = Box<dyn Iterator<Item = Cow<'a, ProviderRecord>> + 'a>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        let key = dht_key(key.as_ref())?;
        self.records
            .get(&key)
            .map(|held| Cow::Owned(to_record(&key, held)))
    }

    fn put(&mut self, record: Record) -> Result<()> {
        let result = self.put_checked(record);
        self.refusal = result.as_ref().err().map(Refusal::fault);
        result.map_err(|refusal| {
            match &refusal {
                Refusal::Storage(error) => tracing::warn!(%error, "a DHT record was not kept"),
                refusal => {
                    let cause = refusal.source().map(ToString::to_string);
                    tracing::debug!(%refusal, cause, "a DHT record was refused");
                }
            }
            match refusal {
                Refusal::TooLong => Error::ValueTooLarge,
                _ => Error::MaxRecords,
            }
        })
    }

    fn remove(&mut self, key: &RecordKey) {
        let Some(key) = dht_key(key.as_ref()) else {
            return;
        };
        if let Err(error) = self.forget(&key) {
            tracing::warn!(%error, "a DHT record was not forgotten");
        }
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        Box::new(
            self.records
                .iter()
                .map(|(key, held)| Cow::Owned(to_record(key, held))),
        )
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        let sender = self.sender.as_ref();
        self.providers.add(&record, sender, unix_now())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        dht_key(key.as_ref()).map_or_else(Vec::new, |key| self.providers.get(&key, unix_now()))
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        Box::new(self.providers.own().map(Cow::Owned))
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if let Some(key) = dht_key(key.as_ref()) {
            self.providers.remove(&key, provider);
        }
    }
}

fn to_record(key: &DhtKey, held: &Held) -> Record {
    Record {
        key: RecordKey::new(&key.0),
        value: held.value.clone(),
        publisher: held.publisher,
        expires: Some(to_instant(held.expires, unix_now())),
    }
}

fn to_stored(key: &DhtKey, held: &Held) -> DhtRecord {
    DhtRecord {
        key: key.0.to_vec(),
        value: held.value.clone(),
        publisher: held.publisher.map(PeerId::to_bytes),
        expires: held.expires,
    }
}

fn dht_key(bytes: &[u8]) -> Option<DhtKey> {
    bytes.try_into().ok().map(DhtKey)
}

/// The monotonic moment of a wall-clock expiry: Kademlia counts by the former, a restart by the latter.
fn to_instant(expires: Timestamp, now: Timestamp) -> Instant {
    let left = Duration::from_secs(expires.0.saturating_sub(now.0));
    // Half a century ahead, should a platform's clock not reach farther.
    Instant::now()
        .checked_add(left)
        .unwrap_or_else(Instant::now)
}

/// The wall clock. Before 1970 it is 1970.
pub(super) fn unix_now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(since.as_secs())
}

#[cfg(test)]
mod tests;
