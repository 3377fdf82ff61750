//! What a failed transfer was a failure of.
//!
//! Only a hash that does not match (or a size that is not the manifest's) makes a peer a liar. A stream that ends
//! or is reset is a peer that lacks the range, is busy, or found its own copy damaged; a connection that breaks is
//! nobody's fault; and what our own disk says is ours.

use std::{io, path::Path};

use iroh::endpoint::{ConnectionError, ReadError, VarInt, WriteError};
use iroh_blobs::{
    api,
    get::fsm::{AtBlobHeaderNextError, ConnectedNextError, DecodeError},
    protocol::ERR_PERMISSION,
};
use weft_protocol::service::{StorageError, TransferError};

use super::peers::CLOSE_BANNED;

/// The request could not be sent.
pub(super) fn request(error: &ConnectedNextError) -> TransferError {
    match error {
        ConnectedNextError::Write { source, .. } => stream(source),
        ConnectedNextError::PostcardSer { .. } | ConnectedNextError::RequestTooBig { .. } => {
            TransferError::Connection
        }
    }
}

/// No size header came.
pub(super) fn header(error: &AtBlobHeaderNextError) -> TransferError {
    match error {
        AtBlobHeaderNextError::NotFound { .. } => TransferError::Unavailable,
        AtBlobHeaderNextError::Read { source, .. } => stream(source),
    }
}

/// The content ended early or does not verify.
pub(super) fn content(error: &DecodeError) -> TransferError {
    match error {
        DecodeError::ParentHashMismatch { .. } | DecodeError::LeafHashMismatch { .. } => {
            TransferError::Corrupt
        }
        DecodeError::ChunkNotFound { .. }
        | DecodeError::ParentNotFound { .. }
        | DecodeError::LeafNotFound { .. } => TransferError::Unavailable,
        DecodeError::Read { source, .. } => stream(source),
        DecodeError::Write { source, .. } => TransferError::Storage(io_storage(source)),
        // The enum may grow; a failure we do not know is no proof of a lie.
        _ => TransferError::Unavailable,
    }
}

/// A stream or the connection under it broke.
fn stream(error: &io::Error) -> TransferError {
    let Some(inner) = error.get_ref() else {
        // Made by iroh-blobs when a stream is finished in the middle of an item.
        return TransferError::Unavailable;
    };
    if let Some(error) = inner.downcast_ref::<ReadError>() {
        return match error {
            ReadError::Reset(code) => reset(*code),
            ReadError::ConnectionLost(error) => connection(error),
            ReadError::ClosedStream | ReadError::ZeroRttRejected => TransferError::Connection,
        };
    }
    if let Some(error) = inner.downcast_ref::<WriteError>() {
        return match error {
            WriteError::Stopped(code) => reset(*code),
            WriteError::ConnectionLost(error) => connection(error),
            _ => TransferError::Connection,
        };
    }
    if let Some(error) = inner.downcast_ref::<ConnectionError>() {
        return connection(error);
    }
    match error.kind() {
        io::ErrorKind::NotConnected | io::ErrorKind::ConnectionReset => TransferError::Connection,
        _ => TransferError::Unavailable,
    }
}

fn reset(code: VarInt) -> TransferError {
    if code == ERR_PERMISSION {
        TransferError::Refused
    } else {
        // "Not here", "busy" and "my copy is damaged" all look the same from here.
        TransferError::Unavailable
    }
}

/// The connection as a whole broke.
pub(super) fn connection(error: &ConnectionError) -> TransferError {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == CLOSE_BANNED => {
            TransferError::Refused
        }
        _ => TransferError::Connection,
    }
}

/// The store refused a write.
pub(super) fn storage(error: &api::Error) -> StorageError {
    match error {
        api::Error::Io(error) => io_storage(error),
    }
}

/// Why the store fails. After one failed write it refuses the writes beside it without saying why, so the disk
/// itself is asked.
pub(super) async fn cause(error: StorageError, folder: &Path) -> StorageError {
    if error == StorageError::Full {
        return error;
    }
    let probe = folder.join("probe");
    let tried = tokio::task::spawn_blocking(move || {
        let written = std::fs::write(&probe, vec![0; PROBE_LEN]);
        // What cannot be removed now is overwritten by the next probe.
        let _ = std::fs::remove_file(&probe);
        written
    });
    match tried.await {
        Ok(Err(error)) if io_storage(&error) == StorageError::Full => StorageError::Full,
        _ => error,
    }
}

/// A disk without room for this is full for a program that stores models.
const PROBE_LEN: usize = 1024 * 1024;

/// The operating system refused a file operation.
pub(super) fn io_storage(error: &io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StorageError::Full
        }
        _ => StorageError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_codes_tell_refusal_from_absence() {
        let reset = |code: u32| io::Error::from(ReadError::Reset(VarInt::from_u32(code)));
        assert_eq!(stream(&reset(1)), TransferError::Refused);
        assert_eq!(stream(&reset(2)), TransferError::Unavailable);
        assert_eq!(stream(&reset(3)), TransferError::Unavailable);
    }

    #[test]
    fn lost_connection_is_not_a_lie() {
        let lost = io::Error::from(ReadError::ConnectionLost(ConnectionError::TimedOut));
        assert_eq!(stream(&lost), TransferError::Connection);
    }

    #[test]
    fn full_disk_is_told_apart() {
        let full = api::Error::Io(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(storage(&full), StorageError::Full);
        let other = api::Error::Io(io::Error::other("poisoned storage"));
        assert_eq!(
            storage(&other),
            StorageError::Failed("poisoned storage".to_owned())
        );
    }
}
