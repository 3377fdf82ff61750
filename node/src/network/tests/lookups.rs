//! The DHT: records and providers, found through others, kept across restarts.

use std::{collections::BTreeSet, sync::Arc};

use libp2p::Multiaddr;
use weft_protocol::{
    accept::RepositoryRecord,
    discovery,
    id::NodeId,
    service::{DhtKey, Input},
    wire::Announcement,
};
use weft_registry::{MemoryRegistry, Registry};

use super::fixture::{Node, Publisher, connect};
use crate::network::Command;

const KEY: DhtKey = DhtKey([5; 32]);

async fn put(node: &mut Node, publisher: &Publisher, record: &RepositoryRecord) {
    let request = node.request();
    let key = discovery::repository_key(&publisher.repository());
    let record = Box::new(record.clone());
    node.send(Command::PutRecord {
        request,
        key,
        record,
    })
    .await;
    node.wait_finished(request).await;
}

/// All records that a query finds.
async fn find(node: &mut Node, publisher: &Publisher) -> Vec<RepositoryRecord> {
    let request = node.request();
    let key = discovery::repository_key(&publisher.repository());
    node.send(Command::FindRecord { request, key }).await;
    node.wait_finished(request).await;
    let found = node.seen().iter().filter_map(|input| match input {
        Input::RecordFound {
            request: which,
            record,
        } if *which == request => Some(record),
        _ => None,
    });
    found.map(|record| (**record).clone()).collect()
}

/// All providers that a query finds.
async fn providers(node: &mut Node) -> BTreeSet<NodeId> {
    let request = node.request();
    node.send(Command::FindProviders { request, key: KEY })
        .await;
    node.wait_finished(request).await;
    let found = node.seen().iter().filter_map(|input| match input {
        Input::ProvidersFound {
            request: which,
            peers,
        } if *which == request => Some(peers),
        _ => None,
    });
    found.flatten().copied().collect()
}

#[tokio::test]
async fn queries_of_a_lonely_node_end() {
    let mut node = Node::start(1, &[]).await;
    let publisher = Publisher::new(1);
    assert!(find(&mut node, &publisher).await.is_empty());
    assert!(providers(&mut node).await.is_empty());
    let record = publisher.record(0, 1);
    put(&mut node, &publisher, &record).await;
    assert_eq!(find(&mut node, &publisher).await, [record]);
    node.stop().await;
}

#[tokio::test]
async fn record_put_by_one_is_found_by_another() {
    let a = Node::start(1, &[]).await;
    let mut b = Node::start(2, &a.addresses()).await;
    let mut c = Node::start(3, &a.addresses()).await;
    for node in [&mut b, &mut c] {
        node.wait_connected(a.id()).await;
    }
    let publisher = Publisher::new(1);
    let record = publisher.record(0, 1);
    put(&mut b, &publisher, &record).await;
    assert_eq!(find(&mut c, &publisher).await, [record]);
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn record_put_before_anybody_was_there_is_put_again() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::in_memory());
    let mut a = Node::start_with(1, &[], registry.clone()).await;
    let mut b = Node::start(2, &[]).await;
    let publisher = Publisher::new(1);
    let record = publisher.record(0, 1);
    put(&mut b, &publisher, &record).await;
    connect(&mut b, &mut a).await;
    // The record arrives on its own; each turn is a query over the wire, so this does not spin.
    while registry.dht_records().unwrap().is_empty() {
        find(&mut a, &publisher).await;
    }
    b.stop().await;
    assert_eq!(find(&mut a, &publisher).await, [record]);
    a.stop().await;
}

