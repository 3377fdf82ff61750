//! What the machine wants, turned into calls to libp2p.

use std::time::Instant;

use libp2p::{PeerId, gossipsub};
use weft_protocol::{
    id::NodeId,
    service::{InboundId, Input, RequestError, RequestId, Verdict},
    wire,
};

use super::Actor;
use crate::network::{Command, addresses, announcer::Statement, identity};

impl Actor {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { peer, addresses } => {
                if let Some(peer) = peer_id(&peer) {
                    let addresses = addresses::parse(&peer, &addresses);
                    self.book.learn(peer, addresses);
                    self.dial(peer, false);
                }
            }
            Command::Ban { peer } => {
                if let Some(peer) = peer_id(&peer) {
                    self.ban(peer);
                }
            }
            Command::SendRequest {
                request,
                peer,
                message,
            } => {
                self.send_request(request, &peer, message);
            }
            Command::Respond { request, message } => self.respond(request, message),
            Command::JudgeGossip { message, verdict } => {
                // Unknown: a conflict of our own store, or pushed out by a flood and judged then.
                if let Some(pending) = self.mailbox.judged(message) {
                    self.judge(&pending, acceptance(verdict));
                }
            }
            Command::Announce(announcement) => self.publish(wire::encode(&announcement)),
            Command::FindRecord { request, key } => self.find_record(request, key),
            Command::PutRecord {
                request,
                key,
                record,
            } => self.put_record(request, key, &record),
            Command::FindProviders { request, key } => self.find_providers(request, key),
            Command::Provide { key } => {
                self.announcer.add(Statement::Provider(key), Instant::now());
            }
            Command::StopProviding { key } => self.stop_providing(key),
        }
    }

    fn send_request(&mut self, request: RequestId, peer: &NodeId, message: wire::Request) {
        match peer_id(peer).filter(|peer| self.swarm.is_connected(peer)) {
            Some(peer) => {
                let id = self
                    .swarm
                    .behaviour_mut()
                    .requests
                    .send_request(&peer, message);
                self.outbound.insert(id, request);
            }
            None => self.tell(Input::Response {
                request,
                result: Err(RequestError::Unreachable),
            }),
        }
    }

    fn respond(&mut self, request: InboundId, message: wire::Response) {
        let Some(inbound) = self.inbound.remove(&request) else {
            // The asker hung up, and the machine did not know yet.
            return;
        };
        let requests = &mut self.swarm.behaviour_mut().requests;
        if requests.send_response(inbound.channel, message).is_err() {
            tracing::debug!(request = request.0, "the asker did not wait for the answer");
        }
    }

    /// Publishes an announcement, or keeps it until somebody listens.
    pub(super) fn publish(&mut self, data: Vec<u8>) {
        let topic = self.names.topic.clone();
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match gossip.publish(topic, data.clone()) {
            // A duplicate is on its way already, published by us or by somebody else.
            Ok(_) | Err(gossipsub::PublishError::Duplicate) => {}
            Err(
                gossipsub::PublishError::NoPeersSubscribedToTopic
                | gossipsub::PublishError::AllQueuesFull(_),
            ) => self.mailbox.keep(data),
            Err(error) => tracing::warn!(%error, "an announcement was not published"),
        }
    }
}

/// The peer id of a node the machine named. Ids come from peers that connected or from what others said;
/// one that is no key belongs to nobody.
fn peer_id(node: &NodeId) -> Option<PeerId> {
    let peer = identity::peer_id(node);
    if peer.is_none() {
        tracing::debug!(peer = %node.fmt_short(), "not a node id");
    }
    peer
}

fn acceptance(verdict: Verdict) -> gossipsub::MessageAcceptance {
    match verdict {
        Verdict::Accept => gossipsub::MessageAcceptance::Accept,
        Verdict::Ignore => gossipsub::MessageAcceptance::Ignore,
        Verdict::Reject => gossipsub::MessageAcceptance::Reject,
    }
}
