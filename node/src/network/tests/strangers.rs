//! Peers that do not play by the rules: plain libp2p, driven by hand.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, gossipsub, identify,
    identity::Keypair,
    kad::{self, Quorum, RecordKey, store::MemoryStore},
    multiaddr::Protocol,
    swarm::{self, NetworkBehaviour, SwarmEvent, behaviour::toggle::Toggle},
};
use weft_protocol::{
    discovery,
    service::{Input, Verdict},
    wire::{self, Announcement},
};

use super::fixture::{NETWORK, Node, Publisher, connect};
use crate::network::{
    Command,
    behaviour::{Names, transport},
    gossip, identity,
};

const PATIENCE: Duration = Duration::from_secs(40);

#[derive(NetworkBehaviour)]
struct Behaviour {
    kad: kad::Behaviour<MemoryStore>,
    gossip: gossipsub::Behaviour,
    identify: Toggle<identify::Behaviour>,
}

struct Stranger {
    swarm: Swarm<Behaviour>,
    names: Names,
}

impl Stranger {
    /// A peer that calls itself a node of `names` and keeps to none of our rules.
    fn new(keypair: &Keypair, version: &str) -> Self {
        let names = Names::new(NETWORK);
        let peer = keypair.public().to_peer_id();
        let kad = kad::Config::new(names.kad.clone());
        let mut behaviour = Behaviour {
            kad: kad::Behaviour::with_config(peer, MemoryStore::new(peer), kad),
            gossip: gossip::behaviour(&names.topic).unwrap(),
            identify: Some(identify::Behaviour::new(identify::Config::new(
                version.to_owned(),
                keypair.public(),
            )))
            .into(),
        };
        behaviour.kad.set_mode(Some(kad::Mode::Server));
        let config = swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(Duration::from_secs(600));
        let swarm = Swarm::new(transport(keypair).unwrap(), behaviour, peer, config);
        Self { swarm, names }
    }

    fn honest_name() -> Self {
        Self::new(&identity::keypair(&[99; 32]), &Names::new(NETWORK).identify)
    }

    /// Runs until an event that `pick` understands.
    async fn wait<T>(
        &mut self,
        what: &str,
        pick: impl Fn(SwarmEvent<BehaviourEvent>) -> Option<T>,
    ) -> T {
        let found = async {
            loop {
                if let Some(value) = pick(self.swarm.select_next_some().await) {
                    return value;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    /// Dials a node and waits until Kademlia on both sides is ready.
    async fn join(&mut self, node: &Node) -> PeerId {
        let address: Multiaddr = node.addresses().remove(0);
        let Some(Protocol::P2p(peer)) = address.iter().last() else {
            panic!("listen addresses name the node");
        };
        self.swarm.dial(address).unwrap();
        self.wait("the routing table", |event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Kad(kad::Event::RoutingUpdated { .. })) => {
                Some(())
            }
            _ => None,
        })
        .await;
        peer
    }

    /// Puts a record at one peer. Whether it was kept.
    async fn put(&mut self, peer: PeerId, key: &[u8; 32], value: Vec<u8>) -> bool {
        let record = kad::Record::new(RecordKey::new(key), value);
        let kad = &mut self.swarm.behaviour_mut().kad;
        kad.put_record_to(record, [peer].into_iter(), Quorum::All);
        self.wait("the answer to a put", |event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                result: kad::QueryResult::PutRecord(result),
                ..
            })) => Some(result.is_ok()),
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn sender_of_a_bad_record_sees_the_refusal() {
    let node = Node::start(1, &[]).await;
    let publisher = Publisher::new(1);
    let key = discovery::repository_key(&publisher.repository()).0;
    let record = wire::encode(&publisher.record(1, 1));
    for (key, value, kept) in [
        (key, b"garbage".to_vec(), false),
        ([1; 32], record.clone(), false),
        (key, record, true),
        // An older one is as good as kept.
        (key, wire::encode(&publisher.record(0, 1)), true),
    ] {
        // A refusal costs the connection.
        let mut stranger = Stranger::honest_name();
        let peer = stranger.join(&node).await;
        assert_eq!(stranger.put(peer, &key, value).await, kept);
    }
    node.stop().await;
}

#[tokio::test]
async fn undecodable_announcement_never_reaches_the_machine() {
    let (mut a, mut b) = (Node::start(1, &[]).await, Node::start(2, &[]).await);
    connect(&mut a, &mut b).await;
    let mut stranger = Stranger::honest_name();
    stranger.join(&a).await;
    stranger
        .wait("a subscription", |event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed {
                ..
            })) => Some(()),
            _ => None,
        })
        .await;
    let topic = stranger.names.topic.clone();
    let gossip = &mut stranger.swarm.behaviour_mut().gossip;
    gossip.publish(topic.clone(), b"garbage".to_vec()).unwrap();
    let valid = Announcement::Head(Box::new(Publisher::new(1).record(0, 1)));
    gossip.publish(topic, wire::encode(&valid)).unwrap();
    let driver = tokio::spawn(async move {
        loop {
            stranger.swarm.select_next_some().await;
        }
    });
    let heard = |input: &Input| match input {
        Input::Gossip {
            message,
            announcement,
            ..
        } => Some((*message, announcement.clone())),
        _ => None,
    };
    // The garbage came first; the first that the machines hear is the valid one.
    let (message, announcement) = a.wait("an announcement", heard).await;
    assert_eq!(announcement, valid);
    let verdict = Verdict::Accept;
    a.send(Command::JudgeGossip { message, verdict }).await;
    assert_eq!(b.wait("an announcement", heard).await.1, valid);
    driver.abort();
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn other_software_is_let_go_unheard() {
    let mut node = Node::start(1, &[]).await;
    let mut stranger = Stranger::new(&identity::keypair(&[99; 32]), "/ipfs/0.1.0");
    stranger.swarm.dial(node.addresses().remove(0)).unwrap();
    stranger
        .wait("the end of the connection", |event| match event {
            SwarmEvent::ConnectionClosed { .. } => Some(()),
            _ => None,
        })
        .await;
    assert!(node.seen().is_empty());
    node.stop().await;
}
