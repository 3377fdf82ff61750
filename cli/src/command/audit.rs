//! `weft audit`: checks what a peer signed about an answer.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{AuditRequest, AuditResult, ErrorCode, route};

use crate::{
    context::Context,
    failure::fail,
    render::{Style, fields},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft audit 3f9a                                 computes the answer's logits again on this node
  weft audit 3f9a --peer                          on another peer that hosts the model: it can then
                                                  read the prompt and the answer
  weft audit answer.receipt                       a file that `weft receipts ID` wrote elsewhere

Exit code 4: the receipt does not hold. The peer that signed it is then not asked for a day, and
this node signs a complaint.")]
pub(crate) struct Arguments {
    /// The id of a receipt, the start of one, or a file
    #[arg(value_name = "RECEIPT")]
    pub(crate) receipt: String,
    /// Let another peer compute it: it can read the prompt and the answer
    #[arg(long)]
    pub(crate) peer: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let client = context.running("check a receipt")?;
    let path = Path::new(&arguments.receipt);
    let mut request = AuditRequest {
        peer: arguments.peer,
        ..AuditRequest::default()
    };
    if path.is_file() {
        let content = std::fs::read_to_string(path)
            .with_context(|| format!("could not read `{}`", path.display()))?;
        request.content = Some(content);
    } else {
        request.receipt.clone_from(&arguments.receipt);
    }
    let result: AuditResult = client
        .post(route::AUDIT, &request)
        .with_context(|| format!("could not check `{}`", arguments.receipt))?;
    context
        .screen
        .facts(&result, |result| vec![result.verdict.clone()], human)?;
    match result.verdict.as_str() {
        "agrees" => Ok(()),
        "differs" => Err(fail(
            ErrorCode::Verification,
            "the receipt does not hold",
            "the peer that signed it is not asked for a while; `weft receipts` shows the others",
        )),
        _ => Err(fail(
            ErrorCode::Failure,
            "the receipt could not be checked",
            "try again with `--peer`, or on a machine that has the model",
        )),
    }
}

fn human(result: &AuditResult, style: Style) -> String {
    fields(
        &[
            ("Receipt", result.receipt.clone()),
            ("Answered by", result.node.clone()),
            ("Checked by", result.auditor.clone()),
            ("Verdict", result.verdict.clone()),
            ("", result.message.clone()),
        ],
        style,
    )
}
