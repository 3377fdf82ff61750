//! Errors as the API tells them: a code for programs, a sentence for people, a hint what to do.

use std::fmt;

use serde::{Deserialize, Serialize};
use weft_protocol::service::CommandError;

/// What kind of failure it is. Each has one HTTP status and, in the CLI, one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Nobody who was asked knows it.
    NotFound,
    /// There is nobody to ask, or nobody who has the bytes.
    Offline,
    /// A hash or signature is wrong.
    Verification,
    /// Policy or a limit says no; frozen repositories and forked identities too.
    Refused,
    /// The request makes no sense: a malformed reference, a missing directory, a wrong phrase.
    Usage,
    /// The disk or database failed.
    Storage,
    /// The user ended it.
    Cancelled,
    /// Anything else.
    #[serde(other)]
    Failure,
}

impl ErrorCode {
    /// The HTTP status of a short answer with this error.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Offline => 503,
            Self::Verification => 422,
            Self::Refused => 403,
            Self::Usage => 400,
            Self::Storage => 507,
            Self::Cancelled => 409,
            Self::Failure => 500,
        }
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What kind.
    pub code: ErrorCode,
    /// What happened, lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ErrorBody {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ErrorBody {}

/// The body of every answer whose status is not 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// The failure.
    pub error: ErrorBody,
}

impl From<CommandError> for ErrorBody {
    fn from(error: CommandError) -> Self {
        let (code, hint) = match &error {
            CommandError::NotFound { asked: 0, .. } => (
                ErrorCode::NotFound,
                Some("no peer could be asked; `weft peers` shows who is connected"),
            ),
            CommandError::NotFound { .. } => (
                ErrorCode::NotFound,
                Some(
                    "check the spelling; the publisher may be offline and nobody may mirror it yet",
                ),
            ),
            CommandError::Offline => (
                ErrorCode::Offline,
                Some(
                    "name a node that is reachable with `--bootstrap ADDRESS`, or start one on this LAN",
                ),
            ),
            CommandError::NoProviders { .. } => (
                ErrorCode::Offline,
                Some("what arrived is kept: run the same command again when a seed is back"),
            ),
            CommandError::Verification(_) => (
                ErrorCode::Verification,
                Some(
                    "nothing unverified was kept; try again, and tell the publisher if it happens again",
                ),
            ),
            CommandError::Frozen(_) | CommandError::Forked(_) => (
                ErrorCode::Refused,
                Some(
                    "ask the publisher over another channel; a revision can still be fetched by its full id",
                ),
            ),
            CommandError::Refused(_) => (ErrorCode::Refused, None),
            CommandError::DiskFull => (
                ErrorCode::Storage,
                Some("free some space (`weft df`, `weft prune`) and run the same command again"),
            ),
            CommandError::Storage(_) => (
                ErrorCode::Storage,
                Some("`weft doctor` checks the data directory and its disk"),
            ),
            CommandError::Cancelled => (ErrorCode::Cancelled, None),
        };
        Self {
            code,
            message: error.to_string(),
            hint: hint.map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_snake_case_and_unknown_ones_are_failures() {
        let text = serde_json::to_string(&ErrorCode::NotFound).unwrap();
        assert_eq!(text, r#""not_found""#);
        let code: ErrorCode = serde_json::from_str(r#""out_of_tea""#).unwrap();
        assert_eq!(code, ErrorCode::Failure);
    }

    #[test]
    fn command_errors_keep_their_kind() {
        let code = |error: CommandError| ErrorBody::from(error).code;
        assert_eq!(code(CommandError::Offline), ErrorCode::Offline);
        assert_eq!(code(CommandError::DiskFull), ErrorCode::Storage);
        assert_eq!(
            code(CommandError::NotFound {
                what: "x".to_owned(),
                asked: 3
            }),
            ErrorCode::NotFound
        );
        assert_eq!(
            code(CommandError::Refused("quota".to_owned())),
            ErrorCode::Refused
        );
    }
}
