//! The receiving end: pieces become complete, machines hear how far their transfers are.

use weft_protocol::{
    layout::{Layout, PieceRange},
    service::{Input, StorageError, TransferError},
};

use super::{Stage, TransferId};
use crate::{HostId, World, flow::whole, world::Happening};

/// How often a machine hears how far its transfers are, in milliseconds.
const PROGRESS_MS: u64 = 500;

impl World {
    /// The first bytes are there.
    pub(crate) fn began(&mut self, id: TransferId) {
        if let Some(transfer) = self.transfers.get(id) {
            let (request, bytes) = (transfer.request, 0);
            self.input(transfer.receiver, Input::PiecesProgress { request, bytes });
        }
    }

    /// A piece, or the rest, arrived.
    pub(crate) fn arrived(&mut self, id: TransferId, last: bool) {
        let Some(transfer) = self.transfers.get_mut(id) else {
            return;
        };
        if last && transfer.bad > 0 {
            return self.finish(id, Err(TransferError::Corrupt));
        }
        assert!(
            transfer.stage != Stage::Waiting,
            "a choked peer receives no piece"
        );
        let piece = transfer.next;
        transfer.next += 1;
        let layout = Layout::new(transfer.size);
        let past = PieceRange {
            start: transfer.pieces.start,
            end: transfer.next,
        };
        let so_far = layout.len(past) - transfer.before;
        let bytes = so_far.saturating_sub(transfer.told);
        // What comes in one go is told by its end.
        let whole = last && transfer.told == 0 && transfer.before == 0;
        transfer.told = transfer.told.max(so_far);
        let transfer = *transfer;
        let (receiver, request) = (transfer.receiver, transfer.request);
        if self.crashes_now(receiver) {
            return;
        }
        if self.host(receiver).disk_full {
            return self.finish(id, Err(TransferError::Storage(StorageError::Full)));
        }
        let host = self.host_mut(receiver);
        if host.disk.insert(transfer.blob, piece, layout.pieces()) {
            let range = PieceRange {
                start: piece,
                end: piece + 1,
            };
            host.kept += layout.len(range);
            self.census.gained(&transfer.blob, piece);
            let pieces = layout.pieces();
            self.holdings.insert(receiver, transfer.blob, piece, pieces);
            self.has_more(receiver, transfer.blob, piece);
        }
        if bytes > 0 && !whole {
            self.input(receiver, Input::PiecesProgress { request, bytes });
        }
        if last {
            self.finish(id, Ok(()));
        }
    }

    /// Tells a machine how far its transfers are.
    pub(crate) fn progress(&mut self, host: HostId, epoch: u64) {
        if self.host(host).epoch != epoch {
            return;
        }
        self.host_mut(host).progress_planned = false;
        let mut flowing = false;
        for id in self.host(host).flowing.clone() {
            let Some(transfer) = self
                .transfers
                .get_mut(id)
                .filter(|state| state.stage == Stage::Flowing)
            else {
                continue;
            };
            flowing = true;
            let (from, to) = (transfer.provider.line(), transfer.receiver.line());
            let moved = whole(self.flows.moved(from, to, id.job(), self.now));
            let good = moved.min(transfer.total - transfer.bad);
            let bytes = good.saturating_sub(transfer.told);
            transfer.told += bytes;
            let request = transfer.request;
            if bytes > 0 {
                self.input(host, Input::PiecesProgress { request, bytes });
            }
        }
        if flowing {
            self.plan_progress(host);
        }
    }

    pub(super) fn plan_progress(&mut self, host: HostId) {
        let target = self.host_mut(host);
        if !target.progress_planned {
            target.progress_planned = true;
            let epoch = target.epoch;
            self.later(PROGRESS_MS, Happening::Progress { host, epoch });
        }
    }
}
