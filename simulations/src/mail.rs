//! News of what others have, on their way to the hosts.
//!
//! There are many: each piece that a host gains is told to all who watch it. Hosts read what has arrived by then ten
//! times a second, all at the same moments, so that a hundred letters are one happening. Letters lie in the order in
//! which they were written, one list for each such moment, and carry all that is needed to read them: neither writing
//! nor reading one looks at the host at its other end.
#![expect(
    clippy::indexing_slicing,
    reason = "places are counted here and nowhere else"
)]

use std::collections::VecDeque;

use weft_protocol::{id::BlobHash, layout::PieceRange, service::Input};

use crate::{HostId, World, clock::MILLI, world::Happening};

/// How often letters are read.
const READ_EVERY: u64 = 100 * MILLI;
/// How far it is from one who reads first to the next one: a prime, so that all have their turn.
const TURN: usize = 7_919;
/// Pieces in one letter; more take several.
const PIECES_MAX: usize = 4;

/// What one host tells another of one blob.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter {
    to: u32,
    /// The process that it is meant for.
    epoch: u32,
    provider: u32,
    count: u32,
    pieces: [u32; PIECES_MAX],
    blob: BlobHash,
}

/// All letters on their way.
#[derive(Debug, Default)]
pub(crate) struct Post {
    /// By when they are read; ascending.
    bags: VecDeque<(u64, Vec<Letter>)>,
    spare: Vec<Vec<Letter>>,
    /// Where the letters of each host begin, and after sorting end, in `order`, which names letters by host and then as
    /// they were written.
    begins: Vec<u32>,
    order: Vec<u32>,
}

impl Post {
    /// The letters to be read at a moment; whether there were none so far.
    fn bag(&mut self, at: u64) -> (&mut Vec<Letter>, bool) {
        let place = self.bags.partition_point(|(other, _)| *other < at);
        let fresh = self.bags.get(place).is_none_or(|(other, _)| *other != at);
        if fresh {
            let letters = self.spare.pop().unwrap_or_default();
            self.bags.insert(place, (at, letters));
        }
        (&mut self.bags[place].1, fresh)
    }

    /// Sorts letters by whom they are for.
    fn sort(&mut self, letters: &[Letter], hosts: usize) {
        self.begins.clear();
        self.begins.resize(hosts + 1, 0);
        for letter in letters {
            self.begins[letter.to as usize + 1] += 1;
        }
        for host in 0..hosts {
            self.begins[host + 1] += self.begins[host];
        }
        self.order.clear();
        self.order.resize(letters.len(), 0);
        for (at, letter) in (0..).zip(letters) {
            let next = &mut self.begins[letter.to as usize];
            self.order[*next as usize] = at;
            *next += 1;
        }
    }
}

impl World {
    /// Tells a host of pieces that another one gained.
    pub(crate) fn mail(&mut self, provider: HostId, to: HostId, blob: BlobHash, news: &[u32]) {
        let arrives = self.now + self.latency(provider, to) * MILLI;
        let at = arrives.next_multiple_of(READ_EVERY);
        let epoch = self.outline(to).epoch;
        let (bag, fresh) = self.post.bag(at);
        for some in news.chunks(PIECES_MAX) {
            let mut pieces = [0; PIECES_MAX];
            pieces[..some.len()].copy_from_slice(some);
            bag.push(Letter {
                to: to.line(),
                epoch,
                provider: provider.line(),
                count: u32::try_from(some.len()).unwrap_or(0),
                pieces,
                blob,
            });
        }
        if fresh {
            self.at(at, Happening::Mail);
        }
    }

    /// Everybody reads what has arrived.
    pub(crate) fn read_mail(&mut self) {
        let Some((at, mut letters)) = self.post.bags.pop_front() else {
            return;
        };
        self.post.sort(&letters, self.hosts.len());
        // Another one is the first to read each time, and so to ask.
        let turn = usize::try_from(at / READ_EVERY).unwrap_or(0);
        let last = turn.wrapping_mul(TURN) % self.hosts.len();
        let mut order = std::mem::take(&mut self.post.order);
        order.rotate_left(self.post.begins[last] as usize);
        let same = |a: &u32, b: &u32| letters[*a as usize].to == letters[*b as usize].to;
        for of_host in order.chunk_by(same) {
            let to = HostId(letters[of_host[0] as usize].to as usize);
            for at in of_host {
                self.read(to, &letters[*at as usize]);
            }
            self.drain(to);
        }
        self.post.order = order;
        letters.clear();
        self.post.spare.push(letters);
    }

    fn read(&mut self, to: HostId, letter: &Letter) {
        let provider = HostId(letter.provider as usize);
        if self.outline(to).epoch != letter.epoch || !self.reaches(to, provider) {
            return;
        }
        let (peer, blob) = (self.outline(provider).node, letter.blob);
        let pieces = &letter.pieces[..letter.count as usize];
        for run in pieces.chunk_by(|a, b| a + 1 == *b) {
            let pieces = PieceRange {
                start: run[0],
                end: run[0] + u32::try_from(run.len()).unwrap_or(0),
            };
            self.hand(to, Input::AvailabilityGained { peer, blob, pieces });
        }
    }
}
