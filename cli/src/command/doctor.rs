//! `weft doctor`: finds out what is wrong with this installation.

mod checks;

use clap::Args;
use serde::Serialize;
use weft_node::api::ErrorCode;

use crate::{context::Context, failure::Reported, render::Style};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft doctor
  weft doctor --json | jq '.checks[] | select(.status != \"ok\")'

Exit code 1 means: at least one check failed.")]
pub(crate) struct Arguments {}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, message, None)
    }

    fn warn(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, message, Some(hint.into()))
    }

    fn fail(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(name, Status::Fail, message, Some(hint.into()))
    }

    fn new(
        name: &'static str,
        status: Status,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        Self {
            name,
            status,
            message: message.into(),
            hint,
        }
    }
}

/// All checks.
#[derive(Debug, Serialize)]
struct Report {
    healthy: bool,
    checks: Vec<Check>,
}

pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let checks = checks::all(context)?;
    let report = Report {
        healthy: checks.iter().all(|check| check.status != Status::Fail),
        checks,
    };
    let ids = |report: &Report| {
        let bad = report
            .checks
            .iter()
            .filter(|check| check.status != Status::Ok);
        bad.map(|check| check.name.to_owned()).collect()
    };
    context.screen.facts(&report, ids, human)?;
    if report.healthy {
        Ok(())
    } else {
        Err(Reported(ErrorCode::Failure).into())
    }
}

fn human(report: &Report, style: Style) -> String {
    let lines = report.checks.iter().map(|check| {
        let status = match check.status {
            Status::Ok => style.green("ok  "),
            Status::Warn => style.yellow("warn"),
            Status::Fail => style.red("fail"),
        };
        let hint = check
            .hint
            .as_ref()
            .map(|hint| format!("\n                hint: {hint}"))
            .unwrap_or_default();
        format!("{status}  {:<8}  {}{hint}", check.name, check.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_stand_under_what_is_wrong() {
        let report = Report {
            healthy: false,
            checks: vec![
                Check::ok("clock", "plausible"),
                Check::fail("disk", "full", "free some space"),
            ],
        };
        assert_eq!(
            human(&report, Style::plain()),
            "ok    clock     plausible\nfail  disk      full\n                hint: free some space"
        );
    }
}
