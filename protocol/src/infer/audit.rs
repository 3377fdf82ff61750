//! Whether a receipt holds: what another host computes for the same tokens, held against what was signed.
//!
//! Greedy text is no measure: near ties fall either way on another processor. So the auditor does not write an answer of
//! its own. It is given prompt and answer, computes the logits at every token as the host did, one after the other
//! (forced decoding, [`super::job::Score`]), and these are compared: the prompt it saw, the signed logits with its own, each
//! token with what its logits allow under the receipt's parameters, the text of the tokens with the text that was told, and
//! where the answer ended. How far logits may lie apart depends on the weights and on whether both ran the same kernels;
//! the figures come from measurements (`docs/performance.md`). Which kernels a host ran is its own word: where they are said
//! to be others than the auditor's, there is a zone between what agrees and what differs in which nothing is said.

mod bounds;
#[cfg(test)]
mod tests;

pub use bounds::{Bounds, Tolerance};

use super::{
    Fingerprint, Finish, Numerics, Real, Receipt, Retold,
    receipt::{Fault, answer_hash},
};

/// What an auditor computed for a receipt's prompt and answer.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The answer's tokens as they were told.
    pub answer: &'a [u32],
    /// [`super::Terms::hash`] of what was to end the answer, as it was told.
    pub terms_hash: [u8; 32],
    /// BLAKE3 of the prompt's tokens as the auditor sees them.
    pub prompt_hash: [u8; 32],
    /// How many they are.
    pub prompt_tokens: u32,
    /// The auditor's logits, at every token of the answer.
    pub fingerprints: &'a [Fingerprint],
    /// [`super::Event::Scored`]'s gaps, at every token of the answer.
    pub gaps: &'a [Real],
    /// How the answer reads to the auditor.
    pub retold: Option<Retold>,
    /// How it computed them.
    pub numerics: &'a Numerics,
}

/// What came of an audit.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It holds.
    Agrees(Measured),
    /// It does not.
    Differs(Finding),
    /// It cannot be said.
    Unchecked(Unchecked),
}

/// How nearly a receipt and an auditor agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Largest difference of a logit.
    pub difference: f32,
    /// The root of the mean of all squared ones.
    pub mean: f32,
    /// What would be let pass.
    pub tolerance: Tolerance,
    /// Logits that were compared.
    pub logits: u32,
    /// Tokens that were held against what their logits allow.
    pub tokens: u32,
}

/// What is wrong with a receipt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// What.
    pub fault: Fault,
    /// At which token of the answer.
    pub position: u32,
    /// By how much.
    pub difference: f32,
    /// How much is let pass.
    pub tolerance: f32,
}

/// Why a receipt could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unchecked {
    /// What is at hand is not what the receipt is about, so nothing can be said about the node that signed.
    #[error("the question or the answer at hand is not the one that the receipt is about")]
    OtherAnswer,
    /// The auditor left out tokens.
    #[error("the auditor says nothing about token {0} of the answer")]
    Silent(u32),
    /// The auditor left out the text.
    #[error("the auditor does not say how the answer reads")]
    Unread,
    /// There is nothing in it that could be checked.
    #[error("the answer is empty")]
    Empty,
    /// The kernels are said to be others than the auditor's, and that may or may not be why the logits are.
    #[error(
        "the auditor's numbers are further from the host's than other kernels make likely, and not so far that it could not be these: \
         an auditor whose kernels are `{wanted}` can tell"
    )]
    OtherKernels {
        /// The class that the receipt names.
        wanted: String,
    },
    /// It is shorter than asked for, and nothing in it ends it. Hosts have limits of their own, which nobody else knows.
    #[error(
        "all of it is right, but it breaks off before what was asked for: by a limit of the host's, if it is honest"
    )]
    BrokenOff,
}

/// Judges a receipt. Its signature was checked before.
pub fn judge(receipt: &Receipt, evidence: &Evidence<'_>) -> Verdict {
    if answer_hash(evidence.answer) != receipt.answer_hash
        || evidence.terms_hash != receipt.terms_hash
    {
        return Verdict::Unchecked(Unchecked::OtherAnswer);
    }
    match compare(receipt, evidence) {
        Ok(measured) => Verdict::Agrees(measured),
        Err(verdict) => verdict,
    }
}

fn differs(fault: Fault, position: u32, difference: f32, tolerance: f32) -> Verdict {
    Verdict::Differs(Finding {
        fault,
        position,
        difference,
        tolerance,
    })
}

