//! Mirrors: they ask everybody in time, are not led in circles, and keep within their quota.

use std::collections::BTreeSet;

use weft_protocol::{
    id::NodeId,
    op::{MirrorRecord, MirrorScope, Op, Pin, Snapshot},
    service::Selector,
    wire,
};

use super::node::{Node, complete, facts, identity_facts, publish, snapshot};
use crate::fixture::{NOW, Publisher, RELEASE, Repository, sign};

fn order(scope: MirrorScope, bytes_max: Option<u64>) -> Vec<MirrorRecord> {
    vec![MirrorRecord {
        scope,
        bytes_max,
        created: NOW,
    }]
}

#[test]
fn every_peer_is_asked_sooner_or_later() {
    let repository = Repository::of_length(1);
    let mut held = snapshot(&repository, 0);
    held.mirrors = order(MirrorScope::Repository(repository.id()), None);
    let mut node = Node::new(held);
    let peers: BTreeSet<NodeId> = (1..=40).map(|n| node.connect(n)).collect();
    let is = |message: &wire::Request| matches!(message, wire::Request::Repository { .. });
    while let Some((request, ..)) = node.asked(is) {
        node.answer(request, wire::Response::NotFound);
    }
    let mut asked = BTreeSet::new();
    for _ in 0..20 {
        node.wait(150);
        while let Some((request, peer, _)) = node.asked(is) {
            asked.insert(peer);
            node.answer(request, wire::Response::NotFound);
        }
    }
    assert_eq!(asked, peers);
}

#[test]
fn a_peer_that_names_the_same_repositories_again_and_again_is_not_asked_for_ever() {
    let publisher = Publisher::new();
    let mut node = Node::new(Snapshot {
        mirrors: order(MirrorScope::Publisher(publisher.id()), None),
        ..Snapshot::default()
    });
    node.connect(1);
    let is = |message: &wire::Request| matches!(message, wire::Request::Publisher { .. });
    let names: Vec<_> = (0..1_000)
        .map(|n| format!("r{n:04}").parse().expect("a valid name"))
        .collect();
    let mut answered = 0;
    while let Some((request, ..)) = node.asked(is) {
        answered += 1;
        assert!(answered < 30, "it goes in circles");
        let names = names.clone();
        node.answer(request, wire::Response::Publisher { names });
        while let Some((request, ..)) =
            node.asked(|message| matches!(message, wire::Request::Repository { .. }))
        {
            node.answer(request, wire::Response::NotFound);
        }
    }
}

#[test]
fn a_full_quota_is_brought_down_before_more_is_fetched() {
    let mut repository = Repository::new(Publisher::new());
    let old: Vec<_> = (1..=2).map(|n| publish(&mut repository, n, 100)).collect();
    let (_, preimage) = publish(&mut repository, 3, 100);
    let mut held = snapshot(&repository, 2);
    held.mirrors = order(MirrorScope::Repository(repository.id()), Some(150));
    for (revision, preimage) in &old {
        let record = complete(&repository.id(), *revision, Pin::Mirror, 100);
        held.revisions.push(record);
        held.manifests.push((*revision, preimage.clone()));
    }
    held.revisions.sort_by_key(|record| record.revision);
    held.manifests.sort();
    let mut node = Node::new(held);
    node.connect(1);
    let is = |message: &wire::Request| matches!(message, wire::Request::Object { .. });
    let (request, ..) = node.asked(is).expect("the new revision is wanted");
    node.answer(request, wire::Response::Object { preimage });
    let forgotten = |op: &&Op| matches!(op, Op::DeleteRevision { .. });
    assert_eq!(node.written.iter().filter(forgotten).count(), 2);
}

#[test]
fn what_did_not_fit_is_fetched_once_there_is_room() {
    let publisher = Publisher::new();
    let mut one = Repository::new(publisher.clone());
    let (kept, kept_preimage) = publish(&mut one, 1, 80);
    let mut other = Repository::new(publisher);
    let name = "other".parse().expect("a valid name");
    let mut id = other.id();
    id.name = name;
    let (wanted, wanted_preimage) = super::node::manifest(&id, 2, 80);
    let mut head = other.next_head(0);
    head.name = id.name.clone();
    head.manifest = wanted;
    other.push(sign(&head, &[(0, RELEASE)]));
    let mut other_facts = facts(&other, 0);
    other_facts.repository = id;
    let mut repositories = vec![facts(&one, 0), other_facts];
    repositories.sort_by(|a, b| a.repository.cmp(&b.repository));
    let mut node = Node::new(Snapshot {
        identities: vec![identity_facts(&one)],
        repositories,
        revisions: vec![complete(&one.id(), kept, Pin::Mirror, 80)],
        manifests: vec![(kept, kept_preimage)],
        mirrors: order(MirrorScope::Publisher(one.publisher.id()), Some(100)),
        ..Snapshot::default()
    });
    node.connect(1);
    let is = |message: &wire::Request| matches!(message, wire::Request::Object { .. });
    let (request, ..) = node.asked(is).expect("it is wanted");
    let preimage = wanted_preimage;
    node.answer(request, wire::Response::Object { preimage });
    node.wait(200);
    assert!(node.asked(is).is_none(), "it does not fit");
    // The user takes over what filled the quota.
    node.fetch(&one.id(), Selector::Revision(kept), Pin::User);
    node.wait(200);
    assert!(node.asked(is).is_some(), "now it fits");
}
