//! The modelled data plane: observations and transfers over lines of limited width.

use std::collections::{BTreeMap, BTreeSet};

use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    piece_set::PieceSet,
    service::{Input, RequestId, StorageError, TransferError},
};

use crate::{Behaviour, HostId, World, world::Happening};

/// Who watches which blob at whom.
#[derive(Debug, Default)]
pub(crate) struct Observers(BTreeMap<(HostId, BlobHash), BTreeMap<HostId, u64>>);

impl Observers {
    pub(crate) fn remove(&mut self, provider: HostId, blob: BlobHash, observer: HostId) {
        if let Some(observers) = self.0.get_mut(&(provider, blob)) {
            observers.remove(&observer);
        }
    }

    pub(crate) fn forget(&mut self, host: HostId) {
        self.0.retain(|(provider, _), _| *provider != host);
        for observers in self.0.values_mut() {
            observers.remove(&host);
        }
    }
}

/// One transfer.
#[derive(Debug, Clone)]
struct Transfer {
    epoch: u64,
    provider: HostId,
    blob: BlobHash,
    size: u64,
    pieces: PieceRange,
}

/// Transfers on their way, by who receives.
#[derive(Debug, Default)]
pub(crate) struct Transfers(BTreeMap<(HostId, RequestId), Transfer>);

impl World {
    pub(crate) fn observe(&mut self, id: HostId, peer: &NodeId, blob: BlobHash, size: u64) {
        let provider = self.find(peer).filter(|other| self.host(*other).is_up());
        let serving = provider.filter(|other| self.host(*other).offered.contains(&blob));
        let Some(provider) = serving else {
            let input = Input::AvailabilityLost { peer: *peer, blob };
            return self.input_later(30, id, input);
        };
        let observers = self.observers.0.entry((provider, blob)).or_default();
        observers.insert(id, size);
        self.tell_observer(provider, id, blob, size);
    }

    fn tell_observer(&mut self, provider: HostId, observer: HostId, blob: BlobHash, size: u64) {
        let have = self.host(provider).disk.have(&blob, size);
        let peer = self.host(provider).node;
        let after = self.latency(provider, observer);
        self.input_later(after, observer, Input::Availability { peer, blob, have });
    }

    pub(crate) fn fetch(
        &mut self,
        id: HostId,
        request: RequestId,
        peer: &NodeId,
        blob: BlobHash,
        size: u64,
        pieces: PieceRange,
    ) {
        assert!(
            self.host(id).protected.binary_search(&blob).is_ok(),
            "a blob is protected before a byte of it is asked for"
        );
        let fail = |error| Input::PiecesFetched {
            request,
            result: Err(error),
        };
        let provider = self.find(peer).filter(|other| self.host(*other).is_up());
        let Some(provider) = provider else {
            return self.input_later(50, id, fail(TransferError::Connection));
        };
        let latency = self.latency(id, provider);
        let host = self.host(provider);
        let has = host.disk.have(&blob, size).contains_range(pieces);
        if !host.offered.contains(&blob) || !has {
            return self.input_later(2 * latency, id, fail(TransferError::Unavailable));
        }
        let epoch = self.host(id).epoch;
        let transfer = Transfer {
            epoch,
            provider,
            blob,
            size,
            pieces,
        };
        self.transfers.0.insert((id, request), transfer);
        if self.host(provider).behaviour == Behaviour::Silent {
            return;
        }
        // Both lines are queues: the bytes start when both are free and go as fast as the slower one.
        let bytes = Layout::new(size).len(pieces);
        let now = self.now;
        let (up, down) = (self.host(provider).link.up, self.host(id).link.down);
        let start = self.host(provider).up_free_at.max(now);
        let sent = start + bytes * 1_000 / up;
        let received = self.host(id).down_free_at.max(start) + bytes * 1_000 / down;
        self.host_mut(provider).up_free_at = sent;
        self.host_mut(id).down_free_at = received;
        let end = sent.max(received) + latency - now;
        for (after, end) in [(end / 2, false), (end, true)] {
            let host = id;
            self.later(after.max(1), Happening::Transfer { host, request, end });
        }
    }

    pub(crate) fn transfer_moves(&mut self, id: HostId, request: RequestId, end: bool) {
        let Some(transfer) = self.transfers.0.get(&(id, request)).cloned() else {
            return;
        };
        if self.host(id).epoch != transfer.epoch {
            self.transfers.0.remove(&(id, request));
            return;
        }
        let total = Layout::new(transfer.size).len(transfer.pieces);
        let bytes = if end { total - total / 2 } else { total / 2 };
        let corrupt = self.host(transfer.provider).behaviour == Behaviour::Corrupt;
        if !end {
            if !corrupt {
                self.input(id, Input::PiecesProgress { request, bytes });
            }
            return;
        }
        self.transfers.0.remove(&(id, request));
        self.host_mut(transfer.provider).uploaded += total;
        if corrupt {
            let result = Err(TransferError::Corrupt);
            return self.input(id, Input::PiecesFetched { request, result });
        }
        if self.host(id).disk_full {
            let result = Err(TransferError::Storage(StorageError::Full));
            return self.input(id, Input::PiecesFetched { request, result });
        }
        let pieces = Layout::new(transfer.size).pieces();
        let blobs = &mut self.host_mut(id).disk.blobs;
        let have = blobs
            .entry(transfer.blob)
            .or_insert_with(|| PieceSet::empty(pieces));
        have.insert_range(transfer.pieces);
        self.input(id, Input::PiecesProgress { request, bytes });
        let result = Ok(());
        self.input(id, Input::PiecesFetched { request, result });
        let observers = self.observers.0.get(&(id, transfer.blob)).cloned();
        for (observer, size) in observers.unwrap_or_default() {
            self.tell_observer(id, observer, transfer.blob, size);
        }
    }

    pub(crate) fn cancel_transfer(&mut self, id: HostId, request: RequestId) {
        if self.transfers.0.remove(&(id, request)).is_some() {
            let result = Err(TransferError::Cancelled);
            self.input_later(1, id, Input::PiecesFetched { request, result });
        }
    }

    /// A process died: what it sent breaks off, what it received is forgotten.
    pub(crate) fn drop_transfers_of(&mut self, dead: HostId) {
        let broken: BTreeSet<(HostId, RequestId)> = self
            .transfers
            .0
            .iter()
            .filter(|((host, _), transfer)| *host == dead || transfer.provider == dead)
            .map(|(key, _)| *key)
            .collect();
        for (host, request) in broken {
            self.transfers.0.remove(&(host, request));
            if host != dead {
                let result = Err(TransferError::Connection);
                self.input_later(20, host, Input::PiecesFetched { request, result });
            }
        }
        let lost: Vec<(HostId, BlobHash)> = self
            .observers
            .0
            .iter()
            .filter(|((provider, _), _)| *provider == dead)
            .flat_map(|((_, blob), observers)| observers.keys().map(|o| (*o, *blob)))
            .collect();
        let peer = self.host(dead).node;
        for (observer, blob) in lost {
            self.input_later(20, observer, Input::AvailabilityLost { peer, blob });
        }
    }
}
