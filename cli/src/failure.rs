//! How a failure looks and which exit code it has.
//!
//! A failure is a chain: what was attempted, then why it failed, from the outside in. The innermost link is
//! usually the node's [`ErrorBody`], which brings a code and a hint.

use std::{fmt, io, process::ExitCode};

use weft_node::api::{ErrorBody, ErrorCode, ErrorResponse};

use crate::render::Screen;

/// Ctrl-C, or a request to terminate.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A failure that the command has already told in full; only the exit code is left to set.
#[derive(Debug)]
pub(crate) struct Reported(pub(crate) ErrorCode);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("see above")
    }
}

impl std::error::Error for Reported {}

/// A failure of this program itself that has a code and a hint, in the node's own terms.
pub(crate) fn fail(
    code: ErrorCode,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> anyhow::Error {
    ErrorBody::new(code, message).with_hint(hint).into()
}

/// Prints a failure and names the program's exit code.
pub(crate) fn report(error: &anyhow::Error, screen: &Screen) -> ExitCode {
    // Whoever read our output has gone: nothing failed, and there is nobody to tell.
    if chain::<io::Error>(error).is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    if chain::<Reported>(error).is_some() {
        return ExitCode::from(code(error));
    }
    if screen.is_json() {
        let mut body = body(error);
        body.message = format!("{error:#}");
        // If stdout is gone, the text on stderr below still tells it.
        let _ = screen.json(&ErrorResponse { error: body });
    }
    screen.complain(&text(error));
    ExitCode::from(code(error))
}

/// The exit code that a failure has.
fn code(error: &anyhow::Error) -> u8 {
    if chain::<Interrupted>(error).is_some() {
        return 130;
    }
    match body(error).code {
        ErrorCode::Usage => 2,
        ErrorCode::NotFound => 3,
        ErrorCode::Verification => 4,
        ErrorCode::Refused => 5,
        ErrorCode::Offline => 6,
        ErrorCode::Cancelled => 130,
        ErrorCode::Storage | ErrorCode::Failure => 1,
    }
}

/// Whether another try may go better: too much was asked at once.
pub(crate) fn is_refused(error: &anyhow::Error) -> bool {
    chain::<ErrorBody>(error).is_some_and(|body| body.code == ErrorCode::Refused)
}

/// Whether the node said no, and this program itself has no trouble.
pub(crate) fn is_of_node(error: &anyhow::Error) -> bool {
    chain::<ErrorBody>(error).is_some()
}

/// `error: …`, one `cause: …` line per link, `hint: …`.
pub(crate) fn text(error: &anyhow::Error) -> String {
    let mut links = error.chain().map(ToString::to_string);
    let mut lines = vec![format!("error: {}", links.next().unwrap_or_default())];
    let mut last = lines.concat();
    for link in links {
        // Some libraries repeat the inner message in the outer one.
        if !last.contains(&link) {
            lines.push(format!("  cause: {link}"));
        }
        last = link;
    }
    if let Some(hint) = body(error).hint {
        lines.push(format!("hint: {hint}"));
    }
    lines.join("\n")
}

fn body(error: &anyhow::Error) -> ErrorBody {
    if chain::<Interrupted>(error).is_some() {
        return ErrorBody::new(ErrorCode::Cancelled, "interrupted")
            .with_hint("run the same command again: what has arrived is kept");
    }
    if let Some(Reported(code)) = chain::<Reported>(error) {
        return ErrorBody::new(*code, "see above");
    }
    chain::<ErrorBody>(error)
        .cloned()
        .unwrap_or_else(|| ErrorBody::new(ErrorCode::Failure, error.to_string()))
}

fn chain<E: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|link| link.downcast_ref::<E>())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn failing(code: ErrorCode) -> anyhow::Error {
        ErrorBody::new(code, "nobody has it").into()
    }

    #[test]
    fn each_code_has_its_exit_code() {
        for (code_, expected) in [
            (ErrorCode::Failure, 1),
            (ErrorCode::Storage, 1),
            (ErrorCode::Usage, 2),
            (ErrorCode::NotFound, 3),
            (ErrorCode::Verification, 4),
            (ErrorCode::Refused, 5),
            (ErrorCode::Offline, 6),
            (ErrorCode::Cancelled, 130),
        ] {
            let error = failing(code_).context("could not fetch");
            assert_eq!(code(&error), expected, "{code_:?}");
        }
        assert_eq!(code(&anyhow::anyhow!("surprise")), 1);
        assert_eq!(code(&Interrupted.into()), 130);
        assert_eq!(code(&Reported(ErrorCode::Verification).into()), 4);
    }

    #[test]
    fn text_tells_attempt_cause_and_hint() {
        let error: anyhow::Error = fail(
            ErrorCode::NotFound,
            "`a/b` was not found (asked 3 peers)",
            "check the spelling",
        );
        let error = Err::<(), _>(error)
            .context("could not fetch `a/b`")
            .unwrap_err();
        assert_eq!(
            text(&error),
            "error: could not fetch `a/b`\n  cause: `a/b` was not found (asked 3 peers)\nhint: check the spelling"
        );
    }

    #[test]
    fn repeated_causes_are_told_once() {
        let inner = io::Error::other("disk on fire");
        let error = anyhow::Error::new(inner).context("write failed: disk on fire");
        assert_eq!(text(&error), "error: write failed: disk on fire");
    }
}
