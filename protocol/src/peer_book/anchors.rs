//! Anchors: the few peers that are dialled first after a restart.
//!
//! Somebody who wants a node all to himself waits for it to restart and is then the first to be dialled, or
//! floods it with connections until it knows nobody else. Against that the node keeps, as Bitcoin does,
//! a few of the peers it had chosen itself. Only a peer that this node dialled becomes one, so nobody can
//! apply for it; the longest-standing come first, and each is of another network.

use std::{cmp::Reverse, time::Duration};

use super::{Book, group_of};
use crate::{
    diversity::Tally,
    id::NodeId,
    limits,
    op::{Op, PeerRecord},
    time::{Instant, Now},
};

/// An outbound connection that stands for so long takes the place of an anchor that is not there.
const LONG_STANDING: Duration = Duration::from_secs(600);

impl Book {
    /// The anchors.
    pub fn anchors(&self) -> impl Iterator<Item = &PeerRecord> {
        self.records.values().filter(|record| record.anchor)
    }

    /// Chooses the anchors anew and adds what changed to `ops`.
    ///
    /// Long-standing outbound peers first; then the anchors of before, unless dialling them failed in this
    /// run; then outbound peers of the last minutes, which are better than none.
    pub(super) fn elect(&mut self, now: Now, ops: &mut Vec<Op>) {
        let mut candidates: Vec<(u8, Instant, Reverse<u32>, NodeId)> = Vec::new();
        for record in self.records.values() {
            let link = self.links.get(&record.peer);
            let since = link.and_then(|link| link.outbound.as_ref().map(|(since, _)| *since));
            let stands = since.is_some_and(|since| now.instant.since(since) >= LONG_STANDING);
            let rank = if stands {
                0
            } else if record.anchor && !self.failed.contains(&record.peer) {
                1
            } else if since.is_some() {
                2
            } else {
                continue;
            };
            let since = since.unwrap_or(now.instant);
            candidates.push((rank, since, Reverse(record.reached), record.peer));
        }
        candidates.sort_unstable();
        let mut tally = Tally::default();
        let chosen: Vec<NodeId> = candidates
            .into_iter()
            .map(|(_, _, _, peer)| peer)
            .filter(|peer| {
                let group = self.records.get(peer).and_then(group_of);
                tally.admit(group, 1)
            })
            .take(limits::ANCHORS_MAX)
            .collect();
        for record in self.records.values_mut() {
            let anchor = chosen.contains(&record.peer);
            if record.anchor != anchor {
                record.anchor = anchor;
                ops.push(Op::PutPeer(record.clone()));
            }
        }
    }
}
