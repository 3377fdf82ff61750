//! Progress on stderr: a bar on a terminal, now and then a line elsewhere, nothing if the user wants silence.

mod rate;

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use weft_node::api::{Phase, Progress};

use self::rate::Rate;
use crate::units::{Size, Span, count};

/// How often a line is printed when nothing but numbers change; a log file can bear that for days.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Short enough that everything that matters fits 80 columns; the rest is cut, never wrapped.
const BAR: &str = "{prefix} [{bar:16}] {wide_msg}";
const SPINNER: &str = "{prefix} {spinner} {wide_msg}";

/// Shows how far one command is.
#[derive(Debug)]
pub(crate) struct Meter {
    display: Display,
    rate: Rate,
    phase: Option<Phase>,
}

#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines { printed: Option<Instant> },
    Silent,
}

impl Meter {
    pub(super) fn bar(bar: ProgressBar) -> Self {
        bar.set_style(style(SPINNER));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self::new(Display::Bar(bar))
    }

    pub(super) fn lines() -> Self {
        Self::new(Display::Lines { printed: None })
    }

    pub(super) fn silent() -> Self {
        Self::new(Display::Silent)
    }

    fn new(display: Display) -> Self {
        Self {
            display,
            rate: Rate::default(),
            phase: None,
        }
    }

    /// Takes in a progress line.
    pub(crate) fn update(&mut self, progress: &Progress) {
        let now = Instant::now();
        let changed = self.phase.replace(progress.phase) != Some(progress.phase);
        if changed {
            self.rate = Rate::default();
        }
        let measured = self.rate.update(now, progress.bytes_done);
        let text = describe(progress, progress.rate.or(measured));
        match &mut self.display {
            Display::Bar(bar) => {
                if changed || bar.length() != Some(progress.bytes_total) {
                    let known = progress.bytes_total > 0;
                    bar.set_style(style(if known { BAR } else { SPINNER }));
                    bar.set_length(progress.bytes_total);
                }
                bar.set_prefix(word(progress.phase));
                bar.set_position(progress.bytes_done);
                bar.set_message(text);
            }
            Display::Lines { printed } => {
                if changed || printed.is_none_or(|last| now.duration_since(last) >= LINE_INTERVAL) {
                    *printed = Some(now);
                    let separator = if text.is_empty() { "" } else { ": " };
                    // If stderr is gone there is nobody left to tell.
                    let _ = writeln!(
                        io::stderr().lock(),
                        "{}{separator}{text}",
                        word(progress.phase)
                    );
                }
            }
            Display::Silent => {}
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolving => "finding",
        Phase::Importing => "reading",
        Phase::Signing => "signing",
        Phase::Announcing => "announcing",
        Phase::Fetching => "fetching",
        Phase::Verifying => "verifying",
        Phase::Exporting => "placing",
        Phase::Loading => "loading",
        Phase::Waiting => "waiting",
    }
}

/// `1.2 of 4.0 GB, 35.0 MB/s, 1m 20s left, from 3 peers`, as far as it is known.
fn describe(progress: &Progress, rate: Option<u64>) -> String {
    let mut parts = Vec::new();
    if progress.bytes_total > 0 {
        parts.push(Size(progress.bytes_total).with_part(progress.bytes_done));
        let left = progress.bytes_total.saturating_sub(progress.bytes_done);
        if let Some(rate) = rate.filter(|rate| *rate > 0 && left > 0) {
            parts.push(format!("{}/s", Size(rate)));
            parts.push(format!("{} left", Span::seconds(left.div_ceil(rate))));
        }
    }
    if progress.phase == Phase::Fetching {
        parts.push(match (progress.peers_active, progress.peers_known) {
            (0, 0) => "no peer yet".to_owned(),
            (0, known) => format!("waiting for {}", count(known.into(), "peer")),
            (active, _) => format!("from {}", count(active.into(), "peer")),
        });
    }
    parts.extend(progress.message.clone());
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetching() -> Progress {
        Progress {
            phase: Phase::Fetching,
            bytes_done: 1_000_000_000,
            bytes_total: 4_000_000_000,
            peers_active: 3,
            peers_known: 5,
            ..Progress::default()
        }
    }

    #[test]
    fn fetching_tells_bytes_rate_rest_and_peers() {
        assert_eq!(
            describe(&fetching(), Some(50_000_000)),
            "1.0 of 4.0 GB, 50.0 MB/s, 1m 0s left, from 3 peers"
        );
    }

    #[test]
    fn unknown_numbers_are_left_out() {
        let progress = Progress {
            peers_active: 0,
            ..fetching()
        };
        assert_eq!(
            describe(&progress, None),
            "1.0 of 4.0 GB, waiting for 5 peers"
        );
        let progress = Progress {
            phase: Phase::Resolving,
            ..Progress::default()
        };
        assert_eq!(describe(&progress, None), "");
    }

    #[test]
    fn templates_are_valid() {
        for template in [BAR, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
