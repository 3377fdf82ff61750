//! Cheating on purpose as a host, so that tests can show what comes of it.
//!
//! Exists only under the feature `faults`, which nothing but `weft-tests` enables. There the environment variable
//! `WEFT_TEST_FAULT` chooses how a whole process cheats: it signs other logits than led to the answer (`logits`), nothing
//! (`unsigned`; or `unstarted`, and does not say which prompt it computed either), another answer than it told (`forged`),
//! or the truth under an id of its choice (`chosen`).

use std::env;

use weft_protocol::infer::{Event, Real, Receipt};

/// Whether the asker does not hear of something.
pub(super) fn hides(event: &Event) -> bool {
    let is_start = matches!(event, Event::Started { .. });
    is_start && env::var("WEFT_TEST_FAULT").as_deref() == Ok("unstarted")
}

/// What is signed in place of the truth, if anything is.
pub(super) fn signed(mut receipt: Receipt) -> Option<Receipt> {
    match env::var("WEFT_TEST_FAULT").as_deref() {
        Ok("logits") => {
            let logits = receipt.fingerprints.iter_mut().flat_map(|p| &mut p.top);
            for (_, logit) in logits {
                *logit = Real::new(logit.get() + 1.0);
            }
        }
        Ok("unsigned" | "unstarted") => return None,
        Ok("forged") => receipt.answer_hash = [0; 32],
        Ok("chosen") => {
            // The last of a thousand, for who would draw by the id.
            while id_of_a_thousand(&receipt) < 999 {
                receipt.prompt_millis += 1;
            }
        }
        _ => {}
    }
    Some(receipt)
}

fn id_of_a_thousand(receipt: &Receipt) -> u32 {
    let id = receipt.id();
    let first = id.as_bytes().iter().take(4);
    first.fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) % 1_000
}
