//! Whether a receipt holds: what another host computes for the same tokens, held against what was signed.
//!
//! Greedy text is no measure: near ties fall either way on another processor. So the auditor does not write an answer of
//! its own. It is given prompt and answer, computes the logits at every token as the host did, one after the other
//! (forced decoding, [`super::job::Score`]), and three things are compared: the prompt it saw, the signed logits with its own, and each
//! token with what its logits allow under the receipt's parameters. How far logits may lie apart depends on the weights
//! and on whether both ran the same kernels; the figures come from measurements (`docs/performance.md`).

#[cfg(test)]
mod tests;

use super::{
    Fingerprint, Numerics, Real, Receipt, Sampling,
    receipt::{Fault, answer_hash},
};

/// What an auditor computed for a receipt's prompt and answer.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The answer's tokens as they were told.
    pub answer: &'a [u32],
    /// BLAKE3 of the prompt's tokens as the auditor sees them.
    pub prompt_hash: [u8; 32],
    /// The auditor's logits, at every token of the answer.
    pub fingerprints: &'a [Fingerprint],
    /// [`super::Event::Scored`]'s gaps; empty where the auditor cannot tell.
    pub gaps: &'a [Real],
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
    /// The answer given is not the one the receipt is about, so nothing can be said about the node that signed.
    #[error("the answer at hand is not the one that the receipt is about")]
    OtherAnswer,
    /// The auditor left out tokens.
    #[error("the auditor says nothing about token {0} of the answer")]
    Silent(u32),
    /// There is nothing in it that could be checked.
    #[error("the answer is empty")]
    Empty,
}

/// How much is let pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Of a single logit.
    pub logit: f32,
    /// Of the root of the mean of squares.
    pub mean: f32,
}

/// How the names of our own kernels' classes begin. `weft-2` computes the same bits on every processor; what began with
/// `weft-1/` went on with the instructions, and two that differed in these differed in bits.
const EXACT: &str = "weft-";

impl Tolerance {
    /// Whether kernels of this class compute each number in the same order of steps, whatever else they compute beside it.
    pub fn is_exact(kernel_class: &str) -> bool {
        kernel_class.starts_with(EXACT)
    }

    /// Between a receipt and an auditor. The auditor's weights count: it read them from the file, the receipt only
    /// claims them.
    pub fn between(receipt: &Numerics, auditor: &Numerics) -> Self {
        let same = receipt.kernel_class == auditor.kernel_class;
        let whole = matches!(auditor.weights.as_str(), "F32" | "F16" | "BF16");
        let exact = Self::is_exact(&auditor.kernel_class);
        let (logit, mean) = match (whole, same) {
            (true, true) => (0.002, 0.0005),
            (true, false) => (0.01, 0.003),
            (false, true) if exact => (0.01, 0.003),
            // The pass has another shape, and an activation falls to another step now and then.
            (false, true) => (0.08, 0.027),
            (false, false) => (0.16, 0.05),
        };
        Self { logit, mean }
    }
}

