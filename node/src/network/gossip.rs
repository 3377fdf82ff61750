//! Gossip: announcements, validated before they are forwarded.
//!
//! Messages are anonymous (no author, no sequence number): an announcement proves itself, and nobody
//! needs to learn which node said it first. Its id is the hash of its bytes, so one announcement is one
//! message however many nodes publish it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use libp2p::{PeerId, gossipsub};
use weft_protocol::{limits::GOSSIP_LEN_MAX, service::GossipId};

/// Messages that wait for the machine's verdict. It takes milliseconds; a thousand is a flood.
const PENDING_MAX: usize = 1_024;
/// Own announcements kept while nobody is there to hear them.
const UNSENT_MAX: usize = 16;
/// An announcement comes back from slow corners of the mesh within minutes, not later.
const DUPLICATE_CACHE_TIME: Duration = Duration::from_secs(600);
/// What comes around gossipsub's framing of one message.
const FRAMING_LEN_MAX: usize = 4 * 1024;
/// Twenty peers behind one address are a household or an office; more are suspicious.
const PEERS_PER_ADDRESS_MAX: f64 = 20.0;

/// Builds the behaviour, subscribed to `topic`.
///
/// # Errors
/// A parameter that gossipsub refuses: an error in this file.
pub(crate) fn behaviour(topic: &gossipsub::IdentTopic) -> Result<gossipsub::Behaviour, String> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| message_id(&message.data))
        .max_transmit_size(GOSSIP_LEN_MAX + FRAMING_LEN_MAX)
        .duplicate_cache_time(DUPLICATE_CACHE_TIME)
        // Two nodes on one table are a mesh, so nothing may be asked that needs a crowd.
        .mesh_n(6)
        .mesh_n_low(2)
        .mesh_n_high(12)
        .mesh_outbound_min(0)
        .flood_publish(true)
        .heartbeat_initial_delay(Duration::from_secs(1))
        // The machine may be busy writing: keep what it has not judged for 20 heartbeats.
        .history_length(20)
        .history_gossip(3)
        .build()
        .map_err(|error| error.to_string())?;
    let mut behaviour =
        gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, config)?;
    behaviour.with_peer_score(score(topic), gossipsub::PeerScoreThresholds::default())?;
    behaviour
        .subscribe(topic)
        .map_err(|error| error.to_string())?;
    Ok(behaviour)
}

/// The id of a message: the hash of what it says.
pub(crate) fn message_id(data: &[u8]) -> gossipsub::MessageId {
    gossipsub::MessageId::from(blake3::hash(data).as_bytes().to_vec())
}

fn score(topic: &gossipsub::IdentTopic) -> gossipsub::PeerScoreParams {
    let topic_score = gossipsub::TopicScoreParams {
        topic_weight: 1.0,
        // Standing in the mesh is worth a little: one point after 100 minutes.
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(60),
        time_in_mesh_cap: 100.0,
        first_message_deliveries_weight: 1.0,
        first_message_deliveries_decay: 0.99,
        first_message_deliveries_cap: 20.0,
        // Announcements are rare: silence is no fault.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // The square counts: three forged announcements in an hour and a peer is not listened to.
        invalid_message_deliveries_weight: -10.0,
        invalid_message_deliveries_decay: 0.999,
        ..gossipsub::TopicScoreParams::default()
    };
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    gossipsub::PeerScoreParams {
        topics: HashMap::from([(topic.hash(), topic_score)]),
        topic_score_cap: 50.0,
        ip_colocation_factor_weight: -5.0,
        ip_colocation_factor_threshold: PEERS_PER_ADDRESS_MAX,
        ip_colocation_factor_whitelist: loopback.into_iter().collect(),
        ..gossipsub::PeerScoreParams::default()
    }
}

/// A message that waits for a verdict.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// Its id.
    pub(crate) message: gossipsub::MessageId,
    /// Who forwarded it to us.
    pub(crate) source: PeerId,
}

/// Messages that wait: foreign ones for a verdict, own ones for an audience.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    pending: BTreeMap<GossipId, Pending>,
    next: u64,
    unsent: VecDeque<Vec<u8>>,
}

impl Mailbox {
    /// A name for a message that nobody waits for.
    pub(crate) fn name(&mut self) -> GossipId {
        let id = GossipId(self.next);
        self.next += 1;
        id
    }

    /// Names a message. If too many wait, the oldest is handed back, to be judged unseen.
    pub(crate) fn wait(&mut self, pending: Pending) -> (GossipId, Option<Pending>) {
        let id = self.name();
        self.pending.insert(id, pending);
        let dropped = (self.pending.len() > PENDING_MAX).then(|| self.pending.pop_first());
        (id, dropped.flatten().map(|(_, pending)| pending))
    }

    /// The message has its verdict.
    pub(crate) fn judged(&mut self, id: GossipId) -> Option<Pending> {
        self.pending.remove(&id)
    }

    /// Keeps an own announcement until somebody listens; the oldest gives way.
    pub(crate) fn keep(&mut self, data: Vec<u8>) {
        if self.unsent.contains(&data) {
            return;
        }
        if self.unsent.len() >= UNSENT_MAX {
            self.unsent.pop_front();
        }
        self.unsent.push_back(data);
    }

    /// Takes what was kept: somebody listens.
    pub(crate) fn take_unsent(&mut self) -> Vec<Vec<u8>> {
        self.unsent.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_accepted() {
        assert!(behaviour(&gossipsub::IdentTopic::new("test")).is_ok());
    }

    #[test]
    fn verdicts_are_awaited_for_a_bounded_number_of_messages() {
        let mut mailbox = Mailbox::default();
        let pending = |n: usize| Pending {
            message: message_id(&n.to_be_bytes()),
            source: PeerId::random(),
        };
        let first = pending(0).message;
        for n in 0..PENDING_MAX {
            assert!(mailbox.wait(pending(n)).1.is_none());
        }
        let (id, dropped) = mailbox.wait(pending(PENDING_MAX));
        assert_eq!(dropped.unwrap().message, first);
        assert!(mailbox.judged(id).is_some());
        assert!(mailbox.judged(id).is_none());
    }

    #[test]
    fn unsent_announcements_are_bounded_and_kept_once() {
        let mut mailbox = Mailbox::default();
        for n in 0..=UNSENT_MAX {
            mailbox.keep(n.to_be_bytes().to_vec());
            mailbox.keep(n.to_be_bytes().to_vec());
        }
        let unsent = mailbox.take_unsent();
        assert_eq!(unsent.len(), UNSENT_MAX);
        assert_eq!(unsent[0], 1_usize.to_be_bytes());
        assert!(mailbox.take_unsent().is_empty());
    }
}
