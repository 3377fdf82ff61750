//! Checking receipts: here, or at another host.

use std::collections::BTreeSet;

use futures::StreamExt;
use weft_protocol::{
    id::NodeId,
    infer::{
        Complaint, Event, Fingerprint, Job, Numerics, Real, Receipt, Refusal, Retold, Said, Score,
        audit::{self, Evidence, Unchecked, Verdict},
        peer::{Question, Told},
        receipt::{Checked, Kept},
    },
};

use super::{Caller, Model, Question as Asking, asker::Asker};
use crate::service;

/// Hosts that are asked to check one receipt, until one does.
const AUDITORS_MAX: usize = 4;

/// What came of an audit.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) auditor: NodeId,
    pub(crate) numerics: Numerics,
    pub(crate) complaint: Option<Complaint>,
}

impl Report {
    /// Whether the receipt holds; `None` if that cannot be said.
    pub(crate) const fn agrees(&self) -> Option<bool> {
        match &self.verdict {
            Verdict::Agrees(_) => Some(true),
            Verdict::Differs(_) => Some(false),
            Verdict::Unchecked(_) => None,
        }
    }
}

/// What an auditor computed.
struct Scored {
    prompt_hash: [u8; 32],
    prompt_tokens: u32,
    fingerprints: Vec<Fingerprint>,
    gaps: Vec<Real>,
    retold: Option<Retold>,
    numerics: Numerics,
    auditor: NodeId,
}

impl Scored {
    /// Takes what an engine says, and by whom and how it was computed. `None` if it says something else.
    fn new(event: Event, numerics: Numerics, auditor: NodeId) -> Option<Self> {
        match event {
            Event::Scored {
                fingerprints,
                prompt_hash,
                gaps,
                prompt_tokens,
                retold,
            } => Some(Self {
                prompt_hash,
                prompt_tokens,
                fingerprints,
                gaps,
                retold,
                numerics,
                auditor,
            }),
            Event::Started { .. }
            | Event::Tokens { .. }
            | Event::Done { .. }
            | Event::Embedded { .. }
            | Event::Failed(_) => None,
        }
    }
}

impl Asker {
    /// Checks a receipt here if the model is, and else at another host: nobody reads a prompt without need.
    pub(super) async fn audit_anywhere(&self, kept: Kept) -> Result<Report, Refusal> {
        match self.audit_here(&kept).await {
            Err(Refusal::NotFound(_)) => self.audit_at_peer(&kept).await,
            other => other,
        }
    }

    /// Checks a receipt with the model on this node.
    pub(crate) async fn audit_here(&self, kept: &Kept) -> Result<Report, Refusal> {
        let receipt = self.opened(kept)?;
        let inner = self.inner();
        let model = Model {
            name: receipt.revision.fmt_short(),
            id: receipt.model(),
        };
        let mut events = inner.local.ask(Asking {
            model: model.clone(),
            job: score(kept, &receipt),
            caller: Caller::Local(u64::MAX),
            deadline: None,
            keep: None,
        });
        while let Some(event) = events.next().await {
            match event {
                scored @ Event::Scored { .. } => {
                    drop(events);
                    let described = inner.local.describe(model, Caller::Local(u64::MAX)).await?;
                    let numerics = Numerics {
                        weights: described.quantization,
                        kernel_class: described.kernel_class,
                    };
                    let scored = Scored::new(scored, numerics, inner.node);
                    let scored = scored.ok_or_else(unfinished)?;
                    return Ok(self.judge(kept, &receipt, scored).await);
                }
                Event::Failed(refusal) => return Err(refusal),
                Event::Started { .. }
                | Event::Tokens { .. }
                | Event::Done { .. }
                | Event::Embedded { .. } => {}
            }
        }
        Err(Refusal::Failed("the engine said nothing".to_owned()))
    }

    /// Checks a receipt at a host that is not the one it is about.
    pub(crate) async fn audit_at_peer(&self, kept: &Kept) -> Result<Report, Refusal> {
        let receipt = self.opened(kept)?;
        let inner = self.inner();
        let mut without = BTreeSet::from([receipt.node]);
        let mut last =
            Refusal::NotFound("no other peer that hosts this model was found".to_owned());
        let mut unsure = None;
        for _ in 0..AUDITORS_MAX {
            let Some(host) = inner.choose(receipt.revision, &without).await else {
                break;
            };
            without.insert(host);
            let question = Question::Ask {
                model: receipt.model(),
                job: Box::new(score(kept, &receipt)),
            };
            match self.scored(host, &question).await {
                Ok(scored) => {
                    let report = self.judge(kept, &receipt, scored).await;
                    if !is_for_another(&report.verdict) {
                        return Ok(report);
                    }
                    unsure = Some(report);
                }
                Err(refusal) => last = refusal,
            }
        }
        unsure.ok_or(last)
    }

