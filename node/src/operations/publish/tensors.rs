//! Fills a manifest's tensor index: reads the headers of weight files and hashes each tensor.
//!
//! The bytes were read a moment ago to be imported, so this pass finds them in the page cache, and it runs on all
//! cores. Nothing here makes a publication fail: a file whose header is wrong, whose tensors do not fit or that cannot
//! be read is published without an index, and the log says why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use weft_protocol::{
    formats::{self, Format, FormatError, Reading},
    id::{BlobHash, ObjectId},
    manifest::{
        Manifest, Tensor,
        tensors::{NoRoom, Room},
    },
};

use super::super::{Operations, Reporter, collect::Found};
use crate::api::{Phase, Progress};

/// What is read at once while hashing.
const READ_LEN: usize = 1024 * 1024;

/// Why a file has no index.
#[derive(Debug, thiserror::Error)]
enum Skip {
    #[error("its header is refused: {0}")]
    Format(#[from] FormatError),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
}

impl Operations {
    /// Adds the tensors of every weight file whose header is sound. `old` may hold some of the same files.
    pub(super) async fn index_tensors(
        &self,
        manifest: &mut Manifest,
        old: Option<Manifest>,
        found: &[Found],
        reporter: &Reporter,
    ) {
        // The threads cannot be stopped from outside: they look whether anybody still waits for them.
        let waiting = Arc::new(());
        let wanted = Arc::downgrade(&waiting);
        let (without, found, reporter) = (manifest.clone(), found.to_vec(), reporter.clone());
        let index = tokio::task::spawn_blocking(move || {
            let progress = |bytes_done, bytes_total| {
                reporter.report(Progress {
                    phase: Phase::Importing,
                    bytes_done,
                    bytes_total,
                    message: Some("tensors".to_owned()),
                    ..Progress::default()
                });
                wanted.strong_count() > 0
            };
            index(&without, old.as_ref(), &found, &progress)
        });
        // Were the task to die, the revision would go without an index.
        manifest.tensors = index.await.unwrap_or_default();
        drop(waiting);
    }

