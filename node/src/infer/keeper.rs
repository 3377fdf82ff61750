//! Keeping the receipts of what peers answered, and checking a part of them without being asked.

use weft_protocol::{
    id::ObjectId,
    infer::{Receipt, receipt::Kept},
};

use super::asker::Asker;

/// Why an answer has no receipt by which it could be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    /// It did not come.
    #[error("the peer signed nothing")]
    Withheld,
    /// It came, and says something else than was heard.
    #[error("what the peer signed is not about this answer")]
    Wrong,
    /// It is right, and this machine has no room for it.
    #[error("the receipt cannot be written to the disk")]
    Unkept,
}

impl Asker {
    /// Keeps a receipt, and has it checked if it is drawn.
    pub(super) async fn keep(&self, kept: Kept) -> Result<ObjectId, Missing> {
        let id = kept.receipt.id::<Receipt>();
        let (asker, stored) = (self.clone(), kept.clone());
        let put = tokio::task::spawn_blocking(move || asker.receipts().put(id, &stored)).await;
        if let Ok(Err(error)) = &put {
            tracing::warn!(%error, "a receipt cannot be kept");
        }
        if is_drawn(self.inner().audits_per_mille) {
            self.spot_check(id, kept);
        }
        match put {
            Ok(Ok(())) => Ok(id),
            _ => Err(Missing::Unkept),
        }
    }

    fn spot_check(&self, id: ObjectId, kept: Kept) {
        let (asker, cancel) = (self.clone(), self.inner().cancel.clone());
        tokio::spawn(cancel.run_until_cancelled_owned(async move {
            let audited = asker.audit_anywhere(kept).await;
            match audited {
                Ok(report) => tracing::info!(receipt = %id.fmt_short(), agrees = ?report.agrees(), "a receipt was checked"),
                Err(refusal) => tracing::debug!(receipt = %id.fmt_short(), %refusal, "a receipt could not be checked"),
            }
        }));
    }
}

/// Whether one of so many of a thousand is drawn. This machine alone decides, after the host has signed: a host tries as
/// many times and durations in its receipt as it likes, and hears numbers of the usual generator as seeds.
fn is_drawn(per_mille: u16) -> bool {
    let mut drawn = [0; 4];
    // Where there is no chance, rather all than none.
    let is_chance = getrandom::fill(&mut drawn).is_ok();
    let drawn = u32::from_le_bytes(drawn) % 1_000;
    per_mille > 0 && (!is_chance || drawn < u32::from(per_mille))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_none_or_a_part_is_drawn() {
        let drawn = |per_mille| (0..4_000).filter(|_| is_drawn(per_mille)).count();
        assert_eq!((drawn(0), drawn(1_000)), (0, 4_000));
        // Thirty standard deviations on either side.
        let half = drawn(500);
        assert!((1_000..3_000).contains(&half), "{half}");
    }
}
