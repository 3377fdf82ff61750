//! Honest providers, late ones, and floods from made-up networks.

use weft_registry::MemoryRegistry;

use super::*;

fn providers(registry: &Arc<dyn Registry>) -> Providers {
    let local = crate::network::identity::keypair(&[1; 32])
        .public()
        .to_peer_id();
    Providers::open(local, registry.clone(), Timestamp(100)).unwrap()
}

fn registry() -> Arc<dyn Registry> {
    Arc::new(MemoryRegistry::in_memory())
}

fn here() -> Multiaddr {
    "/ip4/127.0.0.1".parse().unwrap()
}

fn public(ip: &str) -> Multiaddr {
    format!("/ip4/{ip}/tcp/4777").parse().unwrap()
}

/// Somebody at `from` says that he provides key 1 at `claimed`.
fn add_public(
    providers: &mut Providers,
    provider: PeerId,
    from: &str,
    claimed: &str,
) -> Result<()> {
    let key = RecordKey::new(&[1; 32]);
    let record = ProviderRecord::new(key, provider, vec![public(claimed)]);
    providers.add(&record, Some(&public(from)), Timestamp(100))
}

fn record(key: u8, provider: PeerId) -> ProviderRecord {
    let address = "/ip4/127.0.0.1/tcp/4777".parse().unwrap();
    ProviderRecord::new(RecordKey::new(&[key; 32]), provider, vec![address])
}

#[test]
fn late_provider_is_not_locked_out() {
    let registry = registry();
    let mut providers = providers(&registry);
    for _ in 0..PER_KEY_MAX {
        providers
            .add(&record(1, PeerId::random()), Some(&here()), Timestamp(100))
            .unwrap();
    }
    let late = PeerId::random();
    providers
        .add(&record(1, late), Some(&here()), Timestamp(100))
        .unwrap();
    let kept = providers.get(&DhtKey([1; 32]), Timestamp(100));
    assert_eq!(kept.len(), PER_KEY_MAX);
    assert!(kept.iter().any(|kept| kept.provider == late));
    assert_eq!(registry.all_dht_providers().unwrap().len(), PER_KEY_MAX);
}

#[test]
fn own_provision_stands_first_and_is_not_persisted() {
    let registry = registry();
    let mut providers = providers(&registry);
    let local = providers.local;
    providers
        .add(&record(1, PeerId::random()), Some(&here()), Timestamp(100))
        .unwrap();
    providers
        .add(&record(1, local), Some(&here()), Timestamp(100))
        .unwrap();
    assert_eq!(
        providers.get(&DhtKey([1; 32]), Timestamp(100))[0].provider,
        local
    );
    assert_eq!(providers.own().count(), 1);
    assert_eq!(registry.all_dht_providers().unwrap().len(), 1);
    providers.remove(&DhtKey([1; 32]), &local);
    assert_eq!(providers.own().count(), 0);
}

#[test]
fn providers_survive_a_restart_until_they_expire() {
    let registry = registry();
    let peer = PeerId::random();
    let mut first = providers(&registry);
    first
        .add(&record(1, peer), Some(&here()), Timestamp(100))
        .unwrap();
    let again = providers(&registry);
    let kept = again.get(&DhtKey([1; 32]), Timestamp(100));
    assert_eq!(kept[0].provider, peer);
    assert_eq!(kept[0].addresses.len(), 1);
    let late = Timestamp(100 + TTL_SECS);
    assert!(again.get(&DhtKey([1; 32]), late).is_empty());
    let local = again.local;
    let expired = Providers::open(local, registry.clone(), late).unwrap();
    assert_eq!(expired.count, 0);
    assert!(registry.all_dht_providers().unwrap().is_empty());
}

#[test]
fn flood_of_one_network_pushes_out_itself_only() {
    let registry = registry();
    let mut providers = providers(&registry);
    let honest = PeerId::random();
    add_public(&mut providers, honest, "203.0.113.1", "203.0.113.1").unwrap();
    for host in 0..=255 {
        let ip = format!("198.51.100.{host}");
        add_public(&mut providers, PeerId::random(), &ip, &ip).unwrap();
    }
    let kept = providers.get(&DhtKey([1; 32]), Timestamp(100));
    assert_eq!(kept.len(), PROVIDERS_PER_GROUP_MAX + 1);
    assert!(kept.iter().any(|kept| kept.provider == honest));
    // The bound survives a restart.
    let local = providers.local;
    let again = Providers::open(local, registry, Timestamp(100)).unwrap();
    let groups = again.entries.values().flatten().map(|entry| entry.group);
    assert_eq!(groups.flatten().count(), PROVIDERS_PER_GROUP_MAX + 1);
}

#[test]
fn full_key_makes_room_where_the_crowd_is() {
    let mut providers = providers(&registry());
    let mut few = Vec::new();
    for n in 0..10 {
        let ip = format!("203.0.{n}.1");
        let peer = PeerId::random();
        add_public(&mut providers, peer, &ip, &ip).unwrap();
        few.push(peer);
    }
    // Twenty networks with ten nodes each want the other ninety places.
    for n in 0..200 {
        let ip = format!("198.51.{}.{n}", n % 20);
        add_public(&mut providers, PeerId::random(), &ip, &ip).unwrap();
    }
    let kept = providers.get(&DhtKey([1; 32]), Timestamp(100));
    assert_eq!(kept.len(), PER_KEY_MAX);
    for peer in few {
        assert!(kept.iter().any(|kept| kept.provider == peer));
    }
}

#[test]
fn provider_cannot_send_others_to_a_strangers_address() {
    let mut providers = providers(&registry());
    let peer = PeerId::random();
    add_public(&mut providers, peer, "198.51.100.1", "203.0.113.1").unwrap();
    let kept = providers.get(&DhtKey([1; 32]), Timestamp(100));
    assert_eq!(kept[0].provider, peer);
    assert!(kept[0].addresses.is_empty());
}

#[test]
fn provider_that_moves_into_a_full_network_stays_where_it_was() {
    let mut providers = providers(&registry());
    for host in 0..10 {
        let ip = format!("198.51.100.{host}");
        add_public(&mut providers, PeerId::random(), &ip, &ip).unwrap();
    }
    let peer = PeerId::random();
    add_public(&mut providers, peer, "203.0.113.1", "203.0.113.1").unwrap();
    let moved = add_public(&mut providers, peer, "198.51.100.99", "198.51.100.99");
    assert!(moved.is_err());
    assert_eq!(providers.count, 11);
}