    /// The same for a revision whose files the blob store has; those without tensors are cut into chunks.
    pub(crate) async fn index_stored(&self, manifest: &mut Manifest, old: &Manifest) {
        let mut found = Vec::with_capacity(manifest.files.len());
        for file in &manifest.files {
            let source = match Format::of_path(file.path.as_str()) {
                Some(_) => self.transfer.path(file.blake3).await,
                None => None,
            };
            found.push(Found {
                // Only what has tensors and is not in the old index is read.
                source: source.unwrap_or_default(),
                path: file.path.clone(),
            });
        }
        let (nobody, _) = tokio::sync::mpsc::channel(1);
        self.index_tensors(manifest, Some(old.clone()), &found, &Reporter::new(nobody))
            .await;
        self.cut_followers(manifest, old).await;
    }
}

/// The index of a manifest. `progress` is told bytes hashed and bytes to hash, and says whether to go on.
fn index(
    manifest: &Manifest,
    old: Option<&Manifest>,
    found: &[Found],
    progress: &(dyn Fn(u64, u64) -> bool + Sync),
) -> Vec<Tensor> {
    let known = old.map(by_blob).unwrap_or_default();
    let mut room = Room::beside(manifest);
    let (mut entries, mut to_hash) = (Vec::new(), Vec::new());
    let files = (0_u32..).zip(manifest.files.iter().zip(found));
    for (at, (file, found)) in files {
        let Some(format) = Format::of_path(file.path.as_str()) else {
            continue;
        };
        let taken = match known.get(&file.blake3) {
            Some(tensors) => {
                let tensors = tensors.iter().map(|tensor| Tensor {
                    file: at,
                    ..(*tensor).clone()
                });
                take(&mut room, tensors.collect(), &mut entries)
            }
            None => describe(at, format, &found.source, file.size).and_then(|tensors| {
                let first = entries.len();
                take(&mut room, tensors, &mut entries)?;
                to_hash.extend((first..entries.len()).map(|entry| (entry, &*found.source)));
                Ok(())
            }),
        };
        if let Err(skip) = taken {
            tracing::info!(path = %file.path, "published without a tensor index: {skip}");
        }
    }
    for file in hash(&mut entries, to_hash, progress) {
        entries.retain(|tensor| tensor.file != file);
    }
    entries.sort_by(|a, b| (a.file, a.offset, &a.name).cmp(&(b.file, b.offset, &b.name)));
    entries
}

/// The indexed tensors of each blob. Of a blob under two paths those of one.
fn by_blob(manifest: &Manifest) -> BTreeMap<BlobHash, Vec<&Tensor>> {
    let mut known = BTreeMap::<_, Vec<&Tensor>>::new();
    for tensor in &manifest.tensors {
        let file = usize::try_from(tensor.file).ok();
        if let Some(file) = file.and_then(|file| manifest.files.get(file)) {
            let tensors = known.entry(file.blake3).or_default();
            if tensors
                .first()
                .is_none_or(|first| first.file == tensor.file)
            {
                tensors.push(tensor);
            }
        }
    }
    known
}

fn take(room: &mut Room, tensors: Vec<Tensor>, entries: &mut Vec<Tensor>) -> Result<(), Skip> {
    room.take(&tensors)?;
    entries.extend(tensors);
    Ok(())
}

/// The tensors of a file as its header describes them.
fn describe(at: u32, format: Format, source: &Path, size: u64) -> Result<Vec<Tensor>, Skip> {
    let mut file = File::open(source)?;
    let mut prefix = Vec::new();
    loop {
        match formats::read(format, &prefix, size)? {
            Reading::Done(header) => {
                let tensors = header.tensors.into_iter();
                return Ok(tensors.map(|info| Tensor::unhashed(at, info)).collect());
            }
            Reading::More { len } => {
                let before = prefix.len() as u64;
                let read = Read::by_ref(&mut file)
                    .take(len - before)
                    .read_to_end(&mut prefix)?;
                if before + (read as u64) < len {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
}

/// Hashes tensors on all cores, the largest first so that no core is left alone with it at the end. Returns the files
/// that could not be read; all of them if nobody waits any more.
fn hash(
    entries: &mut [Tensor],
    mut jobs: Vec<(usize, &Path)>,
    progress: &(dyn Fn(u64, u64) -> bool + Sync),
) -> BTreeSet<u32> {
    let len = |entry: usize| entries.get(entry).map_or(0, |tensor| tensor.len);
    jobs.sort_by_key(|(entry, _)| std::cmp::Reverse(len(*entry)));
    let bytes_total = jobs.iter().map(|(entry, _)| len(*entry)).sum();
    let (next, bytes_done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let hashes = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let todo = &*entries;
    thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                let mut buffer = vec![0; READ_LEN];
                while let Some((entry, source)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(tensor) = todo.get(*entry) else {
                        continue;
                    };
                    let hash = hash_one(source, tensor, &mut buffer, &|bytes| {
                        let done = bytes_done.fetch_add(bytes, Ordering::Relaxed) + bytes;
                        progress(done, bytes_total)
                    });
                    let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
                    hashes.push((*entry, hash));
                }
            });
        }
    });
    let mut unread = BTreeSet::new();
    let hashes = hashes.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (entry, hash) in hashes {
        let Some(tensor) = entries.get_mut(entry) else {
            continue;
        };
        match hash {
            Ok(hash) => tensor.blake3 = hash,
            Err(error) => {
                if unread.insert(tensor.file) {
                    tracing::info!(tensor = tensor.name, "no tensor index for a file: {error}");
                }
            }
        }
    }
    unread
}

fn hash_one(
    source: &Path,
    tensor: &Tensor,
    buffer: &mut [u8],
    progress: &dyn Fn(u64) -> bool,
) -> io::Result<ObjectId> {
    let mut file = File::open(source)?;
    file.seek(SeekFrom::Start(tensor.offset))?;
    let mut hasher = blake3::Hasher::new();
    let mut left = tensor.len;
    while left > 0 {
        let len = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = buffer.get_mut(..len).unwrap_or_default();
        file.read_exact(read)?;
        hasher.update(read);
        left -= len as u64;
        if !progress(len as u64) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    Ok(ObjectId::new(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use weft_protocol::{
        id::{PublisherId, RepositoryId},
        manifest::{Card, File as Listed, Kind, Role},
        time::Timestamp,
    };

    use super::*;

    fn safetensors(names: [&str; 2], fill: u8) -> Vec<u8> {
        let [a, b] = names;
        let json = format!(
            r#"{{"{a}":{{"dtype":"U8","shape":[3],"data_offsets":[0,3]}},"{b}":{{"dtype":"U8","shape":[2000000],"data_offsets":[3,2000003]}}}}"#
        );
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.resize(bytes.len() + 2_000_003, fill);
        bytes
    }

    /// A folder with these files and the manifest of it.
    fn folder(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Manifest, Vec<Found>) {
        let directory = tempfile::tempdir().unwrap();
        let (mut listed, mut found) = (Vec::new(), Vec::new());
        for (name, bytes) in files {
            let source = directory.path().join(name);
            std::fs::write(&source, bytes).unwrap();
            let path: weft_protocol::path::RepoPath = name.parse().unwrap();
            listed.push(Listed {
                path: path.clone(),
                size: bytes.len() as u64,
                blake3: BlobHash::new(*blake3::hash(bytes).as_bytes()),
                sha256: [0; 32],
                git_sha1: None,
                role: Role::of_path(name),
                spans: None,
                chunks: None,
            });
            found.push(Found { source, path });
        }
        let manifest = Manifest {
            repository: RepositoryId {
                publisher: PublisherId::new([1; 32]),
                name: "m".parse().unwrap(),
            },
            kind: Kind::Model,
            parents: vec![],
            files: listed,
            card: Card::default(),
            tensors: vec![],
            message: String::new(),
            created: Timestamp(1),
        };
        (directory, manifest, found)
    }

    fn names(tensors: &[Tensor]) -> Vec<(u32, &str)> {
        tensors.iter().map(|t| (t.file, t.name.as_str())).collect()
    }

    #[test]
    fn tensors_are_hashed_where_they_lie() {
        let (_directory, mut manifest, found) = folder(&[
            ("a.safetensors", safetensors(["x", "y"], 5)),
            ("b.txt", b"no weights".to_vec()),
            ("c.safetensors", safetensors(["q", "p"], 6)),
        ]);
        let tensors = index(&manifest, None, &found, &|_, _| true);
        assert_eq!(names(&tensors), [(0, "x"), (0, "y"), (2, "q"), (2, "p")]);
        let hash = |bytes: &[u8]| ObjectId::new(*blake3::hash(bytes).as_bytes());
        assert_eq!(tensors[0].blake3, hash(&[5; 3]));
        assert_eq!(tensors[3].blake3, hash(&vec![6; 2_000_000]));
        manifest.tensors = tensors;
        assert_eq!(weft_protocol::codec::Object::validate(&manifest), Ok(()));
    }

    #[test]
    fn file_that_is_not_what_its_name_says_goes_without_an_index() {
        let mut lying = safetensors(["x", "y"], 5);
        lying[0] ^= 1;
        let mut short = safetensors(["x", "y"], 5);
        let (_directory, mut manifest, found) = folder(&[
            ("a.safetensors", lying),
            ("b.gguf", b"GGUF".to_vec()),
            ("c.safetensors", safetensors(["q", "p"], 6)),
            ("d.safetensors", short.clone()),
        ]);
        // Cut behind our back: its header is read before anybody notices.
        short.truncate(500_000);
        std::fs::write(&found[3].source, short).unwrap();
        let tensors = index(&manifest, None, &found, &|_, _| true);
        assert_eq!(names(&tensors), [(2, "q"), (2, "p")]);
        manifest.tensors = tensors;
        assert_eq!(weft_protocol::codec::Object::validate(&manifest), Ok(()));
    }

    #[test]
    fn file_that_was_indexed_before_is_not_hashed_again() {
        let file = safetensors(["x", "y"], 5);
        let (_directory, mut old, found) = folder(&[("a.safetensors", file.clone())]);
        old.tensors = index(&old, None, &found, &|_, _| true);
        let (_directory, new, found) = folder(&[
            ("0.gguf", b"?".to_vec()),
            ("moved.safetensors", file.clone()),
            ("twice.safetensors", file),
        ]);
        let tensors = index(&new, Some(&old), &found, &|_, _| panic!("nothing to hash"));
        assert_eq!(names(&tensors), [(1, "x"), (1, "y"), (2, "x"), (2, "y")]);
        assert_eq!(tensors[3].blake3, old.tensors[1].blake3);
    }

    #[test]
    fn nothing_is_hashed_for_nobody() {
        let (_directory, manifest, found) =
            folder(&[("a.safetensors", safetensors(["x", "y"], 5))]);
        assert_eq!(index(&manifest, None, &found, &|_, _| false), []);
    }
}
