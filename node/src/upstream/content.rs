//! One file of the hub, as far as it is here.
//!
//! A file that is whole and has the hash that the hub gave lies under that hash and never changes. One that is on its way
//! lies beside it with a note of which bytes are here; a killed node goes on from there. What is handed to a reader before
//! the whole is checked is only ever a part: the end of a file is not here for anybody until all of it is right.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, Permissions},
    io,
    ops::Range,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use weft_protocol::{
    id::NodeId,
    wire::near::{ContentHash, Stage},
};

use super::{Kind, Trouble, Upstream, client::Token, lock, ranges::Ranges};

/// Bytes at the end of a file that nobody gets before the whole is checked.
pub(crate) const HELD_BACK: u64 = 64 * 1024;
/// Bytes that a killed node may have to fetch again.
const NOTE_EVERY: u64 = 8 * 1024 * 1024;
/// Read at once for a check.
const CHECK_LEN: usize = 1024 * 1024;
/// How long a node near here that failed with a file is not asked for it.
const AVOID: std::time::Duration = std::time::Duration::from_secs(30);
/// How long clients are kept from going on after what may have been wrong: they come back within a day or not at all.
const TAINT_KEEP: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);
/// Files kept in mind although nobody reads them.
const IDLE_MAX: usize = 1_024;

/// Where the hub has a file, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) commit: String,
    pub(crate) path: String,
    pub(crate) token: Option<Token>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Content {
    pub(super) hash: ContentHash,
    pub(super) size: u64,
    path: PathBuf,
    pub(super) state: Mutex<State>,
    changes: watch::Sender<u64>,
}

/// What is known of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) have: Ranges,
    noted: u64,
    pub(super) is_complete: bool,
    pub(super) stage: Stage,
    /// Whether a task fetches it.
    pub(super) running: bool,
    /// Where readers are.
    readers: BTreeMap<u64, u64>,
    /// When the last one left.
    left: Option<Instant>,
    /// Where it was asked for last.
    pub(super) place: Option<Place>,
    /// What went wrong last.
    pub(super) trouble: Option<String>,
    /// The hub does not give it to whoever asked last.
    pub(super) refusal: Option<Trouble>,
    /// Bytes that somebody near here sent are among what is here.
    pub(super) from_near: bool,
    /// Only the hub is to be asked.
    pub(super) direct: bool,
    /// Nodes near here that failed with it, and until when they are left alone.
    avoided: BTreeMap<NodeId, Instant>,
    /// How often all of it was here and wrong.
    wrongs: u32,
    /// When that was last.
    tainted: Option<SystemTime>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    Right,
    Wrong,
}

/// Somebody who reads a file; it is fetched as long as there is one.
#[derive(Debug)]
pub(crate) struct Reader {
    upstream: Arc<Upstream>,
    content: Arc<Content>,
    number: u64,
    changes: watch::Receiver<u64>,
    /// How often the file had been wrong when this reader began.
    wrongs: u32,
}

impl Upstream {
    /// The file with this content.
    pub(crate) fn content(&self, hash: ContentHash, size: u64) -> Arc<Content> {
        let mut contents = lock(&self.contents);
        if let Some(content) = contents.get(&hash).filter(|content| content.size == size) {
            return Arc::clone(content);
        }
        if contents.len() >= IDLE_MAX {
            contents.retain(|_, content| Arc::strong_count(content) > 1);
        }
        let content = Arc::new(Content::open(&self.root.join("files"), hash, size));
        contents.insert(hash, Arc::clone(&content));
        content
    }

    /// Reads a file from a place on; it is fetched if it is not here.
    pub(crate) fn read(self: &Arc<Self>, content: Arc<Content>, place: Place, at: u64) -> Reader {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let changes = content.changes.subscribe();
        let (starts, wrongs) = {
            let mut state = lock(&content.state);
            state.readers.insert(number, at);
            state.place = Some(place);
            let starts = !state.is_complete && !state.running;
            if starts {
                state.running = true;
                state.trouble = None;
                state.refusal = None;
            }
            (starts, state.wrongs)
        };
        if starts {
            self.pull(Arc::clone(&content));
        }
        Reader {
            upstream: Arc::clone(self),
            content,
            number,
            changes,
            wrongs,
        }
    }
}

impl State {
    /// Whether nobody reads.
    pub(super) fn is_deserted(&self) -> bool {
        self.readers.is_empty()
    }
}

