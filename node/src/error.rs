//! Failures of the local machine, as the user is told. All other errors of the daemon are
//! [`crate::api::ErrorBody`] from the start.

use std::io;

use weft_protocol::service::StorageError;

use crate::{
    api::{ErrorBody, ErrorCode},
    transfer,
};

/// The local disk failed at `what`.
pub(crate) fn io(what: impl std::fmt::Display, source: &io::Error) -> ErrorBody {
    let error = ErrorBody::new(ErrorCode::Storage, format!("{what}: {source}"));
    match source.kind() {
        io::ErrorKind::StorageFull => error.with_hint(
            "free some space (`weft prune`, `weft df`) and run the command again; it goes on where it stopped",
        ),
        io::ErrorKind::PermissionDenied => {
            error.with_hint("check who owns the data directory (`weft env` shows where it is)")
        }
        _ => error,
    }
}

/// A file was not taken into the store.
pub(crate) fn import(error: &transfer::ImportError) -> ErrorBody {
    let body = |code| ErrorBody::new(code, chain(error));
    match error {
        transfer::ImportError::Read { .. } | transfer::ImportError::NotAFile { .. } => {
            body(ErrorCode::Usage)
        }
        transfer::ImportError::Changed { .. } => body(ErrorCode::Failure)
            .with_hint("wait until nothing writes to the file, then publish again"),
        transfer::ImportError::Store {
            source: StorageError::Full,
            ..
        } => body(ErrorCode::Storage)
            .with_hint("free some space (`weft prune`, `weft df`) and run the command again"),
        transfer::ImportError::Store { .. } => body(ErrorCode::Storage)
            .with_hint("`weft doctor` checks the data directory and its disk"),
    }
}

/// A file could not be shown under its path.
pub(crate) fn place(error: &transfer::PlaceError) -> ErrorBody {
    let body = |code| ErrorBody::new(code, chain(error));
    match error {
        transfer::PlaceError::Incomplete(_) | transfer::PlaceError::Damaged(_) => {
            body(ErrorCode::Storage).with_hint("remove the revision (`weft rm`) and fetch it again")
        }
        transfer::PlaceError::NotADirectory(_) | transfer::PlaceError::Occupied(_) => {
            body(ErrorCode::Refused)
                .with_hint("move what stands there away, or choose another folder with `--to`")
        }
        transfer::PlaceError::Write {
            source: StorageError::Full,
            ..
        } => body(ErrorCode::Storage).with_hint(
            "free some space or choose another folder with `--to`, then run the command again",
        ),
        transfer::PlaceError::Write { .. } => {
            body(ErrorCode::Storage).with_hint("choose another folder with `--to`")
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
