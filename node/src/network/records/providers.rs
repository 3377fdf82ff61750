//! Who provides what, as far as others told this node.
//!
//! Kademlia's own store keeps the first twenty providers of a key and is silent to all that come later, so
//! twenty liars lock everybody else out. Here a full key replaces a random one of the network that has most
//! of its places, one network never has more than a few, and answers are drawn at random, so that over a few
//! questions everybody is seen.
//!
//! # Invariants
//! `count` is the number of entries over all keys; own provisions are counted nowhere and never give way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{
        KBucketKey, ProviderRecord, RecordKey,
        store::{Error, Result},
    },
};
use weft_protocol::{
    diversity::{self, Group},
    limits::PROVIDERS_PER_GROUP_MAX,
    service::DhtKey,
    time::Timestamp,
};
use weft_registry::{DhtProvider, Registry};

use super::{dht_key, to_instant};
use crate::network::addresses;

/// Providers kept of one key: five times what one answer holds.
const PER_KEY_MAX: usize = 100;
/// Providers kept in all: some twenty megabytes.
const PROVIDERS_MAX: usize = 65_536;
/// Addresses kept of one provider: a home has one or two, a data centre machine a few.
const ADDRESSES_MAX: usize = 8;
/// Without a word of when, a provider is forgotten after this many seconds (48 h).
const TTL_SECS: u64 = 48 * 3_600;

#[derive(Debug)]
struct Entry {
    provider: PeerId,
    /// The network it spoke from.
    group: Option<Group>,
    addresses: Vec<Multiaddr>,
    expires: Timestamp,
}

/// All providers.
pub(crate) struct Providers {
    local: PeerId,
    registry: Arc<dyn Registry>,
    own: BTreeSet<DhtKey>,
    entries: BTreeMap<DhtKey, Vec<Entry>>,
    count: usize,
}

impl Providers {
    /// Takes up what the last run kept and has not expired.
    ///
    /// # Errors
    /// The registry's own failure.
    pub(crate) fn open(
        local: PeerId,
        registry: Arc<dyn Registry>,
        now: Timestamp,
    ) -> std::result::Result<Self, weft_registry::Error> {
        let mut providers = Self {
            local,
            registry,
            own: BTreeSet::new(),
            entries: BTreeMap::new(),
            count: 0,
        };
        for stored in providers.registry.all_dht_providers()? {
            if !providers.restore(&stored, now) {
                providers
                    .registry
                    .remove_dht_provider(&stored.key, &stored.provider)?;
            }
        }
        Ok(providers)
    }

    fn restore(&mut self, stored: &DhtProvider, now: Timestamp) -> bool {
        let (Some(key), Ok(provider)) =
            (dht_key(&stored.key), PeerId::from_bytes(&stored.provider))
        else {
            return false;
        };
        let entries = self.entries.entry(key).or_default();
        if stored.expires <= now || entries.len() >= PER_KEY_MAX || self.count >= PROVIDERS_MAX {
            return false;
        }
        let addresses = stored.addresses.iter().cloned();
        let addresses: Vec<Multiaddr> = addresses
            .filter_map(|bytes| Multiaddr::try_from(bytes).ok())
            .collect();
        entries.push(Entry {
            provider,
            // The first address is where it spoke from.
            group: addresses.first().and_then(group_of),
            addresses,
            expires: stored.expires,
        });
        self.count += 1;
        true
    }

    /// Keeps a provider that speaks from `sender`, an address without port. Kademlia has checked that it
    /// speaks for itself.
    ///
    /// # Errors
    /// The store is full of keys nearer to this node, or the registry failed.
    pub(crate) fn add(
        &mut self,
        record: &ProviderRecord,
        sender: Option<&Multiaddr>,
        now: Timestamp,
    ) -> Result<()> {
        let Some(key) = dht_key(record.key.as_ref()) else {
            return Err(Error::ValueTooLarge);
        };
        if record.provider == self.local {
            self.own.insert(key);
            return Ok(());
        }
        let claimed = record.addresses.iter().cloned();
        let mut addresses = addresses::plausible(&record.provider, sender, claimed);
        let group = sender.and_then(group_of);
        addresses.sort_by_key(|address| group_of(address) != group);
        if group.is_some() && addresses.first().and_then(group_of) != group {
            // It can only be dialled elsewhere, and who lives there did not say so. Whoever wants it asks the
            // DHT where it is.
            addresses.clear();
        }
        addresses.truncate(ADDRESSES_MAX);
        let ttl = record.expires.map_or(TTL_SECS, |at| {
            at.saturating_duration_since(std::time::Instant::now())
                .as_secs()
        });
        let entry = Entry {
            provider: record.provider,
            group,
            addresses,
            expires: Timestamp(now.0.saturating_add(ttl)),
        };
        self.keep(key, entry).inspect_err(|_| {
            tracing::debug!(peer = %record.provider, "a provider was not kept");
        })
    }