impl Content {
    fn open(folder: &Path, hash: ContentHash, size: u64) -> Self {
        let path = folder.join(name(hash));
        let is_complete = std::fs::metadata(&path).is_ok_and(|found| found.len() == size);
        let mut have = Ranges::default();
        if is_complete {
            have.insert(0..size);
        } else if let Some(noted) = read_note(&note_path(&path)) {
            let there = std::fs::metadata(part_path(&path)).map_or(0, |found| found.len());
            // What a note says without its file means nothing.
            if noted.fits(there.min(size)) {
                have = noted;
            }
        }
        let tainted = std::fs::metadata(taint_path(&path)).and_then(|found| found.modified());
        Self {
            hash,
            size,
            state: Mutex::new(State {
                noted: have.len(),
                // Of bytes that are left from before, nobody knows who sent them.
                from_near: !is_complete && have.len() > 0,
                have,
                is_complete,
                stage: if is_complete {
                    Stage::Has
                } else {
                    Stage::Nothing
                },
                running: false,
                readers: BTreeMap::new(),
                left: None,
                place: None,
                trouble: None,
                refusal: None,
                direct: false,
                avoided: BTreeMap::new(),
                wrongs: 0,
                tainted: tainted.ok(),
            }),
            path,
            changes: watch::channel(0).0,
        }
    }

    /// Where it lies when it is whole.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_complete(&self) -> bool {
        lock(&self.state).is_complete
    }

    /// How many bytes from `offset` on can be read now.
    pub(crate) fn ready_from(&self, offset: u64) -> u64 {
        let state = lock(&self.state);
        let ready = state.have.ready_from(offset);
        if state.is_complete {
            return ready;
        }
        let shown = self.size.saturating_sub(HELD_BACK);
        ready.min(shown.saturating_sub(offset))
    }

    /// Bytes that are here.
    pub(crate) fn bytes_here(&self) -> u64 {
        lock(&self.state).have.len()
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn tell(&self) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        lock(&self.state).stage = stage;
    }

    /// Leaves a node near here alone for a while.
    pub(super) fn avoid(&self, peer: NodeId) {
        let until = Instant::now() + AVOID;
        lock(&self.state).avoided.insert(peer, until);
    }

    pub(super) fn avoids(&self, peer: &NodeId) -> bool {
        let state = lock(&self.state);
        state
            .avoided
            .get(peer)
            .is_some_and(|until| Instant::now() < *until)
    }

    /// Reads bytes that are here. Blocks.
    pub(crate) fn read_at(&self, range: &Range<u64>) -> io::Result<Bytes> {
        let open = File::open(&self.path).or_else(|_| File::open(part_path(&self.path)));
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut buffer = vec![0; len];
        open?.read_exact_at(&mut buffer, range.start)?;
        Ok(buffer.into())
    }

    /// Writes bytes that came. Blocks.
    pub(super) fn write_at(&self, at: u64, bytes: &[u8], from_near: bool) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true);
        let file = file.open(part_path(&self.path))?;
        file.write_all_at(bytes, at)?;
        let note = {
            let mut state = lock(&self.state);
            state.from_near |= from_near;
            state.have.insert(at..at + bytes.len() as u64);
            state.trouble = None;
            let have = state.have.len();
            let due = have >= state.noted + NOTE_EVERY;
            if due {
                state.noted = have;
            }
            due.then(|| state.have.clone())
        };
        self.tell();
        note.map_or(Ok(()), |have| write_note(&note_path(&self.path), &have))
    }

    /// Notes what is here, for the next run. Blocks.
    pub(super) fn note(&self) -> io::Result<()> {
        let have = {
            let mut state = lock(&self.state);
            state.noted = state.have.len();
            state.have.clone()
        };
        write_note(&note_path(&self.path), &have)
    }

    /// Where to go on fetching: where a reader waits, else at the first byte that is missing.
    pub(super) fn next_gap(&self) -> u64 {
        let state = lock(&self.state);
        let waits = |at: &u64| Some(state.have.first_gap(*at)).filter(|gap| *gap < self.size);
        let wanted = state.readers.values().find_map(waits);
        wanted
            .unwrap_or_else(|| state.have.first_gap(0))
            .min(self.size)
    }

    /// Whether all readers wait for something that a stream which is at `at` does not come by soon.
    pub(super) fn is_elsewhere(&self, at: u64, soon: u64) -> bool {
        let state = lock(&self.state);
        let mut gaps = state
            .readers
            .values()
            .map(|reader| state.have.first_gap(*reader))
            .filter(|gap| *gap < self.size)
            .peekable();
        gaps.peek().is_some() && gaps.all(|gap| gap < at || gap > at + soon)
    }

    /// How long nobody has read.
    pub(super) fn deserted_for(&self) -> std::time::Duration {
        let state = lock(&self.state);
        match state.left {
            Some(left) if state.readers.is_empty() => left.elapsed(),
            _ => std::time::Duration::ZERO,
        }
    }

    /// All bytes are here: holds them against the hash. Wrong ones are gone afterwards. Blocks.
    pub(super) fn check(&self) -> io::Result<Checked> {
        let part = part_path(&self.path);
        if self.size == 0 {
            File::create(&part)?;
        }
        if !is_right(&File::open(&part)?, self.hash, self.size)? {
            // Somebody may hold a part of it, and must not get the rest of the right file after it.
            File::create(taint_path(&self.path))?;
            std::fs::remove_file(&part)?;
            let _ = std::fs::remove_file(note_path(&self.path));
            let mut state = lock(&self.state);
            state.wrongs += 1;
            state.tainted = Some(SystemTime::now());
            state.have = Ranges::default();
            state.noted = 0;
            drop(state);
            self.tell();
            return Ok(Checked::Wrong);
        }
        let file = File::open(&part)?;
        file.sync_data()?;
        // It may get further names elsewhere, and none of them is to write to.
        file.set_permissions(Permissions::from_mode(0o400))?;
        std::fs::rename(&part, &self.path)?;
        let _ = std::fs::remove_file(note_path(&self.path));
        let mut state = lock(&self.state);
        state.have.insert(0..self.size);
        state.is_complete = true;
        state.stage = Stage::Has;
        state.trouble = None;
        drop(state);
        self.tell();
        Ok(Checked::Right)
    }

    /// Whether a client that goes on in the middle may have got wrong bytes before.
    pub(crate) fn must_restart(&self) -> bool {
        let tainted = lock(&self.state).tainted;
        tainted.is_some_and(|at| at.elapsed().is_ok_and(|since| since < TAINT_KEEP))
    }

    /// Bytes are wanted that are no whole file: nobody would notice wrong ones, so only the hub is asked.
    pub(crate) fn ask_directly(&self) {
        let mut state = lock(&self.state);
        state.direct |= !state.is_complete;
    }

    /// Whether bytes are here that neither the hub sent nor a check of the whole has vouched for.
    pub(crate) fn is_hearsay(&self) -> bool {
        let state = lock(&self.state);
        state.from_near && !state.is_complete
    }
}

