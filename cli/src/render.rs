//! How answers look: facts on stdout, talk and progress on stderr.

mod json;
mod names;
mod progress;
mod style;
mod table;

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::ProgressBar;
use serde::Serialize;

pub(crate) use self::{
    names::{repository, short_publisher, short_revision},
    progress::Meter,
    style::Style,
    table::{Column, Table, fields},
};
use crate::args::{Color, Global};

/// The two streams and what the user wants on them.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    json: bool,
    quiet: bool,
    verbose: u8,
    stdout: Style,
    stderr: Style,
    /// The bar on screen, so that a failure can clear it from another thread.
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Screen {
    pub(crate) fn new(global: &Global) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let style = |terminal: bool| match global.color {
            Color::Always => Style::coloured(),
            Color::Never => Style::plain(),
            Color::Auto if terminal && !plain => Style::coloured(),
            Color::Auto => Style::plain(),
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            stdout: style(io::stdout().is_terminal()),
            stderr: style(io::stderr().is_terminal()),
            bar: Arc::default(),
        }
    }

    /// Whether facts shall be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// How text on stderr may look.
    pub(crate) fn talk_style(&self) -> Style {
        self.stderr
    }

    /// Prints facts in the form that the user asked for: JSON, ids only, or `human`.
    pub(crate) fn facts<T: Serialize>(
        &self,
        facts: &T,
        ids: impl FnOnce(&T) -> Vec<String>,
        human: impl FnOnce(&T, Style) -> String,
    ) -> io::Result<()> {
        if self.json {
            return self.json(facts);
        }
        let text = if self.quiet {
            ids(facts).join("\n")
        } else {
            human(facts, self.stdout)
        };
        if text.is_empty() {
            Ok(())
        } else {
            self.line(&text)
        }
    }

    /// Prints one JSON object on one line.
    pub(crate) fn json(&self, facts: &impl Serialize) -> io::Result<()> {
        self.line(&json::line(facts)?)
    }

    /// Prints data.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.trim_end_matches('\n'))?;
        out.flush()
    }

    /// Says something to a person, unless the reader is a program or wants silence.
    pub(crate) fn talk(&self, text: &str) {
        if !self.json && !self.quiet {
            self.complain(text);
        }
    }

    /// Says something to a person in any case.
    pub(crate) fn complain(&self, text: &str) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
        // If stderr is gone there is nobody left to tell.
        let _ = writeln!(io::stderr().lock(), "{}", self.stderr.message(text));
    }

    /// A progress display for one command.
    pub(crate) fn meter(&self) -> Meter {
        if self.quiet {
            return Meter::silent();
        }
        let bars = !self.json && self.verbose == 0 && io::stderr().is_terminal();
        if !bars {
            return Meter::lines();
        }
        let bar = ProgressBar::no_length();
        *self.bar() = Some(bar.clone());
        Meter::bar(bar)
    }

    fn bar(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
