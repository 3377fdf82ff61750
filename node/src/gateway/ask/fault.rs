//! Why a question is not answered, in terms that each endpoint has words for.

use weft_protocol::infer::Refusal;

use crate::api::{ErrorBody, ErrorCode};

/// What sort of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Kind {
    /// The request makes no sense, or asks for what cannot be done.
    Invalid,
    /// No such model.
    NoModel,
    /// Not for this asker.
    Forbidden,
    /// Too much waits; come again.
    Busy,
    /// This node or its engine failed.
    Failed,
}

/// Why a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Fault {
    pub(in crate::gateway) kind: Kind,
    pub(in crate::gateway) status: u16,
    /// A word for programs.
    pub(in crate::gateway) code: Option<&'static str>,
    pub(in crate::gateway) message: String,
    /// The field of the request.
    pub(in crate::gateway) param: Option<String>,
    /// Seconds after which another try makes sense.
    pub(in crate::gateway) retry_seconds: Option<u32>,
}

impl Fault {
    fn new(
        kind: Kind,
        status: u16,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            status,
            code,
            message: message.into(),
            param: None,
            retry_seconds: None,
        }
    }

    pub(in crate::gateway) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, 400, None, message)
    }

    pub(in crate::gateway) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, 400, Some("unsupported"), message)
    }

    pub(in crate::gateway) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, 500, None, message)
    }

    pub(in crate::gateway) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, 403, None, message)
    }

    pub(in crate::gateway) fn too_large(len_max: usize) -> Self {
        let message = format!("the body is cut short or larger than {len_max} bytes");
        Self::new(Kind::Invalid, 413, Some("request_too_large"), message)
    }

    /// The same, and which field is wrong.
    #[must_use]
    pub(in crate::gateway) fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Why a name does not lead to a model.
    pub(in crate::gateway) fn of_model(name: &str, error: &ErrorBody) -> Self {
        match error.code {
            ErrorCode::NotFound | ErrorCode::Usage | ErrorCode::Offline => {
                let message = format!("model '{name}' not found: {error}");
                Self::new(Kind::NoModel, 404, Some("model_not_found"), message).at("model")
            }
            ErrorCode::Refused => Self::forbidden(error.message.clone()),
            ErrorCode::Verification
            | ErrorCode::Storage
            | ErrorCode::Cancelled
            | ErrorCode::Failure => Self::failed(error.message.clone()),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Busy { retry_millis } => Self {
                retry_seconds: Some(retry_millis.div_ceil(1_000)),
                ..Self::new(Kind::Busy, 429, Some("rate_limit_exceeded"), message)
            },
            Refusal::TooLong { .. } => {
                Self::new(Kind::Invalid, 400, Some("context_length_exceeded"), message)
            }
            Refusal::Invalid(_) => Self::invalid(message),
            Refusal::Unsupported(_) => Self::unsupported(message),
            Refusal::Broken(_) => Self::new(Kind::Invalid, 422, Some("model_broken"), message),
            Refusal::NotFound(_) => {
                Self::new(Kind::NoModel, 404, Some("model_not_found"), message).at("model")
            }
            Refusal::Forbidden(_) => Self::forbidden(message),
            Refusal::Failed(_) => Self::failed(message),
        }
    }
}

impl From<ErrorBody> for Fault {
    fn from(error: ErrorBody) -> Self {
        match error.code {
            ErrorCode::Usage | ErrorCode::NotFound => Self::invalid(error.message),
            ErrorCode::Refused => Self::forbidden(error.message),
            ErrorCode::Offline
            | ErrorCode::Verification
            | ErrorCode::Storage
            | ErrorCode::Cancelled
            | ErrorCode::Failure => Self::failed(error.message),
        }
    }
}
