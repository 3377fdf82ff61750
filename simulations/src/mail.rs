//! News of what others have, on their way to a host.
//!
//! There are many: each piece that a host gains is told to all who watch it. A host reads what has arrived by then
//! ten times a second, so that many letters are one happening.

use std::collections::VecDeque;

use weft_protocol::{id::BlobHash, layout::PieceRange, service::Input};

use crate::{HostId, World, clock::MILLI, world::Happening};

/// How often letters are read.
const READ_EVERY: u64 = 100 * MILLI;

/// What one host tells of one blob: a part of its log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter {
    pub(crate) provider: HostId,
    /// The process that wrote it.
    pub(crate) epoch: u64,
    pub(crate) blob: BlobHash,
    /// Where in the log.
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// Letters on their way to one host, by when they are read.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    letters: VecDeque<(u64, Vec<Letter>)>,
    spare: Vec<Vec<Letter>>,
}

impl Mailbox {
    /// Adds a letter; whether it is the first to be read then.
    fn put(&mut self, at: u64, letter: Letter) -> bool {
        let place = self.letters.partition_point(|(other, _)| *other < at);
        match self.letters.get_mut(place) {
            Some((other, letters)) if *other == at => {
                letters.push(letter);
                false
            }
            Some(_) | None => {
                let mut letters = self.spare.pop().unwrap_or_default();
                letters.push(letter);
                self.letters.insert(place, (at, letters));
                true
            }
        }
    }

    /// Letters to be read by now.
    fn take(&mut self, now: u64) -> Option<Vec<Letter>> {
        self.letters.front().filter(|(at, _)| *at <= now)?;
        self.letters.pop_front().map(|(_, letters)| letters)
    }

    /// Takes an envelope back, to be used again.
    fn give_back(&mut self, mut letters: Vec<Letter>) {
        letters.clear();
        self.spare.push(letters);
    }

    /// The process is gone and what was on its way to it.
    pub(crate) fn clear(&mut self) {
        self.letters.clear();
    }
}

impl World {
    /// Sends a letter.
    pub(crate) fn mail(&mut self, to: HostId, letter: Letter) {
        let arrives = self.now + self.latency(letter.provider, to) * MILLI;
        let at = arrives.next_multiple_of(READ_EVERY);
        let host = self.host_mut(to);
        if host.is_up() && host.mailbox.put(at, letter) {
            let epoch = host.epoch;
            self.at(at, Happening::Mail { host: to, epoch });
        }
    }

    /// A host reads what has arrived.
    pub(crate) fn read_mail(&mut self, id: HostId, epoch: u64) {
        if self.host(id).epoch != epoch {
            return;
        }
        let now = self.now;
        while let Some(letters) = self.host_mut(id).mailbox.take(now) {
            for letter in letters.iter().copied() {
                self.read(id, letter);
            }
            self.host_mut(id).mailbox.give_back(letters);
        }
        self.drain(id);
    }

    fn read(&mut self, id: HostId, letter: Letter) {
        let Letter {
            provider,
            epoch,
            blob,
            from,
            to,
        } = letter;
        let teller = self.host(provider);
        let watched = teller.watched.get(&blob).filter(|_| teller.epoch == epoch);
        let Some(watched) = watched.filter(|_| self.reaches(id, provider)) else {
            return;
        };
        let peer = teller.node;
        let mut runs: Vec<PieceRange> = Vec::new();
        for piece in watched.news(from, to).iter().copied() {
            match runs.last_mut() {
                Some(run) if run.end == piece => run.end += 1,
                _ => runs.push(PieceRange {
                    start: piece,
                    end: piece + 1,
                }),
            }
        }
        for pieces in runs {
            self.hand(id, Input::AvailabilityGained { peer, blob, pieces });
        }
    }
}
