//! Hosting models for others, asking those who host, and checking what they signed.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use tokio::sync::mpsc;
use weft_protocol::{
    id::NodeId,
    infer::{
        Event, Finish, Generate, Job, Prompt, Real, Refusal, Sampling, audit::Verdict,
        hosts::Audience, receipt::Fault,
    },
    limits,
    service::{Command, Selector},
};

use super::{Operations, shutting_down};
use crate::{
    api::{
        AskPeersDone, AskPeersLine, AskPeersRequest, AuditRequest, AuditResult, Done, ErrorBody,
        ErrorCode, HostRequest, HostedResponse, HostedView, ReceiptView, ReceiptsResponse,
        UnhostRequest,
    },
    config, error, files,
    infer::{Found, Heard, Report},
};

impl Operations {
    /// Answers others' questions about a model from now on.
    pub(crate) async fn host(&self, request: HostRequest) -> Result<HostedView, ErrorBody> {
        let audience = audience(&request.to)?;
        let target = self.target(&request.reference).await?;
        let held = self.held(&target.repository).await?;
        let revision = match &target.selector {
            // The newest that is here, and not one that still has to come.
            Selector::Latest => match self.held_head(&target.repository).await? {
                (Some(tip), _) => tip.revision,
                (None, _) => return Err(not_here(&request.reference)),
            },
            Selector::Reference(_) | Selector::Revision(_) | Selector::Prefix(_) => {
                self.held_revision(&target).await?
            }
        };
        if !held.iter().any(|record| record.revision == revision) {
            return Err(not_here(&request.reference));
        }
        let mut pending = self
            .service
            .command(Command::Host {
                repository: target.repository.clone(),
                revision: Some(revision),
                audience: Some(audience.clone()),
            })
            .await;
        pending
            .answer()
            .await
            .map_err(|_| not_here(&request.reference))?;
        Ok(HostedView {
            repository: target.repository.to_string(),
            revision: revision.to_string(),
            to: audience_text(&audience),
        })
    }

    /// Stops that.
    pub(crate) async fn unhost(&self, request: UnhostRequest) -> Result<Done, ErrorBody> {
        let target = self.target(&request.reference).await?;
        let revision = self.held_or_all(&target).await?;
        let mut pending = self
            .service
            .command(Command::Host {
                repository: target.repository.clone(),
                revision,
                audience: None,
            })
            .await;
        pending.answer().await?;
        Ok(Done {
            message: Some(format!("`{}` is no longer hosted", target.repository)),
        })
    }

    /// What is hosted, and what was asked of others.
    pub(crate) async fn hosted(&self) -> Result<HostedResponse, ErrorBody> {
        let hosted = self
            .service
            .view(weft_protocol::service::Service::hosted)
            .await;
        let traffic = self.transfer.infer_traffic();
        Ok(HostedResponse {
            hosted: hosted
                .ok_or_else(shutting_down)?
                .into_iter()
                .map(|record| HostedView {
                    repository: record.repository.to_string(),
                    revision: record.revision.to_string(),
                    to: record.host.as_ref().map(audience_text).unwrap_or_default(),
                })
                .collect(),
            answered: traffic.answered,
            questions_sent: traffic.questions_sent,
            question_bytes_sent: traffic.bytes_sent,
        })
    }

    /// Asks peers. The answer is told line by line; dropping it cancels the question.
    pub(crate) async fn ask_peers(
        &self,
        request: AskPeersRequest,
        lines: &mpsc::Sender<AskPeersLine>,
    ) -> Result<(), ErrorBody> {
        let model = self.meant(&request.reference).await?;
        let is_told = self.home.peers_told().exists();
        if !is_told {
            let notice = format!("note: {}.", config::READ_BY_PEERS);
            let _ = lines.send(AskPeersLine::Notice(notice)).await;
        }
        let mut heard = self.asker.hear(model, Job::Generate(question(&request)));
        while let Some(heard) = heard.recv().await {
            let line = match heard {
                Heard::Host(host) => AskPeersLine::Host(host.to_string()),
                Heard::Receipt(id) => AskPeersLine::Receipt(id.to_string()),
                Heard::Unsigned(missing) => AskPeersLine::NoReceipt(missing.to_string()),
                Heard::Event(Event::Tokens { text, .. }) if !text.is_empty() => {
                    AskPeersLine::Text(text)
                }
                Heard::Event(Event::Done { finish, usage, .. }) => {
                    AskPeersLine::Done(AskPeersDone {
                        finish: finish_text(finish).to_owned(),
                        prompt_tokens: usage.prompt_tokens,
                        answer_tokens: usage.answer_tokens,
                    })
                }
                Heard::Event(Event::Failed(refusal)) => return Err(refused(&refusal)),
                Heard::Event(
                    Event::Started { .. }
                    | Event::Tokens { .. }
                    | Event::Embedded { .. }
                    | Event::Scored { .. },
                ) => continue,
            };
            if lines.send(line).await.is_err() {
                return Ok(());
            }
        }
        // Only who has taken the whole answer has seen what came first. If it cannot be noted, it is told once more.
        if !is_told && lines.reserve_many(lines.max_capacity()).await.is_ok() {
            let _ = files::write_private(&self.home.peers_told(), b"");
        }
        Ok(())
    }

