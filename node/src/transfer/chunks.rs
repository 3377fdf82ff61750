//! The chunks of a blob that is here, cut by its content.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use tracing::debug;
use weft_protocol::{
    id::BlobHash,
    manifest::{Chunker, Chunks},
};

use super::Handle;

/// What is read at once.
const READ_LEN: usize = 1024 * 1024;

impl Handle {
    /// The chunks of usually 2^`log2` bytes of a blob that is here; `None` if it cannot be read.
    ///
    /// Cancel safe: the reading ends with the waiting.
    pub async fn chunks(&self, blob: BlobHash, log2: u8) -> Option<Chunks> {
        let path = self.path(blob).await?;
        let waiting = Arc::new(());
        let wanted = Arc::downgrade(&waiting);
        let cut =
            tokio::task::spawn_blocking(move || cut(&path, log2, || wanted.strong_count() > 0));
        let cut = cut.await.ok()?;
        drop(waiting);
        cut.inspect_err(|error| debug!(blob = %blob.fmt_short(), %error, "a blob cannot be cut"))
            .ok()
    }
}

/// Cuts a file. `go_on` is asked after each piece that was read.
///
/// # Errors
/// If it cannot be read, or should not be any more.
pub(super) fn cut(path: &Path, log2: u8, go_on: impl Fn() -> bool) -> io::Result<Chunks> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; READ_LEN];
    let mut chunker = Chunker::new(log2);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(chunker.finish()),
            read => chunker.push(buffer.get(..read).unwrap_or_default()),
        }
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}
