//! Who gave us how much, and what we gave him: the memory of the choker.

use std::time::Duration;

use super::{choker::Share, table::Table};
use crate::{id::NodeId, limits, time::Instant};

/// What counts between this node and one peer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Account {
    received: u64,
    given: u64,
    at: Instant,
    /// Requests of it that were served.
    served: u32,
    /// When it was last served.
    pub(crate) served_at: Option<Instant>,
    /// When it was last served because it was its turn.
    pub(crate) turn_at: Option<Instant>,
}

/// Accounts of peers that asked or gave.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Table<NodeId, Account>);

/// Steps in which what was given is forgotten: 15/16 a step come to half in about ten minutes.
const STEP: Duration = Duration::from_secs(56);

impl Account {
    fn decay(&mut self, now: Instant) {
        let step = u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX);
        let steps = now.0.saturating_sub(self.at.0) / step;
        if steps > 700 {
            // Nothing is left of any number.
            (self.received, self.given) = (0, 0);
        } else {
            for _ in 0..steps {
                self.received -= self.received.div_ceil(16);
                self.given -= self.given.div_ceil(16);
            }
        }
        self.at = Instant(self.at.0 + steps * step);
    }

    /// Verified bytes received from the peer, older ones counting less.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How far we are behind in giving back: parts per million of what was received, less what was given.
    pub(crate) fn owed(&self) -> u64 {
        let received = u128::from(self.received) * 1_000_000;
        let owed = received / (u128::from(self.given) + u128::from(GRAIN));
        u64::try_from(owed).unwrap_or(u64::MAX)
    }

    /// A request of the peer is served.
    pub(crate) fn serve(&mut self, by: Share, now: Instant) {
        self.served = self.served.saturating_add(1);
        self.served_at = Some(now);
        if by == Share::Turn {
            self.turn_at = Some(now);
        }
    }

    /// Requests of the peer that were served.
    pub(crate) fn served(&self) -> u32 {
        self.served
    }

    /// Whether the peer got next to nothing so far.
    pub(crate) fn is_newcomer(&self) -> bool {
        self.served < NEWCOMER_REQUESTS
    }
}

/// A first gift counts as this much, so that ratios of small numbers do not jump.
const GRAIN: u64 = 256 * 1024;
/// Requests after which somebody is no newcomer: one is enough to have a piece to give, and takers add up.
const NEWCOMER_REQUESTS: u32 = 1;

impl Ledger {
    /// The account of a peer as of now.
    pub(crate) fn account(&mut self, peer: NodeId, now: Instant) -> &mut Account {
        if self.0.len() >= limits::ACCOUNTS_MAX && !self.0.contains_key(&peer) {
            let oldest = self.0.iter().min_by_key(|(id, account)| (account.at, **id));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.0.remove(&oldest);
            }
        }
        let account = self.0.get_or_insert_with(peer, || Account {
            at: now,
            ..Account::default()
        });
        account.decay(now);
        account
    }

    /// The account of a peer as it stood when it was last touched.
    pub(crate) fn get(&self, peer: &NodeId) -> Account {
        self.0.get(peer).copied().unwrap_or_default()
    }

    /// A peer gave us verified bytes.
    pub(crate) fn credit(&mut self, peer: NodeId, bytes: u64, now: Instant) {
        let account = self.account(peer, now);
        account.received = account.received.saturating_add(bytes);
    }

    /// We gave a peer bytes.
    pub(crate) fn debit(&mut self, peer: NodeId, bytes: u64, now: Instant) {
        let account = self.account(peer, now);
        account.given = account.given.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId::new([1; 32]);

    #[test]
    fn half_is_forgotten_after_ten_minutes() {
        let mut ledger = Ledger::default();
        ledger.credit(PEER, 1_000_000, Instant(0));
        let received = ledger.account(PEER, Instant(600_000)).received();
        assert!((480_000..540_000).contains(&received), "{received}");
        assert_eq!(ledger.account(PEER, Instant(u64::MAX / 2)).received(), 0);
    }

    #[test]
    fn who_gave_more_than_he_got_is_owed_more() {
        let mut ledger = Ledger::default();
        let (giver, taker) = (NodeId::new([2; 32]), NodeId::new([3; 32]));
        ledger.credit(giver, 2_000_000, Instant(0));
        ledger.credit(taker, 2_000_000, Instant(0));
        ledger.debit(giver, 1_000_000, Instant(0));
        ledger.debit(taker, 4_000_000, Instant(0));
        assert!(ledger.get(&giver).owed() > ledger.get(&taker).owed());
        assert_eq!(ledger.get(&PEER).owed(), 0);
    }

    #[test]
    fn accounts_are_bounded() {
        let mut ledger = Ledger::default();
        for n in 0..u32::try_from(limits::ACCOUNTS_MAX).unwrap() + 10 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            ledger.credit(NodeId::new(id), 1, Instant(u64::from(n)));
        }
        assert_eq!(ledger.0.len(), limits::ACCOUNTS_MAX);
    }
}
