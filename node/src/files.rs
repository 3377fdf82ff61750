//! Small files that must never be half written: keys, tokens, addresses.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Replaces `path` with `content` so that a crash leaves the old file or the new one. The file is readable by
/// its owner only.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)?;
    File::open(parent)?.sync_all()
}

/// Makes a folder, and those above it, that only its owner can look into.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a 32-byte seed written as 64 hex digits.
///
/// # Errors
/// Whatever the file system says; `InvalidData` if the content is something else.
pub(crate) fn read_seed(path: &Path) -> io::Result<[u8; 32]> {
    let text = std::fs::read_to_string(path)?;
    text.trim()
        .parse::<weft_protocol::id::BlobHash>()
        .map(|seed| *seed.as_bytes())
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{}` does not hold 64 hex digits", path.display()),
            )
        })
}

/// Writes a 32-byte seed as 64 hex digits, readable by its owner only.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn write_seed(path: &Path, seed: [u8; 32]) -> io::Result<()> {
    let text = format!("{}\n", weft_protocol::id::BlobHash::new(seed));
    write_private(path, text.as_bytes())
}

/// Draws 32 bytes from the operating system.
///
/// # Errors
/// If the operating system has none to give.
pub(crate) fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}
