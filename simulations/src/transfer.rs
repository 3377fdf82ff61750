//! The modelled data plane: requests for pieces, from the question to the last byte.
//!
//! A request reaches its provider one latency after it was made; what is sent arrives one latency after it left.
//! In between bytes are fluids ([`crate::flow`]). Pieces become visible one by one as they arrive; of a piece that
//! broke off, the verified chunk groups stay and are not asked for again.

mod arrive;
mod serve;

use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    service::{Input, RequestId, TransferError},
};

use crate::{
    HostId, World,
    flow::{JobId, whole},
    world::Happening,
};

/// The grain of verification, in bytes.
const GROUP: u64 = 16 * 1024;

/// Names a transfer in its world; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransferId {
    place: u32,
    generation: u32,
}

/// One request for pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    receiver: HostId,
    request: RequestId,
    provider: HostId,
    provider_epoch: u64,
    blob: BlobHash,
    size: u64,
    pieces: PieceRange,
    /// The next piece to become complete.
    next: u32,
    /// Bytes of the first piece that were here before.
    before: u64,
    /// Bytes to be moved in all.
    total: u64,
    /// Bytes that a bad last chunk group makes useless.
    bad: u64,
    /// Bytes that the receiver's machine was told of.
    told: u64,
    /// Bytes that the provider's machine was told of.
    told_up: u64,
    stage: Stage,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// On its way to the provider.
    Sent,
    /// The provider's machine knows of it and has not let it start: the peer is choked.
    Waiting,
    /// Bytes flow.
    Flowing,
    /// All has left the provider.
    Served,
}

impl Stage {
    /// Whether the provider's machine waits for its end.
    fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::Flowing => true,
            Self::Sent | Self::Served => false,
        }
    }
}

/// All transfers.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    slots: Vec<(u32, Option<Transfer>)>,
    free: Vec<u32>,
}

impl Transfers {
    fn insert(&mut self, transfer: Transfer) -> TransferId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(place as usize) {
            slot.0 = slot.0.wrapping_add(1);
            generation = slot.0;
            slot.1 = Some(transfer);
        }
        TransferId { place, generation }
    }

    fn get(&self, id: TransferId) -> Option<Transfer> {
        let slot = self.slots.get(id.place as usize)?;
        slot.1.filter(|_| slot.0 == id.generation)
    }

    fn get_mut(&mut self, id: TransferId) -> Option<&mut Transfer> {
        let slot = self.slots.get_mut(id.place as usize)?;
        slot.1.as_mut().filter(|_| slot.0 == id.generation)
    }

    fn remove(&mut self, id: TransferId) -> Option<Transfer> {
        let slot = self.slots.get_mut(id.place as usize)?;
        if slot.0 != id.generation {
            return None;
        }
        let transfer = slot.1.take()?;
        self.free.push(id.place);
        Some(transfer)
    }
}

impl TransferId {
    fn job(self) -> JobId {
        JobId(u64::from(self.generation) << 32 | u64::from(self.place))
    }

    fn of(job: JobId) -> Self {
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
        Self {
            place: half(job.0),
            generation: half(job.0 >> 32),
        }
    }
}

impl World {
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
        let near = self.find(peer).filter(|other| self.reaches(id, *other));
        let Some(provider) = near.filter(|other| self.host(*other).is_up()) else {
            let result = Err(TransferError::Connection);
            return self.input_later(50, id, Input::PiecesFetched { request, result });
        };
        let transfer = self.transfers.insert(Transfer {
            receiver: id,
            request,
            provider,
            provider_epoch: self.host(provider).epoch,
            blob,
            size,
            pieces,
            next: pieces.start,
            before: 0,
            total: 0,
            bad: 0,
            told: 0,
            told_up: 0,
            stage: Stage::Sent,
        });
        self.host_mut(id).incoming.insert(request, transfer);
        self.check_requests(id);
        self.later(self.latency(id, provider), Happening::Asked(transfer));
    }

    pub(crate) fn cancel_transfer(&mut self, id: HostId, request: RequestId) {
        let Some(transfer) = self.host(id).incoming.get(&request).copied() else {
            return;
        };
        if self.remove_transfer(transfer).is_some() {
            let result = Err(TransferError::Cancelled);
            self.input_later(1, id, Input::PiecesFetched { request, result });
        }
    }

    /// A process died: what it sent breaks off, what it received is forgotten.
    pub(crate) fn drop_transfers_of(&mut self, dead: HostId) {
        let incoming: Vec<TransferId> = self.host(dead).incoming.values().copied().collect();
        for id in incoming {
            self.remove_transfer(id);
        }
        for id in self.host(dead).serving.clone() {
            self.break_transfer(id);
        }
    }

    /// Two hosts can no longer reach each other.
    pub(crate) fn break_transfers_between(&mut self, a: HostId, b: HostId) {
        for (provider, receiver) in [(a, b), (b, a)] {
            for id in self.host(provider).serving.clone() {
                let towards = self.transfers.get(id).map(|transfer| transfer.receiver);
                if towards == Some(receiver) {
                    self.break_transfer(id);
                }
            }
        }
    }

    fn break_transfer(&mut self, id: TransferId) {
        if let Some(transfer) = self.remove_transfer(id) {
            let (request, result) = (transfer.request, Err(TransferError::Connection));
            let ended = Input::PiecesFetched { request, result };
            self.input_later(20, transfer.receiver, ended);
        }
    }

    fn finish(&mut self, id: TransferId, result: Result<(), TransferError>) {
        if let Some(transfer) = self.remove_transfer(id) {
            let request = transfer.request;
            self.input(transfer.receiver, Input::PiecesFetched { request, result });
        }
    }

    /// Takes a transfer out, stops its flow, and keeps what verified of a broken piece.
    fn remove_transfer(&mut self, id: TransferId) -> Option<Transfer> {
        let transfer = self.transfers.remove(id)?;
        let mut moved = transfer.total;
        if transfer.stage == Stage::Flowing {
            let (from, to) = (transfer.provider.line(), transfer.receiver.line());
            moved = whole(self.flows.stop(from, to, id.job(), self.now));
            self.moved(&transfer, moved);
        }
        let layout = Layout::new(transfer.size);
        let good = moved.min(transfer.total - transfer.bad) + transfer.before;
        let past = PieceRange {
            start: transfer.pieces.start,
            end: transfer.next,
        };
        // What was still on its way may have been more than this piece; it is lost.
        let piece = PieceRange {
            start: transfer.next,
            end: transfer.next + 1,
        };
        let room = layout.len(piece).saturating_sub(1);
        let broken = good.saturating_sub(layout.len(past)).min(room) / GROUP * GROUP;
        let receiver = self.host_mut(transfer.receiver);
        receiver.incoming.remove(&transfer.request);
        if transfer.stage == Stage::Flowing {
            receiver.flowing.retain(|other| *other != id);
        }
        receiver
            .disk
            .keep_partial(transfer.blob, transfer.next, broken);
        let serving = &mut self.host_mut(transfer.provider).serving;
        serving.retain(|other| *other != id);
        if transfer.stage.is_open() {
            let sent = if transfer.stage == Stage::Flowing {
                moved
            } else {
                0
            };
            self.upload_ended(id, &transfer, sent);
        }
        Some(transfer)
    }

    /// Books bytes that crossed the wire.
    fn moved(&mut self, transfer: &Transfer, bytes: u64) {
        self.host_mut(transfer.provider).uploaded += bytes;
        self.host_mut(transfer.receiver).downloaded += bytes;
        self.census
            .moved(transfer.provider, transfer.receiver, bytes);
    }
}