impl Reader {
    /// Moves on.
    pub(crate) fn at(&self, offset: u64) {
        lock(&self.content.state)
            .readers
            .insert(self.number, offset);
    }

    /// Nothing was handed out yet: what was wrong before does not matter.
    pub(crate) fn begin(&mut self) {
        self.wrongs = lock(&self.content.state).wrongs;
    }

    /// Whether what was handed out since the beginning has turned out to be wrong.
    pub(crate) fn is_tainted(&self) -> bool {
        lock(&self.content.state).wrongs != self.wrongs
    }

    pub(crate) fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// Waits for more of it; an error once nobody fetches it any more. Cancel safe.
    pub(crate) async fn changed(&mut self) -> Result<(), String> {
        {
            let state = lock(&self.content.state);
            if !state.is_complete && !state.running {
                let trouble = state.trouble.clone();
                return Err(trouble.unwrap_or_else(|| "it is not fetched any more".to_owned()));
            }
        }
        let ended = || "the node is shutting down".to_owned();
        let changed = self
            .upstream
            .shutdown
            .run_until_cancelled(self.changes.changed());
        changed.await.ok_or_else(ended)?.map_err(|_| ended())
    }

    /// What the hub said, if it does not give the file to whoever asked last.
    pub(crate) fn refusal(&self) -> Option<Trouble> {
        lock(&self.content.state).refusal.clone()
    }

    /// What went wrong last.
    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.content.state).trouble.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.content.state);
        state.readers.remove(&self.number);
        if state.readers.is_empty() {
            state.left = Some(Instant::now());
        }
    }
}

