//! Who sent and received how much.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use weft_protocol::id::NodeId;

/// Peers that are counted one by one; later ones only show in the totals. Far more than a node meets in a run.
const PEERS_MAX: usize = 16_384;

/// Payload bytes since the start of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent to peers.
    pub uploaded: u64,
    /// Received from peers and verified.
    pub downloaded: u64,
    /// The same by peer, in id order.
    pub peers: Vec<PeerBytes>,
}

/// One peer's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerBytes {
    /// Who.
    pub peer: NodeId,
    /// Sent to it.
    pub uploaded: u64,
    /// Received from it and verified.
    pub downloaded: u64,
}

/// The running counts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    total: Account,
    peers: Mutex<BTreeMap<NodeId, Arc<Account>>>,
}

#[derive(Debug, Default)]
struct Account {
    uploaded: AtomicU64,
    downloaded: AtomicU64,
}

/// Counts for one peer without a look-up for each packet.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    account: Option<Arc<Account>>,
}

impl Ledger {
    pub(super) fn meter(&self, peer: NodeId) -> Meter {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let full = peers.len() >= PEERS_MAX && !peers.contains_key(&peer);
        let account = (!full).then(|| Arc::clone(peers.entry(peer).or_default()));
        Meter { account }
    }

    pub(super) fn uploaded(&self, meter: &Meter, bytes: u64) {
        self.total.uploaded.fetch_add(bytes, Ordering::Relaxed);
        if let Some(account) = &meter.account {
            account.uploaded.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn downloaded(&self, meter: &Meter, bytes: u64) {
        self.total.downloaded.fetch_add(bytes, Ordering::Relaxed);
        if let Some(account) = &meter.account {
            account.downloaded.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> Counters {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        Counters {
            uploaded: self.total.uploaded.load(Ordering::Relaxed),
            downloaded: self.total.downloaded.load(Ordering::Relaxed),
            peers: peers
                .iter()
                .map(|(peer, account)| PeerBytes {
                    peer: *peer,
                    uploaded: account.uploaded.load(Ordering::Relaxed),
                    downloaded: account.downloaded.load(Ordering::Relaxed),
                })
                .collect(),
        }
    }
}
