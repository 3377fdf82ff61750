//! Runs that were made already: a report of large crowds takes hours, and can be interrupted and continued.

use std::{fs, io, path::PathBuf};

use super::Report;
use crate::{scenario::Setup, sweep};

/// Runs in a file, one JSON object a line. They are believed: a file is of use only to the program that wrote it.
#[derive(Debug, Default)]
pub(super) struct Made {
    file: Option<PathBuf>,
    runs: Vec<Report>,
}

impl Made {
    /// Takes up what a file holds, if there is one.
    pub(super) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let mut runs = Vec::new();
        if let Some(text) = file.as_ref().filter(|file| file.exists()) {
            for line in fs::read_to_string(text)?.lines() {
                runs.push(serde_json::from_str(line)?);
            }
        }
        Ok(Self { file, runs })
    }

    fn find(&self, setup: &Setup) -> Option<&Report> {
        let key = |run: &&Report| {
            let size = (run.peers, run.pieces, run.seed);
            run.scenario == setup.scenario && size == (setup.peers, setup.pieces, setup.seed)
        };
        self.runs.iter().find(key)
    }

    /// Writes down what was made.
    fn keep(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut text = String::new();
        for run in &self.runs {
            text.push_str(&serde_json::to_string(run)?);
            text.push('\n');
        }
        fs::write(file, text)
    }

    /// Makes those runs that were not made, so many at a time; the reports are in the order of the setups.
    pub(super) fn run(&mut self, setups: &[Setup], jobs: usize) -> io::Result<Vec<Report>> {
        let missing = setups.iter().filter(|setup| self.find(setup).is_none());
        let missing: Vec<Setup> = missing.cloned().collect();
        for setups in missing.chunks(jobs.max(1)) {
            self.runs.extend(sweep::run(setups, jobs));
            self.keep()?;
        }
        let runs = setups.iter().filter_map(|setup| self.find(setup).cloned());
        Ok(runs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_not_made_again() {
        let setups = [1, 2].map(|seed| Setup::new("flash-crowd", seed, 2, 4));
        let mut made = Made::default();
        let first = made.run(&setups, 1).unwrap();
        assert_eq!(first.len(), 2);
        made.runs[1].last_seconds = 7.0;
        let second = made.run(&setups, 1).unwrap();
        assert_eq!(
            (second[0].clone(), second[1].last_seconds),
            (first[0].clone(), 7.0)
        );
        let line = serde_json::to_string(&first[0]).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), first[0]);
    }
}