    /// Receipts that are kept: all, or the one whose id begins so.
    pub(crate) async fn receipts(
        &self,
        start: Option<&str>,
    ) -> Result<ReceiptsResponse, ErrorBody> {
        let found = match start {
            None => {
                let asker = self.asker.clone();
                let all = tokio::task::spawn_blocking(move || asker.receipts().all()).await;
                all.map_err(|_| shutting_down())?
                    .map_err(|e| error::io("cannot read the receipts", &e))?
                    .into_iter()
                    .map(|found| view(&found, false))
                    .collect()
            }
            Some(start) => vec![view(&self.receipt(start).await?, true)],
        };
        Ok(ReceiptsResponse { receipts: found })
    }

    /// Checks a receipt.
    pub(crate) async fn audit(&self, request: AuditRequest) -> Result<AuditResult, ErrorBody> {
        let found = match &request.content {
            Some(content) => {
                let bytes = BASE64.decode(content.trim().as_bytes()).ok();
                let found = bytes.and_then(|bytes| self.asker.receipts().open(&bytes));
                found.ok_or_else(|| {
                    ErrorBody::new(
                        ErrorCode::Verification,
                        "this is not a receipt, or its signature is not its node's",
                    )
                })?
            }
            None => self.receipt(&request.receipt).await?,
        };
        let report = if request.peer {
            self.asker.audit_at_peer(&found.kept).await
        } else {
            self.asker.audit_here(&found.kept).await
        };
        let report = report.map_err(|refusal| {
            let error = refused(&refusal);
            if request.peer {
                error
            } else {
                error.with_hint("`weft fetch` the model to check it here, or let another host do it with `--peer`")
            }
        })?;
        Ok(audited(&found, &report))
    }

    async fn receipt(&self, start: &str) -> Result<Found, ErrorBody> {
        let (asker, start) = (self.asker.clone(), start.to_owned());
        let look = {
            let start = start.clone();
            move || asker.receipts().find(&start)
        };
        let found = tokio::task::spawn_blocking(look).await;
        let mut found = found
            .map_err(|_| shutting_down())?
            .map_err(|e| error::io("cannot read the receipts", &e))?;
        match (found.pop(), found.is_empty()) {
            (Some(found), true) if !start.is_empty() => Ok(found),
            (Some(_), _) => Err(ErrorBody::new(
                ErrorCode::Usage,
                format!("more than one receipt begins with `{start}`"),
            )
            .with_hint("write a few digits more")),
            (None, _) => Err(ErrorBody::new(
                ErrorCode::NotFound,
                format!("no receipt `{start}` is kept here"),
            )
            .with_hint("`weft receipts` lists them")),
        }
    }
}

fn question(request: &AskPeersRequest) -> Generate {
    let prompt = if request.raw {
        Prompt::Text {
            text: request.prompt.clone(),
            raw: false,
        }
    } else {
        let mut messages = Vec::new();
        if let Some(system) = &request.system {
            messages.push(serde_json::json!({"role": "system", "content": system}));
        }
        let before = request.before.iter();
        messages.extend(before.map(|message| serde_json::json!(message)));
        messages.push(serde_json::json!({"role": "user", "content": request.prompt}));
        Prompt::Chat {
            messages: serde_json::Value::from(messages).to_string(),
            tools: None,
            proceed: false,
        }
    };
    Generate {
        sampling: Sampling {
            temperature: Real::new(request.temperature),
            seed: request.seed.unwrap_or_else(|| fastrand::u64(..)),
            ..Sampling::greedy()
        },
        tokens_max: request.tokens_max,
        stop: request.stop.clone(),
        ..Generate::greedy(prompt)
    }
}

