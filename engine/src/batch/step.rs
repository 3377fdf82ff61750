//! One pass: who takes part in it, and with how many tokens.

use weft_protocol::infer::{Rank, Refusal};

use super::{Batch, slot::Slot};
use crate::{model::Network, refusal::OrRefuse};

/// Tokens of prompts read in one step while nobody waits for an answer's next token.
const PROMPT_TOKENS_ALONE: usize = 512;
/// And while somebody does: about as long as a step of a few answers.
const PROMPT_TOKENS_BESIDE: usize = 128;
/// What strangers get of both: one of them does not wait long for another's prompt.
const STRANGERS_PART: usize = 4;

impl Batch {
    /// One pass of the model.
    pub(super) fn step(&mut self) -> Result<(), Refusal> {
        let Network::Decoder { decoder, .. } = &self.network else {
            return Ok(());
        };
        let shares = shares(&self.slots, self.exact);
        let part = self.slots.iter().zip(&shares);
        let part = part.filter(|(_, share)| **share > 0);
        let jobs: Vec<_> = part.map(|(slot, _)| (slot.job(), slot.rank())).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        self.watch.begin(jobs);
        let rows = {
            let mut chunks = Vec::new();
            for (slot, share) in self.slots.iter_mut().zip(&shares) {
                if *share > 0 {
                    chunks.push(slot.chunk(*share));
                }
            }
            decoder.forward_until(self.watch.stop(), &mut chunks)
        };
        self.watch.end(!matches!(rows, Ok(None)));
        let Some(rows) = rows.or_failed("the model")? else {
            return Ok(());
        };
        let mut rows = rows.into_iter();
        for (slot, share) in self.slots.iter_mut().zip(shares) {
            if share > 0 {
                slot.computed(share, &mut rows, &self.texts, &self.teller);
            }
        }
        self.sweep();
        Ok(())
    }
}

/// How many tokens of each slot the next step takes.
///
/// While somebody waits for a first token, those of later ranks stand still. Of several prompts the one that needs least
/// is read first, but for a quarter that is kept for the one that came first.
fn shares(slots: &[Slot], exact: bool) -> Vec<usize> {
    let reads = |slot: &Slot| slot.pending() > 1;
    let first = slots
        .iter()
        .filter(|slot| slot.is_new())
        .map(Slot::rank)
        .min();
    let takes_part = |slot: &Slot| first.is_none_or(|first| slot.rank() <= first);
    let answering = slots.iter().any(|slot| takes_part(slot) && !reads(slot));
    let mut left = match answering {
        true => PROMPT_TOKENS_BESIDE,
        false => PROMPT_TOKENS_ALONE,
    };
    if first.is_some_and(|first| first >= Rank::Brief) {
        left /= STRANGERS_PART;
    }
    let mut shares: Vec<usize> = slots
        .iter()
        .map(|slot| usize::from(takes_part(slot) && !reads(slot)))
        .collect();
    let mut readers: Vec<usize> = (0..slots.len())
        .filter(|at| takes_part(&slots[*at]) && reads(&slots[*at]))
        .collect();
    let quarter = left / 4;
    let mut give = |at: usize, most: usize| {
        let slot = &slots[at];
        let wanted = (slot.pending() - shares[at]).min(slot.share_max(exact) - shares[at]);
        let share = wanted.min(most).min(left);
        shares[at] += share;
        left -= share;
    };
    if let Some(oldest) = readers.first() {
        give(*oldest, quarter);
    }
    readers.sort_by_key(|at| (slots[*at].rank(), slots[*at].pending()));
    for at in readers {
        give(at, usize::MAX);
    }
    shares
}