    fn keep(&mut self, key: DhtKey, entry: Entry) -> Result<()> {
        let stored = DhtProvider {
            key: key.0.to_vec(),
            provider: entry.provider.to_bytes(),
            addresses: entry.addresses.iter().map(Multiaddr::to_vec).collect(),
            expires: entry.expires,
        };
        let entries = self.entries.get(&key).map_or(&[][..], |entries| entries);
        let known = entries
            .iter()
            .position(|known| known.provider == entry.provider);
        let position = place(entries, &entry, known)?;
        if position.is_none() && self.count >= PROVIDERS_MAX {
            self.make_room(&key)?;
        }
        if let Err(error) = self.registry.put_dht_provider(&stored) {
            tracing::warn!(%error, "a DHT provider was not kept");
            return Err(Error::MaxProvidedKeys);
        }
        let entries = self.entries.entry(key).or_default();
        match position.and_then(|position| entries.get_mut(position)) {
            Some(place) => {
                let before = std::mem::replace(place, entry).provider;
                if known.is_none() {
                    self.unstore(&key, &before);
                }
            }
            None => {
                entries.push(entry);
                self.count += 1;
            }
        }
        Ok(())
    }

    /// When full, all providers of the key farthest from this node give way to a nearer key's.
    fn make_room(&mut self, key: &DhtKey) -> Result<()> {
        let local = KBucketKey::from(self.local);
        let distance = |key: &DhtKey| local.distance(&KBucketKey::new(key.0.to_vec()));
        let far = self
            .entries
            .keys()
            .map(|key| (distance(key), *key))
            .max_by(|a, b| a.0.cmp(&b.0));
        match far {
            Some((far, farthest)) if distance(key) < far => {
                for entry in self.entries.remove(&farthest).unwrap_or_default() {
                    self.count -= 1;
                    self.unstore(&farthest, &entry.provider);
                }
                Ok(())
            }
            _ => Err(Error::MaxProvidedKeys),
        }
    }

    /// The providers of a key, this node first if it is one, the others in random order.
    pub(crate) fn get(&self, key: &DhtKey, now: Timestamp) -> Vec<ProviderRecord> {
        let own = self.own.contains(key).then(|| self.own_record(key));
        let entries = self.entries.get(key).map_or(&[][..], |entries| entries);
        let foreign = entries.iter().filter(|entry| entry.expires > now);
        let mut foreign: Vec<_> = foreign
            .map(|entry| ProviderRecord {
                key: RecordKey::new(&key.0),
                provider: entry.provider,
                expires: Some(to_instant(entry.expires, now)),
                addresses: entry.addresses.clone(),
            })
            .collect();
        fastrand::shuffle(&mut foreign);
        own.into_iter().chain(foreign).collect()
    }

    /// What this node provides.
    pub(crate) fn own(&self) -> impl Iterator<Item = ProviderRecord> + '_ {
        self.own.iter().map(|key| self.own_record(key))
    }

    /// Forgets one provider of a key.
    pub(crate) fn remove(&mut self, key: &DhtKey, provider: &PeerId) {
        if *provider == self.local {
            self.own.remove(key);
            return;
        }
        let Some(entries) = self.entries.get_mut(key) else {
            return;
        };
        let before = entries.len();
        entries.retain(|entry| entry.provider != *provider);
        self.count -= before - entries.len();
        if entries.is_empty() {
            self.entries.remove(key);
        }
        self.unstore(key, provider);
    }

    fn unstore(&self, key: &DhtKey, provider: &PeerId) {
        if let Err(error) = self
            .registry
            .remove_dht_provider(&key.0, &provider.to_bytes())
        {
            tracing::warn!(%error, "a DHT provider was not forgotten");
        }
    }

    /// Kademlia fills in this node's addresses of the moment.
    fn own_record(&self, key: &DhtKey) -> ProviderRecord {
        ProviderRecord::new(RecordKey::new(&key.0), self.local, Vec::new())
    }
}

fn group_of(address: &Multiaddr) -> Option<Group> {
    addresses::ip(address).and_then(diversity::group)
}

/// Which of a key's entries a new one replaces; `None` if it goes beside them. `known` is the one of the same
/// provider.
///
/// # Errors
/// A known provider has moved into a network that is full.
fn place(entries: &[Entry], new: &Entry, known: Option<usize>) -> Result<Option<usize>> {
    let alike = |group: Option<Group>| {
        let of = entries.iter().enumerate();
        let of = of.filter(move |(_, entry)| entry.group == group);
        of.map(|(position, _)| position).collect::<Vec<_>>()
    };
    let neighbours = alike(new.group);
    let crowded = new.group.is_some() && neighbours.len() >= PROVIDERS_PER_GROUP_MAX;
    if let Some(known) = known {
        let moved = crowded && !neighbours.contains(&known);
        return if moved {
            Err(Error::MaxProvidedKeys)
        } else {
            Ok(Some(known))
        };
    }
    if crowded {
        return Ok(fastrand::choice(neighbours));
    }
    if entries.len() < PER_KEY_MAX {
        return Ok(None);
    }
    let largest = entries
        .iter()
        .map(|entry| alike(entry.group).len())
        .max()
        .unwrap_or(0);
    let positions = 0..entries.len();
    let of_largest = positions.filter(|position| {
        let group = entries.get(*position).and_then(|entry| entry.group);
        alike(group).len() == largest
    });
    Ok(fastrand::choice(of_largest.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
