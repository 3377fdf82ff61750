//! The store's asynchronous halves, as the threads that move bytes want them: large buffers in and out.

use std::{io, num::NonZeroU64, pin::Pin};

use bao_tree::io::{BaoContentItem, EncodeError, Leaf, Parent};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream::Fuse};
use iroh_blobs::{
    Hash,
    api::{
        self, Store,
        blobs::{EncodedItem, ImportBaoHandle},
    },
    protocol::ChunkRanges,
};
use tokio::runtime::Handle;
use weft_protocol::service::StorageError;

use super::{decode::Run, fault};

/// Items between a thread and the store: 1 MiB of leaves, so that neither waits for the other at each.
const STORE_QUEUE: usize = 64;
/// Bytes of a chunk group.
const GROUP_LEN: usize = 16 * 1024;

/// The answer to a request, as it is produced.
pub(super) struct Encoder {
    items: Fuse<Pin<Box<dyn Stream<Item = EncodedItem> + Send>>>,
    runtime: Handle,
}

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeFailure {
    /// Our own copy does not match its hash.
    #[error("the copy here is damaged")]
    Damaged,
    /// It is not here, or cannot be read.
    #[error("{0}")]
    Missing(String),
}

impl Encoder {
    pub(super) fn new(store: &Store, blob: Hash, ranges: ChunkRanges) -> Self {
        Self {
            items: store.export_bao(blob, ranges).stream().boxed().fuse(),
            runtime: Handle::current(),
        }
    }

    /// Appends about `len` bytes of the answer, or all that is left, to `out`; the payload among them, or `None`
    /// at the end. Blocks.
    pub(super) fn fill(
        &mut self,
        out: &mut Vec<u8>,
        len: usize,
    ) -> Result<Option<u64>, EncodeFailure> {
        let mut payload = 0;
        let wanted = out.len() + len;
        while out.len() < wanted {
            match self.runtime.block_on(self.items.next()) {
                Some(EncodedItem::Size(size)) => out.extend_from_slice(&size.to_le_bytes()),
                Some(EncodedItem::Parent(parent)) => {
                    out.extend_from_slice(parent.pair.0.as_bytes());
                    out.extend_from_slice(parent.pair.1.as_bytes());
                }
                Some(EncodedItem::Leaf(leaf)) => {
                    payload += leaf.data.len() as u64;
                    out.extend_from_slice(&leaf.data);
                }
                Some(EncodedItem::Error(
                    EncodeError::ParentHashMismatch(_) | EncodeError::LeafHashMismatch(_),
                )) => return Err(EncodeFailure::Damaged),
                Some(EncodedItem::Error(error)) => {
                    return Err(EncodeFailure::Missing(error.to_string()));
                }
                Some(EncodedItem::Done) | None => {
                    return Ok((payload > 0 || out.len() + len > wanted).then_some(payload));
                }
            }
        }
        Ok(Some(payload))
    }
}

/// Verified content on its way into the store.
pub(super) struct Writer {
    handle: ImportBaoHandle,
    runtime: Handle,
}

/// Why content did not get into the store.
pub(super) enum WriteFailure {
    /// The store has too many commands waiting for this blob. Passes in a moment.
    Busy,
    /// Anything else.
    Storage(StorageError),
}

impl Writer {
    pub(super) fn begin(store: &Store, blob: Hash, size: NonZeroU64) -> Result<Self, WriteFailure> {
        let runtime = Handle::current();
        let handle = runtime
            .block_on(store.import_bao(blob, size, STORE_QUEUE))
            .map_err(|error| failed(&error))?;
        Ok(Self { handle, runtime })
    }

    /// Hands over a run; `false` when the store takes no more, [`Self::finish`] says why.
    pub(super) fn write(&mut self, run: &Run<'_>) -> bool {
        let tx = &self.handle.tx;
        let send = |item: BaoContentItem| self.runtime.block_on(tx.send(item)).is_ok();
        for (node, pair) in run.parents {
            let (left, right) = pair.split_at(32);
            let hash = |bytes: &[u8]| {
                let mut hash = [0; 32];
                hash.copy_from_slice(bytes);
                blake3::Hash::from(hash)
            };
            let pair = (hash(left), hash(right));
            if !send(Parent { node: *node, pair }.into()) {
                return false;
            }
        }
        let mut offset = run.offset;
        for leaf in run.data.chunks(GROUP_LEN) {
            let data = Bytes::copy_from_slice(leaf);
            if !send(Leaf { offset, data }.into()) {
                return false;
            }
            offset += leaf.len() as u64;
        }
        true
    }

    /// Waits until everything is written.
    pub(super) fn finish(self) -> Result<(), WriteFailure> {
        let ImportBaoHandle { tx, rx } = self.handle;
        drop(tx);
        match self.runtime.block_on(rx) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(api::Error::Io(error))) if error.kind() == io::ErrorKind::ResourceBusy => {
                Err(WriteFailure::Busy)
            }
            Ok(Err(error)) => Err(WriteFailure::Storage(fault::storage(&error))),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn failed(error: &dyn std::error::Error) -> WriteFailure {
    WriteFailure::Storage(StorageError::Failed(error.to_string()))
}
