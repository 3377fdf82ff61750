//! Logs of a node in this process, on stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::render::Style;

/// The crates whose words are ours.
const OURS: [&str; 4] = ["weft", "weft_node", "weft_protocol", "weft_registry"];

/// Starts logging. `WEFT_LOG` replaces the filter, in the syntax of `RUST_LOG`.
pub(crate) fn start(level: Level, style: Style) {
    let filter =
        EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| EnvFilter::new(level.filter()));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(style != Style::plain())
        .with_writer(io::stderr);
    // A second start in one process keeps the first filter; there is only one stderr.
    let _ = subscriber.try_init();
}

/// How much is logged: 0 nothing, then errors, warnings, what a user would notice, branches taken, everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u8);

impl Level {
    /// For a node that runs on its own.
    pub(crate) fn daemon(verbose: u8, quiet: bool) -> Self {
        if quiet {
            Self(1)
        } else {
            Self(3_u8.saturating_add(verbose))
        }
    }

    /// For a node inside a command: it must not talk over progress bars unless asked.
    pub(crate) fn embedded(verbose: u8) -> Self {
        Self(if verbose == 0 {
            0
        } else {
            2_u8.saturating_add(verbose)
        })
    }

    fn filter(self) -> String {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let name = |level: u8| LEVELS.get(usize::from(level)).copied().unwrap_or("trace");
        // Libraries stay two steps behind, until everything is wanted.
        let libraries = name(self.0.saturating_sub(2).max(u8::from(self.0 > 0)));
        let ours = OURS.map(|ours| format!("{ours}={}", name(self.0)));
        format!("{libraries},{}", ours.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_come_first() {
        let filter = Level::daemon(0, false).filter();
        assert!(
            filter.starts_with("error,weft=info,weft_node=info"),
            "{filter}"
        );
        assert!(Level::embedded(0).filter().starts_with("off,weft=off"));
        assert!(
            Level::daemon(9, false)
                .filter()
                .starts_with("trace,weft=trace")
        );
        assert!(
            Level::daemon(5, true)
                .filter()
                .starts_with("error,weft=error")
        );
    }
}
