//! What libp2p reports, turned into inputs for the machine.

use std::io;

use libp2p::{
    PeerId, gossipsub,
    request_response::{self, OutboundFailure},
    swarm::SwarmEvent,
};
use weft_protocol::{
    service::{InboundId, Input, RequestError},
    wire,
};

use super::{Actor, Inbound};
use crate::network::{behaviour::BehaviourEvent, gossip::Pending, identity};

/// Questions that wait for the machine. Each connection is bounded too; beyond this, all are refused.
const INBOUND_MAX: usize = 1_024;

type RequestsEvent = request_response::Event<wire::Request, wire::Response>;

impl Actor {
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_established(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                cause,
                ..
            } => {
                if let Some(cause) = cause {
                    tracing::debug!(peer = %peer_id, %cause, "connection lost");
                }
                self.on_closed(&peer_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id,
                connection_id,
                error,
            } => self.on_dial_failed(peer_id, connection_id, &error),
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "an inbound connection failed");
            }
            SwarmEvent::NewListenAddr { .. }
            | SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::ListenerClosed { .. } => self.on_listen_addresses(),
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener has trouble");
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Mdns(event) => self.on_mdns(event),
            BehaviourEvent::Requests(event) => self.on_requests(event),
            BehaviourEvent::Ping(event) => {
                if let Err(error) = event.result {
                    tracing::debug!(peer = %event.peer, %error, "no answer to a ping");
                }
            }
            BehaviourEvent::Gate(never) | BehaviourEvent::Limits(never) => match never {},
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let pending = Pending {
                    message: message_id,
                    source: propagation_source,
                };
                self.on_announcement(pending, &message.data);
            }
            gossipsub::Event::Subscribed { topic, .. } if topic == self.names.topic.hash() => {
                for data in self.mailbox.take_unsent() {
                    self.publish(data);
                }
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "announcements do not reach the peer in time");
            }
            _ => {}
        }
    }

    fn on_announcement(&mut self, pending: Pending, data: &[u8]) {
        let announcement = match wire::decode(data) {
            Ok(announcement) => announcement,
            Err(error) => {
                tracing::debug!(peer = %pending.source, %error, "an announcement does not decode");
                self.judge(&pending, gossipsub::MessageAcceptance::Reject);
                return;
            }
        };
        let Some(peer) = self.introduce(&pending.source) else {
            // Its sender is gone, and with it whom to hold it against; others will bring it again.
            self.judge(&pending, gossipsub::MessageAcceptance::Ignore);
            return;
        };
        let (message, dropped) = self.mailbox.wait(pending);
        if let Some(dropped) = dropped {
            self.judge(&dropped, gossipsub::MessageAcceptance::Ignore);
        }
        self.tell(Input::Gossip {
            peer,
            message,
            announcement,
        });
    }

    fn on_requests(&mut self, event: RequestsEvent) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request {
                    request_id,
                    request,
                    channel,
                } => {
                    let inbound = Inbound {
                        request: request_id,
                        channel,
                    };
                    self.on_request(&peer, request, inbound);
                }
                request_response::Message::Response {
                    request_id,
                    response,
                } => {
                    if let Some(request) = self.outbound.remove(&request_id) {
                        let result = Ok(response);
                        self.tell(Input::Response { request, result });
                    }
                }
            },
            request_response::Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "a question got no answer");
                if let Some(request) = self.outbound.remove(&request_id) {
                    let result = Err(request_error(&error));
                    self.tell(Input::Response { request, result });
                }
            }
            request_response::Event::InboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "an answer did not get through");
                self.inbound
                    .retain(|_, inbound| inbound.request != request_id);
            }
            request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(&mut self, peer: &PeerId, message: wire::Request, inbound: Inbound) {
        let node = self.introduce(peer).or_else(|| identity::node_id(peer));
        let Some(peer) = node.filter(|_| self.inbound.len() < INBOUND_MAX) else {
            let requests = &mut self.swarm.behaviour_mut().requests;
            // The asker may have hung up; then there is nobody to refuse.
            let _ = requests.send_response(inbound.channel, wire::Response::Refused);
            return;
        };
        let request = InboundId(self.inbound_next);
        self.inbound_next += 1;
        self.inbound.insert(request, inbound);
        self.tell(Input::Request {
            peer,
            request,
            message,
        });
    }
}

fn request_error(failure: &OutboundFailure) -> RequestError {
    match failure {
        OutboundFailure::Timeout => RequestError::Timeout,
        OutboundFailure::UnsupportedProtocols => RequestError::Protocol,
        OutboundFailure::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            RequestError::Protocol
        }
        OutboundFailure::DialFailure
        | OutboundFailure::ConnectionClosed
        | OutboundFailure::Io(_) => RequestError::Unreachable,
    }
}
