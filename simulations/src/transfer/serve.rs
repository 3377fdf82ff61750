//! The sending end: requests wait until the provider's machine lets them start.

use weft_protocol::{
    layout::Layout,
    service::{Input, TransferError, UploadId},
};

use super::{GROUP, Stage, Transfer, TransferId};
use crate::{
    HostId, World,
    flow::{Order, Reached, whole},
    world::Happening,
};

/// Bytes after which a machine hears how far an upload is.
const TELL_BYTES: u64 = 1024 * 1024;
/// It hears of slower ones as often as this, in milliseconds.
const TELL_MS: u64 = 1_000;

impl World {
    /// A request reached its provider.
    pub(crate) fn asked(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get(id) else {
            return;
        };
        let provider = self.host(transfer.provider);
        if provider.epoch != transfer.provider_epoch {
            return self.finish(id, Err(TransferError::Connection));
        }
        let serves = provider.behaviour.serves();
        let have = provider.disk.have(&transfer.blob, transfer.size);
        let has = provider.offered.contains(&transfer.blob) && have.contains_range(transfer.pieces);
        if serves && !has {
            return self.refused(id, TransferError::Unavailable);
        }
        self.host_mut(transfer.provider).serving.push(id);
        if !serves {
            return;
        }
        if let Some(state) = self.transfers.get_mut(id) {
            state.stage = Stage::Waiting;
        }
        let asked = Input::UploadAsked {
            upload: id.upload(),
            peer: self.host(transfer.receiver).node,
            blob: transfer.blob,
            bytes: Layout::new(transfer.size).bytes(transfer.pieces),
        };
        self.input(transfer.provider, asked);
    }

    /// A machine lets a request start.
    pub(crate) fn start_upload(&mut self, host: HostId, upload: UploadId) {
        let id = TransferId::of_upload(upload);
        let Some(mut transfer) = self.transfers.get(id).filter(|t| t.provider == host) else {
            return;
        };
        assert!(transfer.stage == Stage::Waiting, "an upload starts once");
        let (provider, receiver) = (self.host(transfer.provider), self.host(transfer.receiver));
        let behaviour = provider.behaviour;
        let layout = Layout::new(transfer.size);
        transfer.before = receiver.disk.partial(&transfer.blob, transfer.pieces.start);
        transfer.total = layout.len(transfer.pieces) - transfer.before;
        let cap = provider.link.carries(&receiver.link).min(behaviour.cap());
        let cap = cap.min(provider.peer_rates.0).min(receiver.peer_rates.1);
        if let Some(good) = behaviour.good_bytes(transfer.total, &mut self.faults_rng) {
            transfer.bad = GROUP.min(transfer.total - good);
            transfer.total = good + transfer.bad;
        }
        transfer.stage = Stage::Flowing;
        if let Some(state) = self.transfers.get_mut(id) {
            *state = transfer;
        }
        let latency = self.latency(transfer.provider, transfer.receiver);
        self.later(latency, Happening::Began(id));
        let order = Order {
            job: id.job(),
            from: transfer.provider.line(),
            to: transfer.receiver.line(),
            first: (layout.piece_len - transfer.before) as f64,
            step: layout.piece_len as f64,
            // An empty file is a request and an answer all the same.
            total: transfer.total.max(1) as f64,
            cap,
        };
        self.flows.start(&order, self.now);
        self.host_mut(transfer.receiver).flowing.push(id);
        self.plan_progress(transfer.receiver);
        self.plan_telling(transfer.provider);
    }

    /// A machine refuses a request, or breaks off what it serves.
    pub(crate) fn refuse_upload(&mut self, host: HostId, upload: UploadId) {
        let id = TransferId::of_upload(upload);
        if self.transfers.get(id).is_some_and(|t| t.provider == host) {
            self.refused(id, TransferError::Refused);
        }
    }

    /// The asker hears of a refusal.
    fn refused(&mut self, id: TransferId, error: TransferError) {
        if let Some(transfer) = self.remove_transfer(id) {
            let after = self.latency(transfer.provider, transfer.receiver);
            let (request, result) = (transfer.request, Err(error));
            let ended = Input::PiecesFetched { request, result };
            self.input_later(after, transfer.receiver, ended);
        }
    }

    /// A piece, or all, has left the provider.
    pub(crate) fn flowed(&mut self, reached: Reached) {
        let (id, last) = (TransferId::of(reached.job), reached.last);
        let Some(transfer) = self.transfers.get(id) else {
            return;
        };
        let latency = self.latency(transfer.provider, transfer.receiver);
        self.later(latency, Happening::Arrived { transfer: id, last });
        if last {
            if let Some(state) = self.transfers.get_mut(id) {
                state.stage = Stage::Served;
            }
            let flowing = &mut self.host_mut(transfer.receiver).flowing;
            flowing.retain(|other| *other != id);
            self.moved(&transfer, transfer.total);
            self.upload_ended(id, &transfer, transfer.total);
        } else {
            self.tell_upload(id, TELL_BYTES);
        }
    }

    /// Tells a machine how far its uploads are.
    pub(crate) fn tell_uploads(&mut self, host: HostId, epoch: u64) {
        if self.host(host).epoch != epoch {
            return;
        }
        self.host_mut(host).telling_planned = false;
        let mut flowing = false;
        for id in self.host(host).serving.clone() {
            flowing |= self.tell_upload(id, 1);
        }
        if flowing {
            self.plan_telling(host);
        }
    }

    /// Tells a machine how far an upload is if it moved so many bytes since; whether it still flows.
    fn tell_upload(&mut self, id: TransferId, least: u64) -> bool {
        let flowing = |transfer: &&mut Transfer| transfer.stage == Stage::Flowing;
        let Some(transfer) = self.transfers.get_mut(id).filter(flowing) else {
            return false;
        };
        let (from, to) = (transfer.provider.line(), transfer.receiver.line());
        let moved = whole(self.flows.moved(from, to, id.job(), self.now));
        let bytes = moved.saturating_sub(transfer.told_up);
        if bytes < least {
            return true;
        }
        transfer.told_up += bytes;
        let (provider, upload) = (transfer.provider, id.upload());
        self.input(provider, Input::UploadProgress { upload, bytes });
        true
    }

    fn plan_telling(&mut self, host: HostId) {
        let target = self.host_mut(host);
        if !target.telling_planned {
            target.telling_planned = true;
            let epoch = target.epoch;
            self.later(TELL_MS, Happening::TellUploads { host, epoch });
        }
    }

    /// An upload is over, however it ended. The machine hears of it next.
    pub(super) fn upload_ended(&mut self, id: TransferId, transfer: &Transfer, moved: u64) {
        let ended = Input::UploadEnded {
            upload: id.upload(),
            bytes: moved.saturating_sub(transfer.told_up),
        };
        self.input_to(0, transfer.provider, transfer.provider_epoch, ended);
    }
}

impl TransferId {
    fn upload(self) -> UploadId {
        UploadId(self.job().0)
    }

    fn of_upload(upload: UploadId) -> Self {
        Self::of(crate::flow::JobId(upload.0))
    }
}