fn audience(to: &[String]) -> Result<Audience, ErrorBody> {
    let usage = |what: String| {
        ErrorBody::new(ErrorCode::Usage, what)
            .with_hint("write `everyone`, `follows`, or ids of nodes as `weft status` shows them")
    };
    match to {
        [] => Ok(Audience::Everyone),
        [one] if one == "everyone" => Ok(Audience::Everyone),
        [one] if one == "follows" => Ok(Audience::Follows),
        nodes if nodes.len() > limits::HOST_NODES_MAX => {
            let max = limits::HOST_NODES_MAX;
            Err(usage(format!("{} nodes are more than {max}", nodes.len())))
        }
        nodes => {
            let parse = |text: &String| {
                let id = text.parse::<NodeId>();
                id.map_err(|error| usage(format!("`{text}` is not a node's id: {error}")))
            };
            let nodes = nodes
                .iter()
                .map(parse)
                .collect::<Result<BTreeSet<_>, _>>()?;
            Ok(Audience::Nodes(nodes))
        }
    }
}

fn audience_text(audience: &Audience) -> Vec<String> {
    match audience {
        Audience::Everyone => vec!["everyone".to_owned()],
        Audience::Follows => vec!["follows".to_owned()],
        Audience::Nodes(nodes) => nodes.iter().map(ToString::to_string).collect(),
    }
}

fn not_here(reference: &str) -> ErrorBody {
    ErrorBody::new(
        ErrorCode::NotFound,
        format!("`{reference}` is not complete here, and only what is can be hosted"),
    )
    .with_hint("`weft fetch` gets it")
}

const fn finish_text(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Cancelled => "cancelled",
    }
}

fn refused(refusal: &Refusal) -> ErrorBody {
    let code = match refusal {
        Refusal::NotFound(_) => ErrorCode::NotFound,
        Refusal::Invalid(_) | Refusal::TooLong { .. } | Refusal::Unsupported(_) => ErrorCode::Usage,
        Refusal::Forbidden(_) | Refusal::Busy { .. } => ErrorCode::Refused,
        Refusal::Broken(_) | Refusal::Failed(_) => ErrorCode::Failure,
    };
    ErrorBody::new(code, refusal.to_string())
}

fn view(found: &Found, whole: bool) -> ReceiptView {
    let receipt = &found.receipt;
    ReceiptView {
        id: found.id.to_string(),
        node: receipt.node.to_string(),
        revision: receipt.revision.to_string(),
        file: receipt.file.as_ref().map(ToString::to_string),
        weights: receipt.numerics.weights.clone(),
        kernel_class: receipt.numerics.kernel_class.clone(),
        prompt_tokens: receipt.prompt_tokens,
        answer_tokens: receipt.answer_tokens,
        issued: receipt.issued.0,
        agrees: found.kept.checked.as_ref().map(|checked| checked.agrees),
        content: whole.then(|| BASE64.encode(&weft_protocol::wire::encode(&found.kept))),
    }
}

fn audited(found: &Found, report: &Report) -> AuditResult {
    let mut result = AuditResult {
        receipt: found.id.to_string(),
        node: found.receipt.node.to_string(),
        auditor: report.auditor.to_string(),
        verdict: "unchecked".to_owned(),
        message: String::new(),
        difference: None,
        tolerance: None,
        position: None,
        tokens: None,
        kernel_class: report.numerics.kernel_class.clone(),
        complaint: report.complaint.is_some(),
    };
    match &report.verdict {
        Verdict::Agrees(measured) => {
            result.verdict = "agrees".to_owned();
            result.message = format!(
                "{} logits are within {:.5} of the auditor's, each of {} tokens is one that they allow, and the text and its end are theirs",
                measured.logits, measured.difference, measured.tokens
            );
            result.difference = Some(measured.difference);
            result.tolerance = Some(measured.tolerance.logit);
            result.tokens = Some(measured.tokens);
        }
        Verdict::Differs(finding) => {
            result.verdict = "differs".to_owned();
            let what = match finding.fault {
                Fault::Prompt => "the host computed another prompt",
                Fault::Answer => "the answer has another length",
                Fault::Logits => "other weights, or another context, led to these logits",
                Fault::Token => "the logits do not lead to this token",
                Fault::Text => "the text that was told is not that of the tokens",
                Fault::Finish => "the answer did not end as the host says",
            };
            result.message = match finding.fault {
                Fault::Logits | Fault::Token if finding.tolerance > 0.0 => format!(
                    "{what}: at token {} by {:.5}, where {:.5} would be let pass",
                    finding.position, finding.difference, finding.tolerance
                ),
                Fault::Prompt | Fault::Text => what.to_owned(),
                Fault::Answer | Fault::Logits | Fault::Token | Fault::Finish => {
                    format!("{what}: at token {}", finding.position)
                }
            };
            result.difference = Some(finding.difference);
            result.tolerance = Some(finding.tolerance);
            result.position = Some(finding.position);
        }
        Verdict::Unchecked(reason) => result.message = reason.to_string(),
    }
    result
}
