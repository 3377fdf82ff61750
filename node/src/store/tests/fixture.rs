//! A store on temporary files, and blobs as the reference implementation sees them.

use std::{io::IoSlice, ops::Range, path::PathBuf, sync::Arc};

use bao_tree::{
    BaoTree, ChunkNum, ChunkRanges, TreeNode,
    io::{outboard::PreOrderMemOutboard, sync::Outboard},
    iter::BaoChunk,
};
use tempfile::TempDir;
use weft_protocol::id::BlobHash;
use weft_registry::{Ledger, Registry, mem::MemoryTables};

use crate::store::{BLOCK_SIZE, Blob, BlobStore, Config, Error, GROUP_LEN, Observer, Writer};

pub(super) const GROUP: usize = 16 * 1024;
pub(super) const MIB: usize = 1024 * 1024;

/// Files and facts that outlive a store.
pub(super) struct Disk {
    pub(super) directory: TempDir,
    tables: MemoryTables,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            tables: MemoryTables::default(),
        }
    }

    pub(super) fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(Ledger::open_tables(self.tables.clone()).unwrap())
    }

    /// Opens a store in the first run of the operating system.
    pub(super) fn open(&self) -> BlobStore {
        self.open_after(0)
    }

    /// Opens a store after that many losses of power.
    pub(super) fn open_after(&self, losses: u8) -> BlobStore {
        self.open_with(losses, 0)
    }

    pub(super) fn open_with(&self, losses: u8, reserve: u64) -> BlobStore {
        let config = Config {
            directory: self.directory.path().join("blobs"),
            reserve,
        };
        BlobStore::open_in(config, self.registry(), [losses; 16]).unwrap()
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// A blob and its tree, made by bao-tree.
pub(super) struct Reference {
    pub(super) data: Vec<u8>,
    pub(super) hash: BlobHash,
    pub(super) outboard: PreOrderMemOutboard,
}

impl Reference {
    pub(super) fn new(seed: u8, size: usize) -> Self {
        let mut data = vec![0; size];
        blake3::Hasher::new()
            .update(&[seed])
            .finalize_xof()
            .fill(&mut data);
        Self::of(data)
    }

    pub(super) fn of(data: Vec<u8>) -> Self {
        let outboard = PreOrderMemOutboard::create(&data, BLOCK_SIZE);
        Self {
            hash: BlobHash::new(*outboard.root.as_bytes()),
            data,
            outboard,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.data.len() as u64
    }

    pub(super) fn tree(&self) -> BaoTree {
        self.outboard.tree()
    }

    /// Bytes of a run of groups.
    pub(super) fn bytes(&self, groups: &Range<usize>) -> Range<usize> {
        (groups.start * GROUP).min(self.data.len())..(groups.end * GROUP).min(self.data.len())
    }

    pub(super) fn groups(&self) -> usize {
        self.data.len().div_ceil(GROUP)
    }

    /// The pairs that are sent with a run of groups.
    pub(super) fn parents(&self, groups: &Range<usize>) -> Vec<(TreeNode, [u8; 64])> {
        let chunks = |group: usize| ChunkNum(group as u64 * 16);
        let ranges = ChunkRanges::from(chunks(groups.start)..chunks(groups.end));
        let mut parents = Vec::new();
        for item in self.tree().ranges_pre_order_chunks_iter_ref(&ranges, 0) {
            if let BaoChunk::Parent { node, .. } = item {
                let (left, right) = self.outboard.load(node).unwrap().unwrap();
                let mut pair = [0; 64];
                pair[..32].copy_from_slice(left.as_bytes());
                pair[32..].copy_from_slice(right.as_bytes());
                parents.push((node, pair));
            }
        }
        parents
    }

    /// Writes a run of groups as a fetch would.
    pub(super) fn write(&self, writer: &Writer, groups: Range<usize>) -> Result<(), Error> {
        let bytes = self.bytes(&groups);
        let offset = groups.start as u64 * GROUP_LEN;
        let leaves: Vec<_> = self.data[bytes].chunks(GROUP).map(IoSlice::new).collect();
        writer.write_verified(offset, &leaves, &self.parents(&groups))
    }

    /// Fetches a run of groups. Says whether the blob is complete then.
    pub(super) fn fetch(&self, store: &BlobStore, groups: Range<usize>) -> bool {
        self.fetch_runs(store, std::slice::from_ref(&groups))
    }

    /// Fetches runs of groups through one writer.
    pub(super) fn fetch_runs(&self, store: &BlobStore, runs: &[Range<usize>]) -> bool {
        let writer = store.begin(&self.hash, self.size(), 0).unwrap();
        for run in runs {
            self.write(&writer, run.clone()).unwrap();
        }
        writer.finish().unwrap().is_complete
    }

    pub(super) fn import(&self, disk: &Disk, store: &BlobStore, name: &str) -> PathBuf {
        let path = disk.write(name, &self.data);
        let imported = store.import(&path, &Observer::default()).unwrap();
        assert_eq!(imported.blake3, self.hash);
        path
    }
}

/// Groups that are here.
pub(super) fn have(store: &BlobStore, hash: &BlobHash) -> Vec<u32> {
    store
        .blob(hash)
        .map(|blob| blob.have().iter().collect())
        .unwrap_or_default()
}

/// All that a blob says on the wire for these ranges.
pub(super) fn encoded(
    blob: &Arc<Blob>,
    ranges: &ChunkRanges,
    len: usize,
) -> Result<Vec<u8>, Error> {
    let mut encoder = blob.encode(ranges);
    let mut buffer = vec![0xee; len];
    let mut all = Vec::new();
    loop {
        match encoder.fill(&mut buffer)?.len {
            0 => return Ok(all),
            len => all.extend_from_slice(&buffer[..len]),
        }
    }
}
