//! What need not come over the network: planned with the manifests at hand, proven by groups that are fetched first,
//! copied by the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use iroh_blobs::protocol::{ChunkRanges, ChunkRangesExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::{
    codec,
    delta::{self, GROUP_LEN, Groups, Held, Plan},
    id::{BlobHash, RevisionId},
    layout::Layout,
    manifest::{File, Manifest, Spans},
    piece_set::PieceSet,
    service::{CopyPlan, Input, RequestId},
};
use weft_registry::Registry;

use super::{chunks, context::Context};
use crate::store::{Blob, BlobStore, Copies};

/// Plans that wait for their turn. Those of downloads that were given up stay behind; a plan that is missing is no harm.
const PLANS_MAX: usize = 4_096;
/// Copies at once: more would only let the disk go back and forth.
const COPIES_MAX: usize = 2;
/// Bytes of manifests read for one plan: a second's work, and hundreds of models.
const MANIFESTS_LEN_MAX: usize = 64 * 1024 * 1024;
/// Bytes of older versions that are read for one plan: some ten seconds' work, and 16 datasets of a gigabyte.
const CUT_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Progress is reported at these steps.
const PROGRESS_BYTES: u64 = 16 * 1024 * 1024;

/// What can be copied into blobs that are on their way.
#[derive(Debug)]
pub(super) struct Plans {
    plans: Mutex<HashMap<BlobHash, Arc<Planned>>>,
    turns: Semaphore,
    /// One plan is made at a time: what is held may take 100 MB while it is looked through.
    planning: Semaphore,
}

#[derive(Debug)]
struct Planned {
    plan: Plan,
    spans: Option<Spans>,
    /// Groups that prove the copies and are not here.
    beside: Vec<Groups>,
    size: u64,
}

impl Default for Plans {
    fn default() -> Self {
        Self {
            plans: Mutex::default(),
            turns: Semaphore::new(COPIES_MAX),
            planning: Semaphore::new(1),
        }
    }
}

