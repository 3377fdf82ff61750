//! Files: where they lie, and the few calls made on them.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, IoSlice},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use weft_protocol::id::BlobHash;

use super::{error::OpenError, lock};

/// Buffers handed to the operating system at once; it takes 1,024.
const SLICES_MAX: usize = 512;

/// The ending of files that an import has not finished.
const UNFINISHED: &str = "importing";

/// The directory of the store.
#[derive(Debug)]
pub(super) struct Files {
    data: PathBuf,
}

impl Files {
    /// Makes the directory, or refuses one that another kind of store wrote.
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        if directory.join("blobs.db").exists() {
            return Err(OpenError::OldLayout(directory.to_owned()));
        }
        let data = directory.join("data");
        let made = fs::create_dir_all(&data).and_then(|()| remove_unfinished(&data));
        match made {
            Ok(()) => Ok(Self { data }),
            Err(source) => Err(OpenError::Io { path: data, source }),
        }
    }

    /// A name for the tree of a blob whose hash is not known yet; removed at the next start if it is still there then.
    pub(super) fn unfinished(&self) -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.data.join(format!("{number}.{UNFINISHED}"))
    }

    /// The directory of all files.
    pub(super) fn directory(&self) -> &Path {
        &self.data
    }

    /// Bytes of a blob.
    pub(super) fn data(&self, hash: &BlobHash) -> PathBuf {
        self.data.join(format!("{hash}.data"))
    }

    /// The hash tree of a blob that is not small.
    pub(super) fn outboard(&self, hash: &BlobHash) -> PathBuf {
        self.data.join(format!("{hash}.outboard"))
    }

    /// Which blob a file belongs to.
    pub(super) fn owner(path: &Path) -> Option<BlobHash> {
        path.file_stem()?.to_str()?.parse().ok()
    }
}

fn remove_unfinished(data: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == UNFINISHED) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// A file that is open while somebody uses it. Ten thousand blobs must not need as many descriptors.
#[derive(Debug)]
pub(super) struct Handle {
    path: PathBuf,
    reader: Mutex<Weak<File>>,
    writer: Mutex<Weak<File>>,
}

impl Handle {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            reader: Mutex::default(),
            writer: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for reading.
    pub(super) fn read(&self) -> io::Result<Arc<File>> {
        if let Some(file) = lock(&self.writer).upgrade() {
            return Ok(file);
        }
        let mut reader = lock(&self.reader);
        if let Some(file) = reader.upgrade() {
            return Ok(file);
        }
        let file = Arc::new(File::open(&self.path)?);
        *reader = Arc::downgrade(&file);
        Ok(file)
    }

    /// The file, for reading and writing; made if it is not there.
    pub(super) fn write(&self) -> io::Result<Arc<File>> {
        let mut writer = lock(&self.writer);
        if let Some(file) = writer.upgrade() {
            return Ok(file);
        }
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&self.path)
        };
        let file = match open() {
            // A view made it read-only; what is missing in it is still ours to mend.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let mut permissions = fs::metadata(&self.path)?.permissions();
                permissions.set_mode(permissions.mode() | 0o200);
                fs::set_permissions(&self.path, permissions)?;
                open()?
            }
            result => result?,
        };
        let file = Arc::new(file);
        *writer = Arc::downgrade(&file);
        Ok(file)
    }
}

/// Writes all of `slices` one behind the other from `offset` on.
pub(super) fn write_all_at(file: &File, slices: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    for slices in slices.chunks(SLICES_MAX) {
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut written = rustix::io::retry_on_intr(|| rustix::io::pwritev(file, slices, offset))?;
        if written < wanted {
            // Rare (a signal, a disk about to be full): the rest goes one by one.
            let mut skip = written;
            for slice in slices {
                let rest = slice.get(skip.min(slice.len())..).unwrap_or_default();
                skip = skip.saturating_sub(slice.len());
                file.write_all_at(rest, offset + written as u64)?;
                written += rest.len();
            }
        }
        offset += wanted as u64;
    }
    Ok(())
}

/// What changes when a file is written to or replaced.
pub(super) fn stamp(metadata: &Metadata) -> [u64; 4] {
    [
        metadata.len(),
        metadata.ino(),
        metadata.mtime().cast_unsigned(),
        metadata.mtime_nsec().cast_unsigned(),
    ]
}

/// Takes the space for a whole file at once, so that it lies in one place however its parts come. A file system that
/// cannot is none the worse for it.
pub(super) fn allocate(file: &File, size: u64) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, size);
        false
    }
}

/// Whether parts of one file can be parts of another on this file system, so that a copy takes no space.
pub(super) fn shares_extents(file: &File) -> bool {
    // Btrfs, XFS, bcachefs. Elsewhere the kernel would only copy, which writing what was just read does as well.
    #[cfg(target_os = "linux")]
    return rustix::fs::fstatfs(file)
        .is_ok_and(|about| matches!(about.f_type, 0x9123_683e | 0x5846_5342 | 0xca45_1a4e));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Makes bytes of one file part of another. A range that both files have at whole blocks takes no space where the file
/// system can do that.
pub(super) fn share(from: &File, mut offset: u64, to: &File, target: Range<u64>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut at = target.start;
        while at < target.end {
            let len = usize::try_from(target.end - at).unwrap_or(usize::MAX);
            // Both offsets move on by themselves.
            let copied = rustix::io::retry_on_intr(|| {
                rustix::fs::copy_file_range(from, Some(&mut offset), to, Some(&mut at), len)
            })?;
            if copied == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (from, &mut offset, to, target);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Starts writing a range to disk, or, if that is done, gives back the memory it takes.
pub(super) fn let_go(file: &File, offset: u64, len: u64) {
    #[cfg(target_os = "linux")]
    {
        let advice = rustix::fs::Advice::DontNeed;
        rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(len), advice).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, len);
}

/// Syncs everything on the file system of `directory`: cheaper than a sync for each of many files.
pub(super) fn sync_all(directory: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::syncfs(File::open(directory)?)?;
        Ok(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        Ok(false)
    }
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