#[tokio::test]
async fn different_answers_are_all_told() {
    // Two nodes that never met hold different heads; a third that knows both hears of both.
    let mut a = Node::start(1, &[]).await;
    let mut b = Node::start(2, &[]).await;
    let publisher = Publisher::new(1);
    let (older, newer) = (publisher.record(0, 1), publisher.record(1, 2));
    put(&mut a, &publisher, &older).await;
    put(&mut b, &publisher, &newer).await;
    let mut c = Node::start(3, &[]).await;
    connect(&mut c, &mut a).await;
    // Asked before the holders meet each other through the third.
    assert_eq!(find(&mut c, &publisher).await, [older]);
    connect(&mut c, &mut b).await;
    while !find(&mut c, &publisher).await.contains(&newer) {}
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn providers_known_to_a_third_node_are_found_and_dialled() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::in_memory());
    let mut a = Node::start_with(1, &[], registry.clone()).await;
    let mut b = Node::start(2, &a.addresses()).await;
    let mut c = Node::start(3, &a.addresses()).await;
    for node in [&mut b, &mut c] {
        node.wait_connected(a.id()).await;
        a.wait_connected(node.id()).await;
        node.send(Command::Provide { key: KEY }).await;
    }
    let wanted = BTreeSet::from([b.id(), c.id()]);
    // Provider messages are not acknowledged: ask until they have arrived at the third node.
    while registry.all_dht_providers().unwrap().len() < wanted.len() {
        providers(&mut a).await;
    }
    // A newcomer that knows one address only.
    let mut d = Node::start(4, &a.addresses()).await;
    d.wait_connected(a.id()).await;
    assert_eq!(providers(&mut d).await, wanted);
    for peer in wanted {
        let addresses = Vec::new();
        d.send(Command::Connect { peer, addresses }).await;
        d.wait_connected(peer).await;
    }
    for node in [a, b, c, d] {
        node.stop().await;
    }
}

#[tokio::test]
async fn peer_is_dialled_by_its_id_alone() {
    let mut a = Node::start(1, &[]).await;
    let mut b = Node::start(2, &a.addresses()).await;
    b.wait_connected(a.id()).await;
    a.wait_connected(b.id()).await;
    let mut c = Node::start(3, &a.addresses()).await;
    c.wait_connected(a.id()).await;
    let (peer, addresses) = (b.id(), vec!["/ip4/127.0.0.1/tcp/1".to_owned()]);
    // A wrong address does not stop the search either.
    c.send(Command::Connect { peer, addresses }).await;
    c.wait_connected(b.id()).await;
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn provision_begun_before_anybody_was_there_is_repeated() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::in_memory());
    let mut a = Node::start_with(1, &[], registry.clone()).await;
    let mut b = Node::start(2, &[]).await;
    b.send(Command::Provide { key: KEY }).await;
    // Ends after the first announcement has reached nobody.
    assert!(providers(&mut b).await.is_empty());
    connect(&mut a, &mut b).await;
    while registry.all_dht_providers().unwrap().is_empty() {
        providers(&mut a).await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn records_and_providers_survive_a_restart() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::in_memory());
    let mut a = Node::start_with(1, &[], registry.clone()).await;
    let mut b = Node::start(2, &a.addresses()).await;
    b.wait_connected(a.id()).await;
    a.wait_connected(b.id()).await;
    let publisher = Publisher::new(1);
    let record = publisher.record(0, 1);
    put(&mut b, &publisher, &record).await;
    b.send(Command::Provide { key: KEY }).await;
    while registry.all_dht_providers().unwrap().is_empty() {
        providers(&mut a).await;
    }
    // With an address to dial, because after a restart there is no routing table to look into.
    assert!(
        !registry.all_dht_providers().unwrap()[0]
            .addresses
            .is_empty()
    );
    let provider = b.id();
    b.stop().await;
    a.stop().await;

    let mut again = Node::start_with(1, &[], registry).await;
    assert_eq!(find(&mut again, &publisher).await, [record]);
    assert_eq!(providers(&mut again).await, BTreeSet::from([provider]));
    again.stop().await;
}

#[tokio::test]
async fn contradicting_record_is_told_as_evidence() {
    let mut a = Node::start(1, &[]).await;
    let mut b = Node::start(2, &[]).await;
    let publisher = Publisher::new(1);
    put(&mut a, &publisher, &publisher.record(0, 1)).await;
    put(&mut b, &publisher, &publisher.record(0, 2)).await;
    connect(&mut a, &mut b).await;
    // Each puts its record again when it meets the other, so both stores see both heads.
    let proof = a
        .wait("evidence", |input| match input {
            Input::Gossip {
                announcement: Announcement::Equivocation(proof),
                ..
            } => Some(proof.clone()),
            _ => None,
        })
        .await;
    let (who, what) = proof.verify(super::fixture::NETWORK).unwrap();
    assert_eq!(
        (who, what),
        (publisher.id(), Some((publisher.repository(), 0)))
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn addresses_of_listeners_name_the_node() {
    let node = Node::start(1, &[]).await;
    let addresses = node.addresses();
    assert!(!addresses.is_empty());
    let peer = crate::network::identity::peer_id(&node.id()).unwrap();
    let suffix = format!("/p2p/{peer}");
    assert!(
        addresses
            .iter()
            .map(Multiaddr::to_string)
            .all(|text| text.ends_with(&suffix))
    );
    node.stop().await;
}
