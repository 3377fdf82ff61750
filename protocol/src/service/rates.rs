//! Telling the data plane how fast it may be.

use std::time::Duration;

use super::{Output, Service};
use crate::time::Instant;

impl Service {
    /// Tells the rates that hold now, if they are not those that were told.
    pub(super) fn set_rates(&mut self) {
        let rates = self.limits.at(self.now.unix);
        if rates != self.rates {
            self.rates = rates;
            self.out.push(Output::SetRates(rates));
        }
    }

    /// When the schedule may want other rates.
    pub(super) fn rates_change_at(&self) -> Option<Instant> {
        let seconds = self.limits.changes_in(self.now.unix)?;
        Some(self.now.instant + Duration::from_secs(seconds))
    }
}
