//! What of a file need not come over the network because its bytes are here under another name.
//!
//! A fine-tune, a re-shard or a renamed file shares most tensors with what a node already holds, at other offsets.
//! The tensor index says which, and for files without tensors the chunks that their content cuts them into; [`Plan`]
//! turns that into bytes to copy. Both are a publisher's claim and a local file may be damaged, so nothing that is copied counts before it matches the target's hash tree: copies are cut into
//! *runs* of whole chunk groups, and a run into [`Subtree`]s whose hashes are the siblings that any peer sends along
//! with the groups beside the run ([`Plan::probes`]). Those groups are wanted anyway, so checking costs no transfer.
//!
//! Pure: it reads no file and asks nobody. docs/decisions/0010 tells why it is done like this and how nodes carry it out.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range};

use crate::{
    id::{BlobHash, ObjectId},
    limits,
    manifest::{ChunkHash, Chunks, File, Manifest, Tensor},
};

/// Bytes of a chunk group, the grain of verification.
pub const GROUP_LEN: u64 = 16 * 1024;
/// A run of fewer groups is not worth the hashes on the way to it.
const RUN_GROUPS_MIN: u64 = 4;
/// Bytes between two tensors that are taken to be zeros: GGUF aligns tensors to 32, rarely to 64 or 128.
const PADDING_MAX: u64 = 127;

/// Where bytes can be had without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In a blob that is here.
    Held {
        /// Which.
        blob: BlobHash,
        /// First byte there.
        offset: u64,
    },
    /// Padding.
    Zeros,
}

/// Bytes of a target that are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Which bytes of the target.
    pub target: Range<u64>,
    /// Where they are.
    pub source: Source,
}

/// Consecutive chunk groups.
pub type Groups = Range<u64>;

/// A node of the target's hash tree below which everything is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtree {
    /// The groups below it.
    pub groups: Groups,
    /// Whether it is the whole tree, whose hash is the blob's name.
    pub is_root: bool,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Tensor(ObjectId),
    Chunk(ChunkHash),
}

/// A part of a target and what is looked for to fill it.
struct Part {
    target: Range<u64>,
    content: Content,
}

/// Tensors and chunks in blobs that are here, by content and length.
#[derive(Debug, Clone, Default)]
pub struct Held {
    places: BTreeMap<(Content, u64), (BlobHash, u64)>,
}

impl Held {
    /// Adds the tensors of those files of a revision that are here. Beyond [`limits::HELD_TENSORS_MAX`] nothing is added,
    /// so the likeliest relatives come first.
    pub fn add(&mut self, manifest: &Manifest, mut is_here: impl FnMut(&BlobHash) -> bool) {
        for tensor in &manifest.tensors {
            if self.places.len() >= limits::HELD_TENSORS_MAX {
                return;
            }
            if let Some(blob) = blob_of(manifest, tensor).filter(&mut is_here) {
                let key = (Content::Tensor(tensor.blake3), tensor.len);
                self.places.entry(key).or_insert((blob, tensor.offset));
            }
        }
    }

    /// Adds the chunks of a blob that is here, as they were found in its bytes. The same bound holds.
    pub fn add_chunks(&mut self, blob: BlobHash, chunks: &Chunks) {
        for chunk in chunks.iter() {
            if self.places.len() >= limits::HELD_TENSORS_MAX {
                return;
            }
            let key = (Content::Chunk(chunk.hash), chunk.len);
            self.places.entry(key).or_insert((blob, chunk.offset));
        }
    }

    /// Whether nothing is known to be here.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// What of one blob is here.
///
/// # Invariants
/// Copies are sorted, apart and inside the blob; runs are sorted, do not touch and are covered by copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    size: u64,
    copies: Vec<Copy>,
    runs: Vec<Groups>,
}

/// Plans every blob of a revision of which something is held. Blobs that are here whole are the caller's to leave out.
pub fn plan(manifest: &Manifest, held: &Held) -> BTreeMap<BlobHash, Plan> {
    let mut plans = BTreeMap::new();
    if held.is_empty() {
        return plans;
    }
    for tensors in manifest.tensors.chunk_by(|a, b| a.file == b.file) {
        let Some(file) = tensors.first().and_then(|tensor| file_of(manifest, tensor)) else {
            continue;
        };
        let parts = tensors.iter().map(|tensor| Part {
            target: tensor.offset..tensor.offset.saturating_add(tensor.len),
            content: Content::Tensor(tensor.blake3),
        });
        add_plan(&mut plans, file, parts, held);
    }
    for file in &manifest.files {
        let parts = file.chunks.iter().flat_map(Chunks::iter).map(|chunk| Part {
            target: chunk.offset..chunk.offset.saturating_add(chunk.len),
            content: Content::Chunk(chunk.hash),
        });
        add_plan(&mut plans, file, parts, held);
    }
    plans
}

/// Plans the blob of a file, unless it has a plan: it may stand under two paths, and tensors go before chunks.
fn add_plan(
    plans: &mut BTreeMap<BlobHash, Plan>,
    file: &File,
    parts: impl Iterator<Item = Part>,
    held: &Held,
) {
    if !plans.contains_key(&file.blake3)
        && let Some(plan) = Plan::new(file.blake3, file.size, parts, held)
    {
        plans.insert(file.blake3, plan);
    }
}

