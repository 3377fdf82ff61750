//! Who gives way to whom in a full book.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Book, OCCASION, Tier, age, group_of, tier};
use crate::{diversity::Group, id::NodeId, limits, op::PeerRecord, time::Timestamp};

impl Book {
    /// Which records go so that a new one has room; `None` if it has to stay out.
    ///
    /// Three bounds, the narrowest first: a full network makes room within itself, full places of the heard
    /// within the heard, and only a full book touches others.
    pub(super) fn make_room(&self, new: &PeerRecord, now: Timestamp) -> Option<Vec<NodeId>> {
        let mut victims: Vec<NodeId> = Vec::new();
        let rank = tier(new, now);
        let group = group_of(new);
        let alike = |record: &PeerRecord| group.is_some() && group_of(record) == group;
        if self.count(&victims, alike) >= limits::PEER_BOOK_PER_GROUP_MAX {
            victims.push(self.weakest(rank, now, &victims, alike)?);
        }
        let heard = |record: &PeerRecord| tier(record, now) == Tier::Heard;
        if rank == Tier::Heard && self.count(&victims, heard) >= limits::PEER_BOOK_HEARD_MAX {
            victims.push(self.weakest(rank, now, &victims, heard)?);
        }
        if self.count(&victims, |_| true) >= limits::PEER_BOOK_MAX {
            victims.push(self.weakest(rank, now, &victims, |_| true)?);
        }
        Some(victims)
    }

    fn count(&self, except: &[NodeId], counted: impl Fn(&PeerRecord) -> bool) -> usize {
        let records = self.records.values();
        records
            .filter(|record| !except.contains(&record.peer) && counted(record))
            .count()
    }

    /// The record that is missed least among those `of` which a newcomer of tier `rank` may push out.
    fn weakest(
        &self,
        rank: Tier,
        now: Timestamp,
        except: &[NodeId],
        of: impl Fn(&PeerRecord) -> bool,
    ) -> Option<NodeId> {
        let mut crowd: BTreeMap<Option<Group>, usize> = BTreeMap::new();
        for record in self.records.values() {
            *crowd.entry(group_of(record)).or_default() += 1;
        }
        let may_go = |record: &&PeerRecord| {
            let outbound = self.is_outbound(&record.peer);
            let weaker = match tier(record, now) {
                Tier::Gone => true,
                // First come, first kept for a while: a flood of the heard costs a write an hour, not one each.
                Tier::Heard => rank > Tier::Heard || age(record.since, now) >= OCCASION,
                Tier::Reached => rank >= Tier::Reached && !outbound,
                Tier::Established => false,
            };
            weaker && !record.anchor && !except.contains(&record.peer) && of(record)
        };
        let candidates = self.records.values().filter(may_go);
        candidates
            .min_by_key(|record| {
                let crowd = crowd.get(&group_of(record)).copied().unwrap_or(0);
                (tier(record, now), Reverse(crowd), record.seen, record.peer)
            })
            .map(|record| record.peer)
    }

    /// Whether a connection stands that this node dialled.
    pub(super) fn is_outbound(&self, peer: &NodeId) -> bool {
        let link = self.links.get(peer);
        link.is_some_and(|link| link.outbound.is_some())
    }
}
