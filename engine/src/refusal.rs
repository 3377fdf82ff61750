//! Short ways to say why not.

use std::fmt::Display;

use weft_protocol::infer::Refusal;

/// The model's files are not what they must be.
pub(crate) fn broken(why: impl Into<String>) -> Refusal {
    Refusal::Broken(why.into())
}

/// This engine cannot do that.
pub(crate) fn unsupported(why: impl Into<String>) -> Refusal {
    Refusal::Unsupported(why.into())
}

/// The request makes no sense.
pub(crate) fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::Invalid(why.into())
}

/// Errors of libraries as refusals.
pub(crate) trait OrRefuse<T> {
    /// The model's files are to blame.
    fn or_broken(self, what: impl FnOnce() -> String) -> Result<T, Refusal>;
    /// This engine is to blame.
    fn or_failed(self, what: &str) -> Result<T, Refusal>;
}

impl<T, E: Display> OrRefuse<T> for Result<T, E> {
    fn or_broken(self, what: impl FnOnce() -> String) -> Result<T, Refusal> {
        self.map_err(|error| broken(format!("{}: {error}", what())))
    }

    fn or_failed(self, what: &str) -> Result<T, Refusal> {
        self.map_err(|error| Refusal::Failed(format!("{what}: {error}")))
    }
}

/// Computing fails with the library's own errors, loading with refusals.
pub(crate) type Result<T, E = candle_core::Error> = std::result::Result<T, E>;