impl Plan {
    /// Plans one blob from its parts, sorted by offset; none if nothing worth a copy is held.
    fn new(
        blob: BlobHash,
        size: u64,
        parts: impl Iterator<Item = Part>,
        held: &Held,
    ) -> Option<Self> {
        let mut copies: Vec<Copy> = Vec::new();
        let mut end = 0;
        for Part { target, content } in parts.filter(|part| !part.target.is_empty()) {
            let len = target.end - target.start;
            // Nobody vouches for an index: what overlaps or reaches out is left to the network.
            if target.start < end || target.end > size {
                continue;
            }
            let padding = end..target.start;
            end = target.end;
            let Some((source, offset)) = held.places.get(&(content, len)) else {
                continue;
            };
            if *source == blob {
                continue;
            }
            let is_padded = copies
                .last()
                .is_some_and(|last| last.target.end == padding.start);
            if is_padded && !padding.is_empty() && padding.end - padding.start <= PADDING_MAX {
                let source = Source::Zeros;
                copies.push(Copy {
                    target: padding,
                    source,
                });
            }
            let source = Source::Held {
                blob: *source,
                offset: *offset,
            };
            copies.push(Copy { target, source });
        }
        let runs = runs(&copies, size);
        (!runs.is_empty()).then_some(Self { size, copies, runs })
    }

    /// The groups that can be copied.
    pub fn runs(&self) -> &[Groups] {
        &self.runs
    }

    /// The bytes that can be copied.
    pub fn bytes(&self) -> u64 {
        let bytes = self.runs.iter().map(|run| bytes(run, self.size));
        bytes.map(|bytes| bytes.end - bytes.start).sum()
    }

    /// The groups to ask a peer for first: those beside a run. With them come the hashes of all its subtrees, because a
    /// peer sends both children of every node on the way from the root to a group.
    pub fn probes(&self) -> Vec<Groups> {
        let mut probes: Vec<Groups> = Vec::new();
        let count = self.size.div_ceil(GROUP_LEN);
        for run in &self.runs {
            let before = run.start.checked_sub(1);
            let after = Some(run.end).filter(|end| *end < count);
            for group in [before, after].into_iter().flatten() {
                match probes.last_mut() {
                    Some(last) if last.contains(&group) => {}
                    Some(last) if last.end == group => last.end = group.saturating_add(1),
                    _ => probes.push(group..group.saturating_add(1)),
                }
            }
        }
        probes
    }

    /// The largest subtrees that a run is made of, from left to right.
    pub fn subtrees(&self, run: &Groups) -> Vec<Subtree> {
        let all = 0..self.size.div_ceil(GROUP_LEN);
        let mut found = Vec::new();
        cover(&all, run, &mut found);
        let subtree = |groups: Groups| Subtree {
            is_root: groups == all,
            groups,
        };
        found.into_iter().map(subtree).collect()
    }

    /// Where the bytes of groups inside a run are, in order.
    pub fn copies(&self, groups: &Groups) -> impl Iterator<Item = Copy> + '_ {
        let wanted = bytes(groups, self.size);
        let first = self
            .copies
            .partition_point(|copy| copy.target.end <= wanted.start);
        let copies = self.copies.get(first..).unwrap_or_default().iter();
        copies.map_while(move |copy| {
            let target = copy.target.start.max(wanted.start)..copy.target.end.min(wanted.end);
            let source = match copy.source {
                Source::Zeros => Source::Zeros,
                Source::Held { blob, offset } => {
                    let skipped = target.start.checked_sub(copy.target.start)?;
                    let offset = offset.saturating_add(skipped);
                    Source::Held { blob, offset }
                }
            };
            (target.start < target.end).then_some(Copy { target, source })
        })
    }
}

/// The bytes of groups in a blob of `size` bytes.
pub fn bytes(groups: &Groups, size: u64) -> Range<u64> {
    let start = groups.start.saturating_mul(GROUP_LEN).min(size);
    let end = groups.end.saturating_mul(GROUP_LEN).min(size);
    start..end
}

/// The groups that copies cover whole, in runs worth having.
fn runs(copies: &[Copy], size: u64) -> Vec<Groups> {
    let mut runs = Vec::new();
    let touching = copies.chunk_by(|a, b| a.target.end == b.target.start);
    for copies in touching {
        let (Some(first), Some(last)) = (copies.first(), copies.last()) else {
            continue;
        };
        let start = first.target.start.div_ceil(GROUP_LEN);
        let end = match last.target.end == size {
            true => size.div_ceil(GROUP_LEN),
            false => last.target.end / GROUP_LEN,
        };
        if end.saturating_sub(start) >= RUN_GROUPS_MIN {
            runs.push(start..end);
        }
    }
    runs
}

/// Adds the largest nodes of the tree over `node` that lie inside `run`. BLAKE3 gives the left child of a node the
/// largest power of two of chunks that leaves the right one some; of groups that is the same.
fn cover(node: &Groups, run: &Groups, found: &mut Vec<Groups>) {
    if node.start >= run.end || run.start >= node.end {
        return;
    }
    if run.start <= node.start && node.end <= run.end {
        found.push(node.clone());
        return;
    }
    // Here the node has two groups at least: one of them is inside the run and another is not.
    let count = node.end - node.start;
    let left = count.div_ceil(2).next_power_of_two();
    let middle = node.start.saturating_add(left);
    cover(&(node.start..middle), run, found);
    cover(&(middle..node.end), run, found);
}

fn blob_of(manifest: &Manifest, tensor: &Tensor) -> Option<BlobHash> {
    file_of(manifest, tensor).map(|file| file.blake3)
}

fn file_of<'a>(manifest: &'a Manifest, tensor: &Tensor) -> Option<&'a File> {
    let file = usize::try_from(tensor.file).ok()?;
    manifest.files.get(file)
}