    async fn scored(&self, host: NodeId, question: &Question) -> Result<Scored, Refusal> {
        let lost = |error: crate::transfer::NoAnswer| Refusal::Failed(error.to_string());
        let mut asked = self
            .inner()
            .transfer
            .ask_host(host, question)
            .await
            .map_err(lost)?;
        let mut found = None;
        while let Some(told) = asked.next().await.map_err(lost)? {
            match (told, found.take()) {
                (Told::Event(scored @ Event::Scored { .. }), None) => found = Some(scored),
                (Told::Computed(numerics), Some(scored)) => {
                    return Scored::new(scored, numerics, host).ok_or_else(unfinished);
                }
                (Told::Event(Event::Failed(refusal)), _) => return Err(refusal),
                (Told::Alive | Told::Event(Event::Started { .. }), before) => found = before,
                _ => break,
            }
        }
        Err(unfinished())
    }

    fn opened(&self, kept: &Kept) -> Result<Receipt, Refusal> {
        Receipt::open(self.inner().network, &kept.receipt)
            .map_err(|error| Refusal::Invalid(format!("this is no receipt: {error}")))
    }

    /// Compares, and draws the consequences.
    async fn judge(&self, kept: &Kept, receipt: &Receipt, scored: Scored) -> Report {
        let inner = self.inner();
        let verdict = audit::judge(
            receipt,
            &Evidence {
                answer: &kept.answer,
                terms_hash: kept.terms.hash(),
                prompt_hash: scored.prompt_hash,
                prompt_tokens: scored.prompt_tokens,
                fingerprints: &scored.fingerprints,
                gaps: &scored.gaps,
                retold: scored.retold,
                numerics: &scored.numerics,
            },
        );
        let now = service::unix();
        let mut complaint = None;
        let checked = match &verdict {
            Verdict::Agrees(measured) => Some((true, measured.difference)),
            Verdict::Differs(finding) => {
                // A node that asked itself has nobody to complain about.
                complaint = (receipt.node != inner.node).then(|| Complaint {
                    complainant: inner.node,
                    node: receipt.node,
                    receipt: receipt.id(),
                    revision: receipt.revision,
                    fault: finding.fault,
                    position: finding.position,
                    difference: Real::new(finding.difference),
                    tolerance: Real::new(finding.tolerance),
                    auditor: scored.auditor,
                    numerics: scored.numerics.clone(),
                    issued: now,
                });
                inner.hosts(|hosts, instant| hosts.shun(receipt.node, now, instant));
                tracing::warn!(host = %receipt.node.fmt_short(), ?finding, "a receipt does not hold: the host is not asked for a while");
                Some((false, finding.difference))
            }
            Verdict::Unchecked(_) => None,
        };
        if let Some((agrees, difference)) = checked {
            let mut kept = kept.clone();
            kept.checked = Some(Checked {
                agrees,
                auditor: scored.auditor,
                at: now,
                difference: Real::new(difference),
            });
            kept.complaint = complaint
                .as_ref()
                .map(|complaint| complaint.sign(inner.network, &inner.key));
            let (asker, id) = (self.clone(), receipt.id());
            let put = tokio::task::spawn_blocking(move || asker.receipts().put(id, &kept)).await;
            if let Ok(Err(error)) = put {
                tracing::warn!(%error, "the result of an audit cannot be kept");
            }
        }
        Report {
            verdict,
            auditor: scored.auditor,
            numerics: scored.numerics,
            complaint,
        }
    }
}

fn score(kept: &Kept, receipt: &Receipt) -> Job {
    Job::Score(Score {
        prompt: kept.prompt.clone(),
        answer: kept.answer.clone(),
        fingerprint_every: 1,
        said: Some(Said {
            sampling: receipt.sampling.clone(),
            terms: kept.terms.clone(),
            resumed_tokens: receipt.resumed_tokens,
        }),
    })
}

/// Whether an auditor with other kernels could say more.
const fn is_for_another(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Unchecked(Unchecked::OtherKernels { .. }))
}

fn unfinished() -> Refusal {
    Refusal::Failed("the auditor did not finish".to_owned())
}