impl Plans {
    /// The chunks to fetch before anything is copied into a blob, as far as they lie in these pieces.
    pub(super) fn beside(&self, blob: &BlobHash, pieces: &PieceSet) -> ChunkRanges {
        let Some(planned) = self.lock().get(blob).cloned() else {
            return ChunkRanges::empty();
        };
        let layout = Layout::new(planned.size);
        let groups = planned.beside.iter().flat_map(Clone::clone);
        groups
            .filter(|group| piece(layout, *group).is_some_and(|piece| pieces.contains(piece)))
            .map(|group| delta::bytes(&(group..group + 1), planned.size))
            .fold(ChunkRanges::empty(), |all, bytes| {
                all | ChunkRanges::bytes(bytes)
            })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<BlobHash, Arc<Planned>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds out what of a revision can be copied, and reports it.
pub(super) async fn plan(
    context: Arc<Context>,
    request: RequestId,
    revision: RevisionId,
    relatives: Vec<RevisionId>,
) {
    let (store, registry) = (context.store.clone(), Arc::clone(&context.registry));
    let turn = context.plans.planning.acquire().await;
    let planned = tokio::task::spawn_blocking(move || {
        plan_all(&store, registry.as_ref(), revision, &relatives).unwrap_or_default()
    });
    let planned = planned.await.unwrap_or_default();
    drop(turn);
    let mut plans = Vec::new();
    for (blob, planned) in planned {
        plans.push(planned.told(blob));
        let mut known = context.plans.lock();
        if known.len() < PLANS_MAX || known.contains_key(&blob) {
            known.insert(blob, Arc::new(planned));
        }
    }
    context
        .report(Input::CopiesPlanned { request, plans })
        .await;
}

/// `None` if there is nothing to plan with.
fn plan_all(
    store: &BlobStore,
    registry: &dyn Registry,
    revision: RevisionId,
    relatives: &[RevisionId],
) -> Option<BTreeMap<BlobHash, Planned>> {
    let mut read = 0;
    let mut manifest = |id| {
        let preimage = registry.object(id).ok()??;
        read += preimage.len();
        let manifest = codec::decode_preimage::<Manifest>(id, &preimage).ok();
        manifest.filter(|_| read <= MANIFESTS_LEN_MAX)
    };
    let is_cut = |wanted: &Manifest| wanted.files.iter().any(|file| file.chunks.is_some());
    let wanted =
        manifest(revision).filter(|wanted| !wanted.tensors.is_empty() || is_cut(wanted))?;
    let mut looked: HashMap<BlobHash, bool> = HashMap::new();
    let mut is_here = |hash: &BlobHash| {
        let look = || store.blob(hash).is_some_and(|blob| blob.is_complete());
        *looked.entry(*hash).or_insert_with(look)
    };
    let mut held = Held::default();
    // Some of its own files may be here already.
    held.add(&wanted, &mut is_here);
    let mut followers = Followers::of(&wanted, &mut is_here);
    for relative in relatives.iter().map_while(|id| manifest(*id)) {
        held.add(&relative, &mut is_here);
        followers.look(&relative, &mut is_here);
    }
    followers.cut(store, &mut held);
    let mut plans = BTreeMap::new();
    for (hash, plan) in delta::plan(&wanted, &held) {
        let file = wanted.files.iter().find(|file| file.blake3 == hash)?;
        let blob = store.blob(&hash).filter(|blob| blob.size() == file.size);
        let planned = Planned::new(plan, file.size, file.spans.clone(), blob.as_deref());
        if let Some(planned) = planned {
            debug!(blob = %hash.fmt_short(), bytes = planned.plan.bytes(), "parts of a blob are here in others");
            plans.insert(hash, planned);
        }
    }
    Some(plans)
}

/// Files that follow other versions of themselves, by whose content they can be filled.
struct Followers<'a> {
    files: Vec<(&'a File, Option<BlobHash>)>,
}

impl<'a> Followers<'a> {
    /// The files of a revision that are cut into chunks and not here.
    fn of(wanted: &'a Manifest, is_here: &mut impl FnMut(&BlobHash) -> bool) -> Self {
        let mut files = Vec::new();
        for file in wanted.files.iter().filter(|file| file.chunks.is_some()) {
            if !is_here(&file.blake3) {
                files.push((file, None));
            }
        }
        Self { files }
    }

    /// Takes from a relative the versions of files of which none was found yet.
    fn look(&mut self, relative: &Manifest, is_here: &mut impl FnMut(&BlobHash) -> bool) {
        for (file, before) in self.files.iter_mut().filter(|(_, before)| before.is_none()) {
            let version = relative.file(&file.path).map(|version| version.blake3);
            *before = version.filter(&mut *is_here);
        }
    }

    /// Cuts the versions found as the files are cut. Their manifests may tell nothing of it, or lie.
    fn cut(self, store: &BlobStore, held: &mut Held) {
        let mut left = CUT_BYTES_MAX;
        for (file, before) in self.files {
            let blob = before.and_then(|hash| store.blob(&hash));
            let (Some(blob), Some(chunks)) = (blob, &file.chunks) else {
                continue;
            };
            let Some(rest) = left.checked_sub(blob.size()) else {
                continue;
            };
            left = rest;
            match chunks::cut(blob.path(), chunks.log2(), || true) {
                Ok(chunks) => held.add_chunks(blob.hash(), &chunks),
                Err(error) => debug!(path = %file.path, %error, "an older version cannot be read"),
            }
        }
    }
}

impl Planned {
    /// `None` if everything that could be copied is here.
    fn new(plan: Plan, size: u64, spans: Option<Spans>, blob: Option<&Blob>) -> Option<Self> {
        let has = |groups: &Groups| blob.is_some_and(|blob| blob.has(&delta::bytes(groups, size)));
        if plan.runs().iter().all(has) {
            return None;
        }
        let probes = plan.probes();
        let groups = probes.iter().flat_map(Clone::clone);
        let beside = groups.map(|group| group..group + 1).filter(|g| !has(g));
        Some(Self {
            beside: beside.collect(),
            plan,
            spans,
            size,
        })
    }

    /// What the machine must know of it.
    fn told(&self, blob: BlobHash) -> CopyPlan {
        let layout = Layout::new(self.size);
        let mut beside = PieceSet::empty(layout.pieces());
        for group in &self.beside {
            beside.insert(piece(layout, group.start).unwrap_or_default());
        }
        let bytes_beside = self.beside.len() as u64 * GROUP_LEN;
        CopyPlan {
            blob,
            beside,
            bytes_beside,
        }
    }
}

/// Copies what was planned for a blob and can be checked.
pub(super) async fn copy(
    context: Arc<Context>,
    request: RequestId,
    (blob, size): (BlobHash, u64),
    cancel: CancellationToken,
) {
    let planned = context.plans.lock().remove(&blob);
    let turn = cancel
        .run_until_cancelled(context.plans.turns.acquire())
        .await;
    if let (Some(planned), Some(Ok(_turn))) = (planned, turn) {
        let (context, cancel) = (Arc::clone(&context), cancel.clone());
        let copied = tokio::task::spawn_blocking(move || {
            let pending = AtomicU64::new(0);
            let report = |bytes| {
                // When nobody listens any more the node is ending.
                let report = Input::CopyProgress { request, bytes };
                context.inputs.blocking_send(report).ok();
            };
            let copies = Copies {
                plan: &planned.plan,
                spans: planned.spans.as_ref(),
                progress: &|bytes| {
                    if pending.fetch_add(bytes, Ordering::Relaxed) + bytes >= PROGRESS_BYTES {
                        report(pending.swap(0, Ordering::Relaxed));
                    }
                    !cancel.is_cancelled()
                },
            };
            let copied = context.store.copy(&blob, size, copies);
            report(pending.into_inner());
            copied
        });
        if let Ok(Err(error)) = copied.await {
            debug!(blob = %blob.fmt_short(), "nothing more is copied: {error}");
        }
    }
    let layout = Layout::new(size);
    let here = context.blob(blob).await.filter(|here| here.size() == size);
    let have = here.map_or_else(
        || PieceSet::empty(layout.pieces()),
        |here| here.pieces(layout),
    );
    context.report(Input::CopyEnded { request, have }).await;
}

/// The piece in which a group lies.
fn piece(layout: Layout, group: u64) -> Option<u32> {
    u32::try_from(group.saturating_mul(GROUP_LEN) / layout.piece_len).ok()
}