fn compare(receipt: &Receipt, evidence: &Evidence<'_>) -> Result<Measured, Verdict> {
    let wrong = |fault, position| Err(differs(fault, position, 0.0, 0.0));
    if evidence.prompt_hash != receipt.prompt_hash
        || evidence.prompt_tokens != receipt.prompt_tokens
    {
        return wrong(Fault::Prompt, 0);
    }
    if receipt.numerics.weights != evidence.numerics.weights {
        return wrong(Fault::Logits, 0);
    }
    let len = u32::try_from(evidence.answer.len()).unwrap_or(u32::MAX);
    if len != receipt.answer_tokens {
        return wrong(Fault::Answer, len.min(receipt.answer_tokens));
    }
    let bounds = Bounds::between(&receipt.numerics, evidence.numerics);
    let mut sum = Sum::default();
    for print in &receipt.fingerprints {
        let Some(own) = at(evidence.fingerprints, print.position) else {
            return Err(Verdict::Unchecked(Unchecked::Silent(print.position)));
        };
        // Who signs fewer logits has fewer held against him, and those of the others make the mean smaller.
        if print.top.len() < own.top.len() {
            return wrong(Fault::Logits, print.position);
        }
        sum.compare(print, own);
    }
    if sum.count == 0 {
        return Err(Verdict::Unchecked(Unchecked::Empty));
    }
    let (mean, largest) = (sum.mean(), sum.largest);
    for (difference, far) in [(largest, bounds.far.logit), (mean, bounds.far.mean)] {
        if difference > far {
            return Err(differs(Fault::Logits, sum.position, difference, far));
        }
    }
    let near = largest <= bounds.near.logit && mean <= bounds.near.mean;
    let (tokens, near_tokens) = judge_tokens(receipt, evidence, bounds)?;
    let end = judge_end(receipt, evidence);
    if let Err(verdict @ Verdict::Differs(_)) = end {
        return Err(verdict);
    }
    if !(near && near_tokens) {
        let wanted = receipt.numerics.kernel_class.clone();
        return Err(Verdict::Unchecked(Unchecked::OtherKernels { wanted }));
    }
    end?;
    Ok(Measured {
        difference: largest,
        mean,
        tolerance: bounds.near,
        logits: sum.count,
        tokens,
    })
}

/// Holds each token drawn against what its logits allow. Returns how many, and whether all are near.
fn judge_tokens(
    receipt: &Receipt,
    evidence: &Evidence<'_>,
    bounds: Bounds,
) -> Result<(u32, bool), Verdict> {
    let len = u32::try_from(evidence.gaps.len()).unwrap_or(u32::MAX);
    if len < receipt.answer_tokens {
        return Err(Verdict::Unchecked(Unchecked::Silent(len)));
    }
    let temperature = receipt.sampling.temperature.get();
    let draws = temperature > 0.0;
    let heat = if draws { temperature } else { 1.0 };
    let (mut tokens, mut near) = (0_u32, true);
    let gaps = (0_u32..)
        .zip(evidence.gaps)
        .map(|(at, gap)| (at, gap.get()));
    let gaps = gaps.skip_while(|(at, _)| *at < receipt.resumed_tokens);
    for (position, gap) in gaps {
        // Two logits may each be off by as much; shares of the probability move no further than their logits do. Of a
        // token that was cut off, what is told is by how much logits must be off for it not to be.
        let (least, most) = match draws && gap >= 1.0 {
            true => (1.0 + bounds.near.logit, 1.0 + bounds.far.logit),
            false => (
                2.0 * bounds.near.logit / heat,
                2.0 * bounds.far.logit / heat,
            ),
        };
        if gap > most {
            return Err(differs(Fault::Token, position, gap, most));
        }
        near &= gap <= least;
        tokens = tokens.saturating_add(1);
    }
    Ok((tokens, near))
}

/// Holds the text, and where it ends, against what the tokens say.
fn judge_end(receipt: &Receipt, evidence: &Evidence<'_>) -> Result<(), Verdict> {
    let retold = evidence
        .retold
        .ok_or(Verdict::Unchecked(Unchecked::Unread))?;
    match (retold.ended, receipt.finish) {
        (Some(ended), finish)
            if ended.tokens == receipt.answer_tokens && ended.finish == finish => {}
        (None, Finish::Length | Finish::Cancelled) => {}
        (Some(ended), _) => return Err(differs(Fault::Finish, ended.tokens, 0.0, 0.0)),
        (None, Finish::Stop) => {
            return Err(differs(Fault::Finish, receipt.answer_tokens, 0.0, 0.0));
        }
    }
    if retold.text_hash != receipt.text_hash {
        return Err(differs(Fault::Text, receipt.resumed_tokens, 0.0, 0.0));
    }
    match retold.ended {
        Some(_) => Ok(()),
        None => Err(Verdict::Unchecked(Unchecked::BrokenOff)),
    }
}

fn at(fingerprints: &[Fingerprint], position: u32) -> Option<&Fingerprint> {
    let at = fingerprints.binary_search_by_key(&position, |print| print.position);
    at.ok().and_then(|at| fingerprints.get(at))
}

/// Differences seen so far.
#[derive(Debug, Default)]
struct Sum {
    largest: f32,
    position: u32,
    squares: f64,
    count: u32,
}

impl Sum {
    /// Compares two fingerprints of one place. A token that only one of them has lies, for the other, at most at the
    /// end of its list.
    fn compare(&mut self, signed: &Fingerprint, own: &Fingerprint) {
        for (a, b) in [(signed, own), (own, signed)] {
            let last = b.top.last().map_or(f32::MAX, |(_, logit)| logit.get());
            for (id, logit) in &a.top {
                let other = b.top.iter().find(|(other, _)| other == id);
                let difference = match other {
                    Some((_, other)) => (logit.get() - other.get()).abs(),
                    None => (logit.get() - last).max(0.0),
                };
                self.count = self.count.saturating_add(1);
                self.squares += f64::from(difference) * f64::from(difference);
                if difference > self.largest {
                    self.largest = difference;
                    self.position = signed.position;
                }
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mean of differences of 32-bit floats is one again"
    )]
    fn mean(&self) -> f32 {
        (self.squares / f64::from(self.count.max(1))).sqrt() as f32
    }
}
