//! What a failed transfer was a failure of.
//!
//! Only a hash that does not match (or a size that is not the manifest's) makes a peer a liar. A stream that ends
//! or is reset is a peer that lacks the range, is busy, or found its own copy damaged; a connection that breaks is
//! nobody's fault; and what our own disk says is ours.

use std::io;

use iroh::endpoint::{ConnectionError, VarInt};
use iroh_blobs::protocol::ERR_PERMISSION;
use weft_protocol::service::{StorageError, TransferError};

use super::peers::CLOSE_BANNED;

/// The peer broke an answer off.
pub(super) fn reset(code: VarInt) -> TransferError {
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
        let told = |code: u32| reset(VarInt::from_u32(code));
        assert_eq!(told(1), TransferError::Refused);
        assert_eq!(told(2), TransferError::Unavailable);
        assert_eq!(told(3), TransferError::Unavailable);
    }

    #[test]
    fn lost_connection_is_not_a_lie() {
        let lost = connection(&ConnectionError::TimedOut);
        assert_eq!(lost, TransferError::Connection);
    }

    #[test]
    fn full_disk_is_told_apart() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(io_storage(&full), StorageError::Full);
        let other = io::Error::other("no such device");
        assert_eq!(
            io_storage(&other),
            StorageError::Failed("no such device".to_owned())
        );
    }
}
