//! How fast this node may send and receive: the user's limits and their weekly schedule.
//!
//! Decides rates only; the data plane keeps to them. The schedule is read on the wall clock, because it means
//! evenings and weekends.

use crate::{limits, time::Timestamp};

/// Byte rates that the data plane keeps to. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Bytes per second sent in all.
    pub upload: Option<u64>,
    /// Bytes per second received in all.
    pub download: Option<u64>,
    /// Bytes per second sent to one peer.
    pub upload_per_peer: Option<u64>,
    /// Bytes per second received from one peer.
    pub download_per_peer: Option<u64>,
    /// Whether sending yields to the household's other traffic, as its growing delay shows.
    pub polite: bool,
}

/// What the user allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// The rates while no window of the schedule is open.
    pub rates: Rates,
    /// Windows in which other rates hold; of several that are open the first one counts.
    pub schedule: Vec<Window>,
    /// Minutes that local time is ahead of UTC.
    pub utc_offset_minutes: i16,
}

/// A time of the week with rates of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Days on which it opens: bit 0 is Monday, bit 6 Sunday.
    pub days: u8,
    /// Minute of the day at which it opens.
    pub from: u16,
    /// Minute of the day at which it closes; at or before `from` it closes on the next day.
    pub to: u16,
    /// Bytes per second sent in all meanwhile.
    pub upload: Option<u64>,
    /// Bytes per second received in all meanwhile.
    pub download: Option<u64>,
}

const DAY: u64 = 24 * 60;
const WEEK: u64 = 7 * DAY;
/// The Unix epoch was a Thursday.
const EPOCH_DAY: u64 = 3;

impl Window {
    /// Minutes of the week at which it opens, and how long it stays open.
    fn openings(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let from = u64::from(self.from) % DAY;
        let to = u64::from(self.to) % (DAY + 1);
        let open = if to > from {
            to - from
        } else {
            to + DAY - from
        };
        let opens = |day: &u64| self.days & (1 << *day) != 0;
        (0..7)
            .filter(opens)
            .map(move |day| (day * DAY + from, open))
    }

    fn is_open(&self, minute: u64) -> bool {
        self.openings()
            .any(|(from, open)| (minute + WEEK - from) % WEEK < open)
    }

    /// Minutes until it opens or closes next.
    fn changes_in(&self, minute: u64) -> Option<u64> {
        let ahead = |at: u64| (at + 2 * WEEK - minute - 1) % WEEK + 1;
        self.openings()
            .flat_map(|(from, open)| [ahead(from), ahead((from + open) % WEEK)])
            .min()
    }
}

impl Limits {
    /// The rates that hold at a moment.
    pub fn at(&self, now: Timestamp) -> Rates {
        let minute = self.minute(now);
        let mut windows = self.schedule.iter().take(limits::SCHEDULE_WINDOWS_MAX);
        match windows.find(|window| window.is_open(minute)) {
            None => self.rates,
            Some(window) => Rates {
                upload: window.upload,
                download: window.download,
                ..self.rates
            },
        }
    }

    /// Seconds until other rates may hold.
    pub fn changes_in(&self, now: Timestamp) -> Option<u64> {
        let minute = self.minute(now);
        let windows = self.schedule.iter().take(limits::SCHEDULE_WINDOWS_MAX);
        let minutes = windows
            .filter_map(|window| window.changes_in(minute))
            .min()?;
        Some(minutes * 60 - now.0 % 60)
    }

    /// The local minute of the week, counted from Monday 00:00.
    fn minute(&self, now: Timestamp) -> u64 {
        let minutes = (now.0 / 60 % WEEK) + EPOCH_DAY * DAY + WEEK;
        let offset = i64::from(self.utc_offset_minutes) % i64::try_from(WEEK).unwrap_or(1);
        minutes.saturating_add_signed(offset) % WEEK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-01 was a Monday.
    const MONDAY: u64 = 1_704_067_200;

    fn at(day: u64, hour: u64, minute: u64) -> Timestamp {
        Timestamp(MONDAY + ((day * 24 + hour) * 60 + minute) * 60)
    }

    fn evenings() -> Limits {
        Limits {
            rates: Rates {
                upload: Some(100),
                upload_per_peer: Some(7),
                ..Rates::default()
            },
            schedule: vec![Window {
                days: 0b001_1111,
                from: 22 * 60,
                to: 6 * 60,
                upload: None,
                download: Some(5),
            }],
            utc_offset_minutes: 0,
        }
    }

    #[test]
    fn a_window_holds_past_midnight_and_not_on_other_days() {
        let limits = evenings();
        let upload = |day, hour, minute| limits.at(at(day, hour, minute)).upload;
        assert_eq!(upload(0, 21, 59), Some(100));
        assert_eq!(upload(0, 22, 0), None);
        assert_eq!(upload(1, 5, 59), None);
        assert_eq!(upload(1, 6, 0), Some(100));
        assert_eq!(upload(5, 3, 0), None, "opened on Friday");
        assert_eq!(upload(5, 23, 0), Some(100), "does not open on Saturday");
        assert_eq!(upload(0, 3, 0), Some(100), "did not open on Sunday");
        assert_eq!(limits.at(at(0, 23, 0)).upload_per_peer, Some(7));
        assert_eq!(limits.at(at(0, 23, 0)).download, Some(5));
    }

    #[test]
    fn the_next_change_is_known_to_the_second() {
        let limits = evenings();
        assert_eq!(limits.changes_in(at(0, 21, 0)), Some(3_600));
        assert_eq!(limits.changes_in(at(0, 22, 0)), Some(8 * 3_600));
        assert_eq!(limits.changes_in(Timestamp(at(0, 21, 59).0 + 30)), Some(30));
        assert_eq!(limits.changes_in(at(5, 6, 0)), Some((24 + 24 + 16) * 3_600));
        assert_eq!(Limits::default().changes_in(at(0, 0, 0)), None);
    }

    #[test]
    fn local_time_decides() {
        let mut limits = evenings();
        limits.utc_offset_minutes = 120;
        assert_eq!(limits.at(at(0, 20, 0)).upload, None);
        limits.utc_offset_minutes = -300;
        assert_eq!(limits.at(at(1, 2, 59)).upload, Some(100));
        assert_eq!(limits.at(at(1, 3, 0)).upload, None);
    }

    #[test]
    fn rates_hold_until_the_time_that_is_told() {
        let limits = evenings();
        for minute in 0..WEEK {
            let now = at(0, 0, minute);
            let after = limits.changes_in(now).unwrap();
            let just_before = Timestamp(now.0 + after - 1);
            assert_eq!(limits.at(now), limits.at(just_before), "{minute}");
        }
    }
}
