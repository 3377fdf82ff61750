//! Files in: taken into the store where they lie, hashed in one read.

use std::{
    fs::{self, File},
    io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use weft_protocol::{id::BlobHash, piece_set::PieceSet};

use super::{
    BlobStore, Inner,
    blob::{Blob, Place, new_outboard},
    collect::Guard,
    digest::{self, BLOCK_LEN, Digests, Failure},
    error::{Error, ImportError},
    files::{self, Handle},
    lock,
    outboard::Outboard,
    tree::{self, GROUP_LEN},
};

/// Files up to here are copied: people edit cards and settings in place, and what was published must stay whole.
const COPIED_LEN_MAX: u64 = GROUP_LEN;
/// Smaller files are not worth a second thread.
const BESIDE_MIN: u64 = 4 * BLOCK_LEN as u64;

/// A file that the store has taken in.
#[derive(Debug)]
pub(crate) struct Imported {
    /// BLAKE3 of the content.
    pub(crate) blake3: BlobHash,
    /// SHA-256 of the content.
    pub(crate) sha256: [u8; 32],
    /// Git's id of the content as a blob, for files of up to 10 MiB.
    pub(crate) git_sha1: Option<[u8; 20]>,
    /// Bytes.
    pub(crate) size: u64,
    /// Keeps the blob from being collected. Drop it once a `protect` names the blob.
    pub(crate) guard: Guard,
}

/// Told the bytes hashed so far; says whether to go on.
pub(crate) type Progress<'a> = dyn Fn(u64) -> bool + Sync + 'a;
/// Shown a block and its offset.
pub(crate) type Block<'a> = dyn Fn(u64, &[u8]) + Sync + 'a;

/// Who looks on while a file is hashed. Called on the hashing thread.
#[derive(Default, Clone, Copy)]
pub(crate) struct Observer<'a> {
    /// Told the bytes hashed so far; says whether to go on.
    pub(crate) progress: Option<&'a Progress<'a>>,
    /// Shown every block that is read, in order, with its offset: 1 MiB each but the last.
    pub(crate) block: Option<&'a Block<'a>>,
}

impl std::fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

/// Cores that hash. As many files at once as there are cores, and a second core for one large file if nobody wants it.
#[derive(Debug)]
pub(super) struct Cores {
    count: Mutex<Count>,
    freed: Condvar,
}

#[derive(Debug)]
struct Count {
    free: usize,
    /// Files that have none yet.
    waiting: usize,
}

impl Default for Cores {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, NonZero::get))
    }
}

impl Cores {
    fn new(free: usize) -> Self {
        Self {
            count: Mutex::new(Count { free, waiting: 0 }),
            freed: Condvar::new(),
        }
    }

    /// Waits for one, and takes a second if that is wanted and nobody waits: two files side by side are done sooner than
    /// one after the other on two cores each.
    fn take(&self, second: bool) -> Taken<'_> {
        let mut now = lock(&self.count);
        now.waiting += 1;
        let mut now = self
            .freed
            .wait_while(now, |now| now.free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        now.waiting -= 1;
        let count = if second && now.free > 1 && now.waiting == 0 {
            2
        } else {
            1
        };
        now.free -= count;
        Taken { cores: self, count }
    }
}

struct Taken<'a> {
    cores: &'a Cores,
    count: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        lock(&self.cores.count).free += self.count;
        self.cores.freed.notify_all();
    }
}

impl BlobStore {
    /// Takes a file in by reference: it must stay where it is for as long as it is to be served. Files of up to one
    /// chunk group are copied, so that they may change afterwards. Blocks while all cores
    /// hash. What it writes down survives the end of the process, and the loss of power once the registry commits
    /// anything else.
    ///
    /// # Errors
    /// If the file cannot be read or changes meanwhile, or the store fails.
    pub(crate) fn import(
        &self,
        path: &Path,
        observer: &Observer<'_>,
    ) -> Result<Imported, ImportError> {
        self.take_in(path, observer, false)
    }

