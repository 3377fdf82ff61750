use std::sync::Arc;

use weft_protocol::{accept::RepositoryRecord, discovery, wire};
use weft_registry::MemoryRegistry;

use super::*;
use crate::network::{
    identity,
    tests::fixture::{NETWORK, Publisher},
};

fn peer(seed: u8) -> PeerId {
    identity::keypair(&[seed; 32]).public().to_peer_id()
}

fn store(registry: &Arc<dyn Registry>) -> Store {
    open(registry, NETWORK).0
}

fn open(
    registry: &Arc<dyn Registry>,
    network: NetworkId,
) -> (Store, mpsc::Receiver<EquivocationProof>) {
    let (sender, conflicts) = mpsc::channel(1);
    let store = Store::open(peer(1), network, registry.clone(), sender).unwrap();
    (store, conflicts)
}

fn registry() -> Arc<dyn Registry> {
    Arc::new(MemoryRegistry::in_memory())
}

fn key(publisher: &Publisher) -> RecordKey {
    RecordKey::new(&discovery::repository_key(&publisher.repository()).0)
}

fn put(store: &mut Store, publisher: &Publisher, record: &RepositoryRecord) -> Result<()> {
    store.put(Record::new(key(publisher), wire::encode(record)))
}

fn held(store: &Store, publisher: &Publisher) -> RepositoryRecord {
    wire::decode(&store.get(&key(publisher)).unwrap().value).unwrap()
}

#[test]
fn garbage_and_misplaced_records_are_refused() {
    let registry = registry();
    let mut store = store(&registry);
    let publisher = Publisher::new(1);
    let record = publisher.record(0, 1);
    assert!(
        store
            .put(Record::new(key(&publisher), b"garbage".to_vec()))
            .is_err()
    );
    assert!(
        store
            .put(Record::new(RecordKey::new(&[1; 32]), wire::encode(&record)))
            .is_err()
    );
    let long = vec![0; RECORD_LEN_MAX + 1];
    assert!(matches!(
        store.put(Record::new(key(&publisher), long)),
        Err(Error::ValueTooLarge)
    ));
    let mut forged = record;
    forged.head.body[20] ^= 1;
    assert!(put(&mut store, &publisher, &forged).is_err());
    assert!(registry.dht_records().unwrap().is_empty());
}

#[test]
fn record_of_another_network_is_refused() {
    let (mut store, _) = open(&registry(), NetworkId::MAIN);
    let publisher = Publisher::new(1);
    assert!(put(&mut store, &publisher, &publisher.record(0, 1)).is_err());
}

#[test]
fn best_record_is_kept() {
    let mut store = store(&registry());
    let publisher = Publisher::new(1);
    let newer = publisher.record(1, 1);
    put(&mut store, &publisher, &publisher.record(0, 1)).unwrap();
    put(&mut store, &publisher, &newer).unwrap();
    // An older one is not kept; it is no fault to bring it.
    put(&mut store, &publisher, &publisher.record(0, 1)).unwrap();
    assert_eq!(held(&store, &publisher), newer);
    // At the same head the newer freshness wins, and no freshness loses to any.
    let fresh = publisher.fresh(newer.clone(), 10);
    put(&mut store, &publisher, &fresh).unwrap();
    put(&mut store, &publisher, &publisher.fresh(newer.clone(), 20)).unwrap();
    put(&mut store, &publisher, &newer).unwrap();
    assert_eq!(held(&store, &publisher), fresh);
}

#[test]
fn contradiction_keeps_the_first_and_is_told() {
    let (mut store, mut conflicts) = open(&registry(), NETWORK);
    let publisher = Publisher::new(1);
    let first = publisher.record(1, 1);
    put(&mut store, &publisher, &first).unwrap();
    // Told once, because nobody listens; refused every time.
    for _ in 0..2 {
        assert!(put(&mut store, &publisher, &publisher.record(1, 2)).is_err());
    }
    assert_eq!(held(&store, &publisher), first);
    assert!(conflicts.try_recv().unwrap().verify(NETWORK).is_ok());
    assert!(conflicts.try_recv().is_err());
}

#[test]
fn stored_records_are_verified_again_at_start() {
    let registry = registry();
    let publisher = Publisher::new(1);
    let record = publisher.record(0, 1);
    put(&mut store(&registry), &publisher, &record).unwrap();
    assert_eq!(held(&store(&registry), &publisher), record);
    let mut stored = registry.dht_records().unwrap().remove(0);
    stored.value[40] ^= 1;
    registry.put_dht_record(&stored).unwrap();
    assert!(store(&registry).get(&key(&publisher)).is_none());
    assert!(registry.dht_records().unwrap().is_empty());
}

#[test]
fn full_store_prefers_what_is_near_and_never_drops_its_own() {
    let mut store = store(&registry());
    let own = Publisher::new(1);
    let mut record = Record::new(key(&own), wire::encode(&own.record(0, 1)));
    record.publisher = Some(peer(1));
    store.put(record).unwrap();
    // Stand-ins for other records: only their keys matter here.
    let filler = |n: usize| {
        Held {
            value: Vec::new(),
            own: false,
            publisher: None,
            expires: Timestamp(u64::MAX),
        }
        .with_key(n)
    };
    for n in 0..RECORDS_MAX - 1 {
        let (key, held) = filler(n);
        store.records.insert(key, held);
    }
    let local = KBucketKey::from(store.local);
    let distance = |key: &DhtKey| local.distance(&KBucketKey::new(key.0.to_vec()));
    let foreign = store
        .records
        .iter()
        .filter(|(_, held)| !held.own)
        .map(|(key, _)| *key);
    let farthest = foreign.max_by_key(distance).unwrap();
    // Whoever is farther still is refused; own records always find room.
    let probe = (0..u32::MAX).map(|n| DhtKey(*blake3::hash(&n.to_be_bytes()).as_bytes()));
    let mut probe = probe.filter(|key| distance(key) > distance(&farthest));
    let beyond = probe.next().unwrap();
    assert!(matches!(
        store.make_room(&beyond, false),
        Err(Refusal::Full)
    ));
    assert!(store.make_room(&beyond, true).is_ok());
    assert!(!store.records.contains_key(&farthest));
    assert!(store.get(&key(&own)).is_some());
}

impl Held {
    fn with_key(self, n: usize) -> (DhtKey, Self) {
        (DhtKey(*blake3::hash(&n.to_le_bytes()).as_bytes()), self)
    }
}