fn name(hash: ContentHash) -> String {
    match hash {
        ContentHash::Sha256(sha256) => HEXLOWER.encode(&sha256),
        ContentHash::GitSha1(sha1) => HEXLOWER.encode(&sha1),
    }
}

/// Where a file with this content lies, whole or in parts, and what is noted beside it.
pub(super) fn places(folder: &Path, hash: ContentHash) -> [PathBuf; 3] {
    let path = folder.join(name(hash));
    [part_path(&path), note_path(&path), path]
}

fn part_path(path: &Path) -> PathBuf {
    path.with_extension("part")
}

fn note_path(path: &Path) -> PathBuf {
    path.with_extension("have")
}

fn taint_path(path: &Path) -> PathBuf {
    path.with_extension("wrong")
}

fn read_note(path: &Path) -> Option<Ranges> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write_note(path: &Path, have: &Ranges) -> io::Result<()> {
    // Not synced: bytes are believed when the whole is checked, and only then.
    let temporary = path.with_extension("have.tmp");
    std::fs::write(&temporary, serde_json::to_vec(have)?)?;
    std::fs::rename(temporary, path)
}

/// Whether a file somewhere has this content. Blocks.
pub(crate) fn is_content(path: &Path, hash: ContentHash) -> io::Result<bool> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    is_right(&file, hash, size)
}

fn is_right(file: &File, hash: ContentHash, size: u64) -> io::Result<bool> {
    if file.metadata()?.len() != size {
        return Ok(false);
    }
    match hash {
        ContentHash::Sha256(sha256) => {
            let found = digest(file, size, Sha256::new())?;
            Ok(found.as_slice() == sha256)
        }
        ContentHash::GitSha1(sha1) => {
            let hasher = Sha1::new().chain_update(format!("blob {size}\0"));
            Ok(digest(file, size, hasher)?.as_slice() == sha1)
        }
    }
}

fn digest<D: Digest>(file: &File, size: u64, mut hasher: D) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; CHECK_LEN];
    let mut at = 0;
    while at < size {
        let len = usize::try_from(size - at)
            .unwrap_or(CHECK_LEN)
            .min(CHECK_LEN);
        let part = buffer.get_mut(..len).unwrap_or_default();
        file.read_exact_at(part, at)?;
        hasher.update(&*part);
        at += len as u64;
    }
    Ok(hasher.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(folder: &Path, bytes: &[u8]) -> Content {
        let hash = ContentHash::Sha256(Sha256::digest(bytes).into());
        Content::open(folder, hash, bytes.len() as u64)
    }

    #[test]
    fn the_end_of_a_file_is_not_here_before_all_of_it_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n / 5) as u8).collect();
        let file = content(folder.path(), &bytes);
        file.write_at(0, &bytes, false).unwrap();
        let shown = bytes.len() as u64 - HELD_BACK;
        assert_eq!(file.ready_from(0), shown);
        assert_eq!(file.ready_from(shown), 0);
        assert_eq!(file.check().unwrap(), Checked::Right);
        assert_eq!(file.ready_from(0), bytes.len() as u64);
        // Also for the next run.
        assert!(content(folder.path(), &bytes).is_complete());
    }

    #[test]
    fn wrong_bytes_are_thrown_away_and_nobody_goes_on_after_them() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = vec![1; 100_000];
        let file = content(folder.path(), &bytes);
        file.write_at(0, &[2; 100_000], true).unwrap();
        assert_eq!(file.check().unwrap(), Checked::Wrong);
        assert_eq!((file.bytes_here(), file.ready_from(0)), (0, 0));
        drop(file);
        let file = content(folder.path(), &bytes);
        assert!(file.must_restart());
        file.write_at(0, &bytes, true).unwrap();
        assert_eq!(file.check().unwrap(), Checked::Right);
        assert!(file.must_restart() && !file.is_hearsay());
    }

    #[test]
    fn what_was_noted_is_gone_on_from() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = vec![3; 100_000];
        let file = content(folder.path(), &bytes);
        file.write_at(10, &bytes[10..500], false).unwrap();
        file.note().unwrap();
        drop(file);
        let file = content(folder.path(), &bytes);
        assert_eq!((file.bytes_here(), file.next_gap()), (490, 0));
        std::fs::remove_file(part_path(&file.path)).unwrap();
        assert_eq!(content(folder.path(), &bytes).bytes_here(), 0);
    }
}
