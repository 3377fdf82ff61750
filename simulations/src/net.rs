//! The modelled control plane: connections, questions, gossip.

use std::rc::Rc;

use weft_protocol::{
    codec,
    id::NodeId,
    service::{GossipId, InboundId, Input, RequestError, RequestId, Verdict},
    wire,
};

use crate::{HostId, World, clock::MILLI, world::Happening};

/// A question without an answer counts as lost after this.
const REQUEST_TIMEOUT_MS: u64 = 10_000;

/// A gossip message that somebody has to judge: who forwarded it, and what it says.
#[derive(Debug)]
pub(crate) struct Rumour {
    source: HostId,
    announcement: Rc<wire::Announcement>,
}

impl World {
    /// One-way delay between two hosts, in milliseconds.
    pub(crate) fn latency(&self, a: HostId, b: HostId) -> u64 {
        self.outline(a).latency(self.outline(b))
    }

    /// Whether packets get from one host to the other.
    pub(crate) fn reaches(&self, a: HostId, b: HostId) -> bool {
        !self.divided || self.host(a).island == self.host(b).island
    }

    /// Lets a host dial another, as a bootstrap address does: it finds room.
    pub fn connect(&mut self, a: HostId, b: HostId) {
        let after = self.latency(a, b) * 3;
        self.later(after, Happening::Connected(a, b));
    }

    /// Lets a machine dial somebody; silent if that does not work.
    pub(crate) fn dial(&mut self, from: HostId, to: &NodeId) {
        let Some(to) = self.find(to) else { return };
        let (here, there) = (self.host(from), self.host(to));
        let room = here.is_lonely() && there.has_room();
        let known = here.connected.contains(&to) || here.dialling.contains(&to);
        if room && here.link.can_dial(&there.link) && !known {
            self.host_mut(from).dialling.insert(to);
            self.connect(from, to);
        }
    }

    pub(crate) fn connected(&mut self, a: HostId, b: HostId) {
        self.host_mut(a).dialling.remove(&b);
        let (here, there) = (self.host(a), self.host(b));
        let refused = here.banned.contains(&there.node) || there.banned.contains(&here.node);
        // Dials that were under way together do not fill a host beyond its room.
        let room = here.has_room() && there.has_room();
        let up = here.is_up() && there.is_up() && self.reaches(a, b);
        if a == b || !up || refused || !room || !self.host_mut(a).connected.insert(b) {
            return;
        }
        self.host_mut(b).connected.insert(a);
        for (one, other) in [(a, b), (b, a)] {
            let now = self.now;
            self.host_mut(one).first_peer_at.get_or_insert(now);
            let peer = self.host(other).node;
            let address = format!("/sim/{}", other.0);
            let addresses = vec![address.clone()];
            self.input(one, Input::PeerConnected { peer, address });
            self.input_later(5, one, Input::PeerAddresses { peer, addresses });
        }
    }

    /// Cuts the connection between two hosts.
    pub fn sever(&mut self, a: HostId, b: HostId) {
        for (one, other) in [(a, b), (b, a)] {
            let peer = self.host(other).node;
            self.host_mut(one).connected.remove(&other);
            self.input_later(1, one, Input::PeerDisconnected { peer });
        }
    }

    pub(crate) fn ban(&mut self, id: HostId, peer: NodeId) {
        self.host_mut(id).banned.insert(peer);
        let other = self.find(&peer);
        if let Some(other) = other.filter(|other| self.host(id).connected.contains(other)) {
            self.sever(id, other);
        }
    }

    pub(crate) fn send(
        &mut self,
        id: HostId,
        request: RequestId,
        peer: &NodeId,
        message: wire::Request,
    ) {
        let epoch = self.host(id).epoch;
        let target = self
            .find(peer)
            .filter(|target| self.host(id).connected.contains(target));
        let Some(target) = target else {
            let result = Err(RequestError::Unreachable);
            return self.input_later(5, id, Input::Response { request, result });
        };
        self.ids += 1;
        let inbound = InboundId(self.ids);
        self.inbound.insert(inbound, (id, epoch, request));
        let asked = Input::Request {
            peer: self.host(id).node,
            request: inbound,
            message,
        };
        self.input_later(self.latency(id, target), target, asked);
        let lost_at = self.now + REQUEST_TIMEOUT_MS * MILLI;
        self.questions.push_back((lost_at, inbound));
    }

    /// When the next question without an answer counts as lost, unless that is after `end`.
    pub(crate) fn next_overdue(&mut self, end: u64) -> Option<u64> {
        while let Some((at, question)) = self.questions.front() {
            if *at > end {
                break;
            }
            if self.inbound.contains_key(question) {
                return Some(*at);
            }
            self.questions.pop_front();
        }
        None
    }

    /// The oldest question is lost.
    pub(crate) fn give_up_question(&mut self) {
        let question = self.questions.pop_front();
        if let Some((_, question)) = question
            && let Some((asker, epoch, request)) = self.inbound.remove(&question)
            && self.host(asker).epoch == epoch
        {
            let result = Err(RequestError::Timeout);
            self.input(asker, Input::Response { request, result });
        }
    }

    pub(crate) fn respond(&mut self, id: HostId, request: InboundId, message: wire::Response) {
        if let Some((asker, epoch, request)) = self.inbound.remove(&request) {
            let after = self.latency(id, asker);
            let result = Ok(message);
            self.input_to(after, asker, epoch, Input::Response { request, result });
        }
    }

    pub(crate) fn announce(&mut self, id: HostId, announcement: &wire::Announcement) {
        let hash = *blake3::hash(&codec::encode(announcement)).as_bytes();
        if self.host_mut(id).gossip_seen.insert(hash) {
            self.spread(id, None, announcement);
        }
    }

    /// Lets an announcement out to everybody nearby, as a forged one is too.
    pub fn spread(
        &mut self,
        id: HostId,
        except: Option<HostId>,
        announcement: &wire::Announcement,
    ) {
        let hash = *blake3::hash(&codec::encode(announcement)).as_bytes();
        let peer = self.host(id).node;
        let announcement = Rc::new(announcement.clone());
        for other in self.host(id).connected.clone() {
            if Some(other) == except || !self.host_mut(other).gossip_seen.insert(hash) {
                continue;
            }
            self.ids += 1;
            let message = GossipId(self.ids);
            let rumour = Rumour {
                source: id,
                announcement: Rc::clone(&announcement),
            };
            self.gossip.insert(message, rumour);
            let heard = Input::Gossip {
                peer,
                message,
                announcement: wire::Announcement::clone(&announcement),
            };
            self.input_later(self.latency(id, other), other, heard);
        }
    }

    pub(crate) fn judged(&mut self, id: HostId, message: GossipId, verdict: Verdict) {
        let Some(Rumour {
            source,
            announcement,
        }) = self.gossip.remove(&message)
        else {
            return;
        };
        match verdict {
            Verdict::Accept => self.spread(id, Some(source), &announcement),
            Verdict::Ignore => {}
            Verdict::Reject => self.host_mut(id).rejected_gossip += 1,
        }
    }
}