/// Judges a receipt. Its signature was checked before.
pub fn judge(receipt: &Receipt, evidence: &Evidence<'_>) -> Verdict {
    if answer_hash(evidence.answer) != receipt.answer_hash {
        return Verdict::Unchecked(Unchecked::OtherAnswer);
    }
    let tolerance = Tolerance::between(&receipt.numerics, evidence.numerics);
    let finding = |fault, position, difference, tolerance| {
        Verdict::Differs(Finding {
            fault,
            position,
            difference,
            tolerance,
        })
    };
    if evidence.prompt_hash != receipt.prompt_hash {
        return finding(Fault::Prompt, 0, 0.0, 0.0);
    }
    if receipt.numerics.weights != evidence.numerics.weights {
        return finding(Fault::Logits, 0, 0.0, 0.0);
    }
    let len = u32::try_from(evidence.answer.len()).unwrap_or(u32::MAX);
    if len != receipt.answer_tokens {
        return finding(Fault::Answer, len.min(receipt.answer_tokens), 0.0, 0.0);
    }
    let mut sum = Sum::default();
    for print in &receipt.fingerprints {
        let Some(own) = at(evidence.fingerprints, print.position) else {
            return Verdict::Unchecked(Unchecked::Silent(print.position));
        };
        sum.compare(print, own);
    }
    let mean = sum.mean();
    if sum.largest > tolerance.logit {
        let difference = sum.largest;
        return finding(Fault::Logits, sum.position, difference, tolerance.logit);
    }
    if mean > tolerance.mean {
        return finding(Fault::Logits, sum.position, mean, tolerance.mean);
    }
    let tokens = match judge_tokens(receipt, evidence, tolerance) {
        Ok(tokens) => tokens,
        Err(verdict) => return verdict,
    };
    if sum.count == 0 {
        return Verdict::Unchecked(Unchecked::Empty);
    }
    Verdict::Agrees(Measured {
        difference: sum.largest,
        mean,
        tolerance,
        logits: sum.count,
        tokens,
    })
}

/// From this tolerance on, a token that was cut off for the auditor may have been drawn by the host.
const CUT_UNSURE: f32 = 0.1;

/// Holds each token drawn against what its logits allow.
fn judge_tokens(
    receipt: &Receipt,
    evidence: &Evidence<'_>,
    tolerance: Tolerance,
) -> Result<u32, Verdict> {
    let mut tokens = 0_u32;
    let temperature = receipt.sampling.temperature.get();
    let heat = if temperature > 0.0 { temperature } else { 1.0 };
    // Two logits may each be off by as much; shares of the probability move no further than their logits do.
    let allowed = 2.0 * tolerance.logit / heat;
    let answer = (0_u32..).zip(evidence.answer);
    for (position, token) in answer.skip_while(|(at, _)| *at < receipt.resumed_tokens) {
        let told = usize::try_from(position)
            .ok()
            .and_then(|at| evidence.gaps.get(at))
            .filter(|_| receipt.constrained == 0)
            .map(|gap| gap.get());
        let gap = match told {
            Some(gap) => gap,
            None if receipt.constrained == 0 && receipt.sampling.takes_the_likeliest() => {
                let own = at(evidence.fingerprints, position);
                let own = own.ok_or(Verdict::Unchecked(Unchecked::Silent(position)))?;
                gap_of(own, *token)
            }
            None => continue,
        };
        // Which tokens are cut off before a draw is as uncertain as the logits at the edge.
        if temperature > 0.0 && gap >= 1.0 && tolerance.logit >= CUT_UNSURE {
            continue;
        }
        tokens = tokens.saturating_add(1);
        if gap > allowed {
            return Err(Verdict::Differs(Finding {
                fault: Fault::Token,
                position,
                difference: gap,
                tolerance: allowed,
            }));
        }
    }
    Ok(tokens)
}

/// How far a token is behind the likeliest, at least.
fn gap_of(print: &Fingerprint, token: u32) -> f32 {
    let first = print.top.first().map_or(0.0, |(_, logit)| logit.get());
    let own = print.top.iter().find(|(id, _)| *id == token);
    let behind = own
        .or_else(|| print.top.last())
        .map_or(first, |(_, logit)| logit.get());
    first - behind
}

fn at(fingerprints: &[Fingerprint], position: u32) -> Option<&Fingerprint> {
    let at = fingerprints.binary_search_by_key(&position, |print| print.position);
    at.ok().and_then(|at| fingerprints.get(at))
}

impl Sampling {
    /// Whether the token of the largest logit is drawn, whatever came before.
    pub fn takes_the_likeliest(&self) -> bool {
        let one = Real::new(1.0);
        self.temperature.get() <= 0.0
            && self.repetition_penalty == one
            && self.presence_penalty.get() == 0.0
            && self.frequency_penalty.get() == 0.0
            && self.logit_bias.is_empty()
    }
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