    /// Takes a file over: it becomes the store's own and is gone from where it was. It must lie on the store's file
    /// system. Otherwise like [`Self::import`]; a file that was not taken over stays.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub(crate) fn import_owned(
        &self,
        path: &Path,
        observer: &Observer<'_>,
    ) -> Result<Imported, ImportError> {
        let imported = self.take_in(path, observer, true)?;
        // Still there if its content was here already.
        files::remove(path).map_err(|source| ImportError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(imported)
    }

    fn take_in(
        &self,
        path: &Path,
        observer: &Observer<'_>,
        becomes_own: bool,
    ) -> Result<Imported, ImportError> {
        let failed = |error: Error| ImportError::Store {
            path: path.to_owned(),
            source: error.into(),
        };
        let unreadable = |source| ImportError::Read {
            path: path.to_owned(),
            source,
        };
        let changed = || ImportError::Changed {
            path: path.to_owned(),
        };
        let absolute = fs::canonicalize(path).map_err(unreadable)?;
        let before = fs::metadata(&absolute).map_err(unreadable)?;
        if !before.is_file() {
            return Err(ImportError::NotAFile {
                path: path.to_owned(),
            });
        }
        let size = before.len();
        let groups = tree::groups(size).ok_or_else(|| failed(Error::Full))?;
        let file = File::open(&absolute).map_err(unreadable)?;
        // The file stays where it is; its tree takes 64 bytes for each 16 KiB.
        let _promise = self.inner.room.promise(size / 256).map_err(failed)?;
        let tree = Unfinished::new(&self.inner, size, groups).map_err(failed)?;
        let digests = {
            let cores = self.inner.cores.take(size >= BESIDE_MIN);
            let outboard = tree.outboard.open_to_write().map_err(failed)?;
            digest::digest(&file, size, &outboard, observer, cores.count > 1)
        };
        let digests = digests.map_err(|failure| match failure {
            Failure::Read(error) => unreadable(error),
            Failure::Write(error) => failed(error),
            Failure::Length => changed(),
        })?;
        let after = fs::metadata(&absolute).map_err(unreadable)?;
        if files::stamp(&before) != files::stamp(&after) {
            return Err(changed());
        }
        let origin = if becomes_own {
            Origin::Own(absolute)
        } else if (1..=COPIED_LEN_MAX).contains(&size) {
            let bytes = fs::read(&absolute).map_err(unreadable)?;
            if *blake3::hash(&bytes).as_bytes() != digests.blake3 {
                return Err(changed());
            }
            let name = self.inner.files.unfinished();
            let copy = Copy::new(name.clone(), &bytes);
            Origin::Copied(copy.map_err(|error| failed(Error::io(&name, error)))?)
        } else {
            Origin::Original(absolute, files::stamp(&after))
        };
        self.keep(&origin, (size, groups), &digests, tree)
            .map_err(failed)
    }

    fn keep(
        &self,
        origin: &Origin,
        (size, groups): (u64, u32),
        digests: &Digests,
        mut tree: Unfinished,
    ) -> Result<Imported, Error> {
        let hash = BlobHash::new(digests.blake3);
        let guard = self.guard(&hash);
        let known = self.inner.blob(&hash)?;
        let is_known = known.is_some_and(|blob| {
            // The newest file of the user's is the one that is likeliest to stay.
            let is_same =
                matches!(origin, Origin::Original(path, _) if blob.path() == path.as_path());
            blob.is_complete() && (!blob.is_original() || is_same)
        });
        if size > 0 && !is_known {
            let outboard = tree.finish(&self.inner, &hash)?;
            let (data, stamp, own) = match origin {
                Origin::Original(path, stamp) => (path.clone(), Some(*stamp), None),
                Origin::Copied(copy) => (self.inner.files.data(&hash), None, Some(copy.path())),
                Origin::Own(path) => (self.inner.files.data(&hash), None, Some(path.as_path())),
            };
            let place = Place {
                data: Handle::new(data),
                is_original: own.is_none(),
                outboard,
                stamp,
                is_noted: false,
            };
            let (all, none) = (PieceSet::full(groups), PieceSet::empty(groups));
            let blob = Blob::new(&self.inner, (hash, size), place, (all, none));
            self.inner.install(blob, own)?;
        }
        Ok(Imported {
            blake3: hash,
            sha256: digests.sha256,
            git_sha1: digests.git_sha1,
            size,
            guard,
        })
    }
}

/// Where the bytes of a taken-in file are.
enum Origin {
    /// Where the user has them, and what the file looked like when it was read.
    Original(PathBuf, [u64; 4]),
    /// Here, in a copy that has no name yet.
    Copied(Copy),
    /// Here, in the file itself, which gets another name.
    Own(PathBuf),
}

/// A small file's own copy, under a name that goes with it.
struct Copy(PathBuf);

impl Copy {
    fn new(path: PathBuf, bytes: &[u8]) -> io::Result<Self> {
        let copy = Self(path);
        fs::write(&copy.0, bytes).map(|()| copy)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        files::remove(&self.0).ok();
    }
}

/// The tree of a file whose hash is not known yet; its file goes if nobody finishes it.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) outboard: Outboard,
    path: Option<PathBuf>,
}

impl Unfinished {
    pub(super) fn new(inner: &Inner, size: u64, groups: u32) -> Result<Self, Error> {
        let nobody = BlobHash::new([0; 32]);
        match new_outboard(inner, &nobody, size, groups) {
            inline @ Outboard::Inline(_) => Ok(Self {
                outboard: inline,
                path: None,
            }),
            Outboard::File(_) => {
                let path = inner.files.unfinished();
                Ok(Self {
                    outboard: Outboard::File(Handle::new(path.clone())),
                    path: Some(path),
                })
            }
        }
    }

    fn finish(&mut self, inner: &Inner, hash: &BlobHash) -> Result<Outboard, Error> {
        match self.path.take() {
            Some(path) => {
                let target = inner.files.outboard(hash);
                fs::rename(&path, &target).map_err(|error| Error::io(&path, error))?;
                Ok(Outboard::File(Handle::new(target)))
            }
            None => Ok(std::mem::replace(
                &mut self.outboard,
                Outboard::Inline(Mutex::default()),
            )),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            files::remove(path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_core_is_for_a_file_that_nobody_waits_behind() {
        let cores = Cores::new(2);
        let first = cores.take(true);
        assert_eq!(first.count, 2);
        thread::scope(|scope| {
            let more = [(); 2].map(|()| scope.spawn(|| cores.take(true)));
            while lock(&cores.count).waiting < 2 {
                thread::yield_now();
            }
            drop(first);
            // Neither gave its core back before both had one.
            let counts = more.map(|taken| taken.join().unwrap());
            assert!(counts.iter().all(|taken| taken.count == 1));
        });
        assert_eq!(cores.take(false).count, 1);
    }
}
