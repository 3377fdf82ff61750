//! All hashes of a file in one read.
//!
//! SHA-256 goes one byte after the other and is the slowest, so it has a thread of its own where there is a core for it;
//! the reading thread hashes the same buffers for the tree. Both see the very same bytes.

use std::{
    fs::File,
    io,
    sync::{Arc, mpsc},
    thread,
};

use bao_tree::{
    BaoTree,
    iter::{BaoChunk, PostOrderChunkIter},
};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{
    error::Error,
    import::Observer,
    outboard::Open,
    tree::{self, Hash, Pair},
};

/// Files up to here get a git blob id too: larger ones are LFS files to every client that asks.
pub(super) const GIT_SHA1_SIZE_MAX: u64 = 10 * 1024 * 1024;
/// What is read at once. Few buffers, used again and again: they stay in the processor's cache.
pub(super) const BLOCK_LEN: usize = 1024 * 1024;
/// Buffers between the two threads.
const BLOCKS: usize = 3;
/// Pairs gathered before they are written: those of 64 MiB.
const PAIRS_MAX: usize = 4096;

/// What a file hashes to.
#[derive(Debug)]
pub(super) struct Digests {
    pub(super) blake3: Hash,
    pub(super) sha256: [u8; 32],
    pub(super) git_sha1: Option<[u8; 20]>,
}

/// Why a file was not hashed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file cannot be read, or nobody waits any more.
    Read(io::Error),
    /// The tree cannot be written.
    Write(Error),
    /// The file is not as long as it was said to be.
    Length,
}

/// Builds the tree of a blob from its bytes, given in order.
struct TreeHasher<'a> {
    shape: BaoTree,
    items: std::iter::Peekable<PostOrderChunkIter>,
    above: Vec<Hash>,
    pairs: Vec<(u64, Pair)>,
    outboard: &'a Open<'a>,
}

impl<'a> TreeHasher<'a> {
    fn new(size: u64, outboard: &'a Open<'a>) -> Self {
        let shape = tree::tree(size);
        Self {
            shape,
            items: shape.post_order_chunks_iter().peekable(),
            above: Vec::new(),
            pairs: Vec::new(),
            outboard,
        }
    }

    /// Takes whole groups, or the end of the blob.
    fn update(&mut self, mut data: &[u8]) -> Result<(), Failure> {
        while let Some(BaoChunk::Leaf {
            start_chunk,
            size,
            is_root,
            ..
        }) = self.items.peek()
        {
            let Some((leaf, rest)) = data
                .split_at_checked(*size)
                .filter(|_| !data.is_empty() || *size == 0)
            else {
                break;
            };
            let hash = tree::leaf_hash(start_chunk.to_bytes(), leaf, *is_root);
            data = rest;
            self.above.push(hash);
            self.items.next();
            self.merge();
        }
        if self.pairs.len() >= PAIRS_MAX {
            self.flush()?;
        }
        if data.is_empty() {
            Ok(())
        } else {
            Err(Failure::Length)
        }
    }

