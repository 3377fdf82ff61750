//! `weft verify`: checks every byte against the publisher's signature.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{ErrorCode, VerifyRequest, VerifyResult, route};

use crate::{
    context::Context,
    failure::fail,
    render::{Style, repository, short_revision},
    units::{Size, count},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft verify alice/tiny                          what this node holds
  weft verify alice/tiny@v1.0 --dir ./copy        any other copy, on a stick for instance

Exit code 4 means: at least one file is not what was signed.")]
pub(crate) struct Arguments {
    /// Which revision
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Check the files in this folder instead
    #[arg(long, value_name = "DIR", help_heading = "What")]
    pub(crate) dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let directory = arguments
        .dir
        .map(|dir| {
            let canonical = dir
                .canonicalize()
                .with_context(|| format!("could not read `{}`", dir.display()))?;
            anyhow::Ok(canonical.to_string_lossy().into_owned())
        })
        .transpose()?;
    let request = VerifyRequest {
        reference: arguments.reference,
        directory,
    };
    let client = context.local()?;
    let mut meter = context.screen.meter();
    let verified: anyhow::Result<VerifyResult> =
        client.stream(route::VERIFY, &request, |progress| meter.update(progress));
    drop(meter);
    let attempt = || format!("could not verify `{}`", request.reference);
    let verified = verified.with_context(attempt)?;
    if verified.verified {
        context
            .screen
            .facts(&verified, |verified| vec![verified.revision.clone()], human)?;
        return Ok(());
    }
    if context.screen.is_json() {
        context.screen.json(&verified)?;
        // The object on stdout says everything; a second one would confuse its reader.
        context
            .screen
            .complain(&human(&verified, context.screen.talk_style()));
        return Err(crate::failure::Reported(ErrorCode::Verification).into());
    }
    context
        .screen
        .complain(&human(&verified, context.screen.talk_style()));
    Err(fail(
        ErrorCode::Verification,
        format!(
            "{} of {} files are not what the publisher signed",
            verified.damaged.len(),
            verified.files
        ),
        "`weft rm` and `weft fetch` it again; what is undamaged elsewhere is reused",
    ))
    .with_context(attempt)
}

fn human(verified: &VerifyResult, style: Style) -> String {
    let name = format!(
        "{}@{}",
        repository(&verified.repository, None),
        short_revision(&verified.revision)
    );
    if verified.verified {
        return format!(
            "{} {name}: {}, {}, every byte as signed",
            style.green("verified"),
            count(verified.files, "file"),
            Size(verified.bytes_total)
        );
    }
    let damaged = verified
        .damaged
        .iter()
        .map(|file| format!("{} {}: {}", style.red("damaged"), file.path, file.reason));
    damaged.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use weft_node::api::DamagedFile;

    use super::*;

    #[test]
    fn damaged_files_are_named() {
        let result = VerifyResult {
            repository: "p/n".to_owned(),
            revision: "00".to_owned(),
            files: 2,
            bytes_total: 10,
            verified: false,
            damaged: vec![DamagedFile {
                path: "a.bin".to_owned(),
                reason: "its hash differs".to_owned(),
            }],
        };
        assert_eq!(
            human(&result, Style::plain()),
            "damaged a.bin: its hash differs"
        );
        let good = VerifyResult {
            verified: true,
            ..result
        };
        assert!(human(&good, Style::plain()).contains("2 files, 10 B, every byte as signed"));
    }
}