    fn merge(&mut self) {
        while let Some(BaoChunk::Parent { node, is_root, .. }) = self.items.peek() {
            let (Some(right), Some(left)) = (self.above.pop(), self.above.pop()) else {
                return;
            };
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&left);
            pair[32..].copy_from_slice(&right);
            if let Some(index) = self.shape.pre_order_offset(*node) {
                self.pairs.push((index, pair));
            }
            self.above.push(tree::parent_hash(&left, &right, *is_root));
            self.items.next();
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.outboard
            .write(&mut self.pairs)
            .map_err(Failure::Write)?;
        self.pairs.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Hash, Failure> {
        self.flush()?;
        match (self.items.next(), self.above.pop()) {
            (None, Some(root)) => Ok(root),
            _ => Err(Failure::Length),
        }
    }
}

/// Hashes a file, and writes its tree.
pub(super) fn digest(
    file: &File,
    size: u64,
    outboard: &Open<'_>,
    observer: &Observer<'_>,
    beside: bool,
) -> Result<Digests, Failure> {
    let git_sha1 = (size <= GIT_SHA1_SIZE_MAX)
        .then(|| Sha1::new().chain_update(format!("blob {size}\0").as_bytes()));
    let mut hashers = Hashers {
        tree: TreeHasher::new(size, outboard),
        git_sha1,
        done: 0,
        size,
        observer,
    };
    let sha256 = if beside {
        beside_each_other(file, &mut hashers)?
    } else {
        let mut sha256 = Sha256::new();
        let len = usize::try_from(size)
            .unwrap_or(BLOCK_LEN)
            .clamp(1, BLOCK_LEN);
        let mut buffer = vec![0; len];
        while let Some(len) = hashers.read(file, &mut buffer)? {
            sha256.update(&buffer[..len]);
            hashers.update(&buffer[..len])?;
        }
        sha256.finalize().into()
    };
    hashers.finish(sha256)
}

/// Hashes a file for its tree alone.
pub(super) fn rebuild(file: &File, size: u64, outboard: &Open<'_>) -> Result<Hash, Failure> {
    let observer = Observer::default();
    let mut hashers = Hashers {
        tree: TreeHasher::new(size, outboard),
        git_sha1: None,
        done: 0,
        size,
        observer: &observer,
    };
    let mut buffer = vec![0; BLOCK_LEN];
    while let Some(len) = hashers.read(file, &mut buffer)? {
        hashers.update(&buffer[..len])?;
    }
    Ok(hashers.finish([0; 32])?.blake3)
}

/// Everything but SHA-256.
struct Hashers<'a> {
    tree: TreeHasher<'a>,
    git_sha1: Option<Sha1>,
    done: u64,
    size: u64,
    observer: &'a Observer<'a>,
}

impl Hashers<'_> {
    /// Fills the buffer as far as the file goes; `None` at its end.
    fn read(&self, file: &File, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        use std::os::unix::fs::FileExt;
        let mut len = 0;
        while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, self.done + len as u64) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Read(error)),
            }
        }
        if self.done + len as u64 > self.size {
            return Err(Failure::Length);
        }
        Ok((len > 0).then_some(len))
    }

    fn update(&mut self, block: &[u8]) -> Result<(), Failure> {
        self.tree.update(block)?;
        if let Some(hasher) = &mut self.git_sha1 {
            hasher.update(block);
        }
        if let Some(observe) = self.observer.block {
            observe(self.done, block);
        }
        self.done += block.len() as u64;
        if self
            .observer
            .progress
            .is_none_or(|progress| progress(self.done))
        {
            Ok(())
        } else {
            Err(Failure::Read(io::ErrorKind::Interrupted.into()))
        }
    }

    fn finish(mut self, sha256: [u8; 32]) -> Result<Digests, Failure> {
        if self.size == 0 {
            self.tree.update(&[])?;
        }
        if self.done != self.size {
            return Err(Failure::Length);
        }
        Ok(Digests {
            blake3: self.tree.finish()?,
            sha256,
            git_sha1: self.git_sha1.map(|hasher| hasher.finalize().into()),
        })
    }
}

fn beside_each_other(file: &File, hashers: &mut Hashers<'_>) -> Result<[u8; 32], Failure> {
    type Block = (Arc<Vec<u8>>, usize);
    let (to_hash, blocks) = mpsc::sync_channel::<Block>(BLOCKS);
    let (back, free) = mpsc::sync_channel(BLOCKS);
    for _ in 0..BLOCKS {
        back.send(Arc::new(vec![0; BLOCK_LEN])).ok();
    }
    thread::scope(|scope| {
        let sha256 = scope.spawn(move || {
            let mut sha256 = Sha256::new();
            for (block, len) in blocks {
                sha256.update(&block[..len]);
                back.send(block).ok();
            }
            <[u8; 32]>::from(sha256.finalize())
        });
        let gone = || Failure::Read(io::Error::other("a hashing thread has died"));
        let read = || -> Result<(), Failure> {
            loop {
                // Both threads are done with it: this one asks for the next only then.
                let mut block = free.recv().map_err(|_| gone())?;
                let buffer = Arc::get_mut(&mut block).ok_or_else(gone)?;
                let Some(len) = hashers.read(file, buffer)? else {
                    return Ok(());
                };
                to_hash
                    .send((Arc::clone(&block), len))
                    .map_err(|_| gone())?;
                hashers.update(&block[..len])?;
            }
        };
        let result = { read }();
        drop(to_hash);
        let sha256 = sha256.join().map_err(|_| gone())?;
        result.map(|()| sha256)
    })
}
