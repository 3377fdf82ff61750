//! Whose turn it is: one choice among requests that wait.
//!
//! Sent bytes are shared 60 : 20 : 20 between those who gave us most for what they got (or, of what is whole here,
//! pass it on to others: [`super::spread`]), everybody in turn, and
//! newcomers, who have nothing to give yet, or while there are none, who has least: with little to give he gets little. A share that nobody waits in goes to the others, so the line never
//! idles. Among equals, what was sent least goes first.

use std::cmp::Reverse;

use super::ledger::Account;
use crate::{service::UploadId, time::Instant};

/// One request that waits, with what is known of its sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) upload: UploadId,
    /// Requests of the same peer that are served now.
    pub(crate) running: u32,
    /// How often what it asks for was sent already.
    pub(crate) copies: u32,
    /// Pieces of the blob that its sender has, if it shows them.
    pub(crate) have: Option<u32>,
    pub(crate) account: Account,
    /// Whether its sender passes on what it got of a blob that is whole here, if that is known.
    pub(crate) passes: Option<bool>,
}

impl Candidate {
    /// Whether its sender shows what it got: who claims to have nothing for ever is not poor.
    fn keeps_up(&self) -> bool {
        self.have.is_some_and(|have| {
            self.account.served() <= have.saturating_mul(2).saturating_add(SLACK)
        })
    }
}

/// Requests that may have come to nothing.
const SLACK: u32 = 4;

/// A share of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Share {
    /// By what peers gave us.
    Reciprocity,
    /// Everybody in turn.
    Turn,
    /// Who got next to nothing so far, then who has least: the optimistic unchoke.
    Newcomer,
}

/// All shares with their weights, in fifths.
const SHARES: [(Share, u64); 3] = [
    (Share::Reciprocity, 3),
    (Share::Turn, 1),
    (Share::Newcomer, 1),
];

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The share that its bytes are booked to.
    pub(crate) share: Share,
    /// The share by whose order it was chosen: another one if nobody waits in the first.
    pub(crate) by: Share,
    pub(crate) upload: UploadId,
}

/// Keeps the shares.
#[derive(Debug, Default)]
pub(crate) struct Choker {
    /// Bytes sent in each share by its weight; the share that is furthest behind comes next.
    spent: [u64; SHARES.len()],
}

impl Share {
    fn admits(self, candidate: &Candidate) -> bool {
        match self {
            Self::Reciprocity => candidate.account.received() > 0 || candidate.passes == Some(true),
            Self::Turn => true,
            Self::Newcomer => candidate.account.is_newcomer() || candidate.keeps_up(),
        }
    }

    /// The smallest goes first.
    fn rank(self, candidate: &Candidate) -> Rank {
        let account = &candidate.account;
        let (owed, have) = match self {
            // Who gives back enough is as good as who gives more. Among them, who has least goes first: with
            // little to give he would fall behind for good, and his line would idle.
            Self::Reciprocity if account.owed() >= ENOUGH => {
                (ENOUGH, candidate.have.unwrap_or(u32::MAX))
            }
            // Giving to others is as good, and nobody has a claim before another.
            Self::Reciprocity if candidate.passes == Some(true) => (ENOUGH, 0),
            Self::Reciprocity => (account.owed(), 0),
            Self::Newcomer if candidate.account.is_newcomer() => (1, 0),
            Self::Newcomer => (0, candidate.have.unwrap_or(u32::MAX)),
            Self::Turn => (0, 0),
        };
        let last = match self {
            Self::Reciprocity => account.served_at,
            Self::Turn | Self::Newcomer => account.turn_at,
        };
        // Who is known to keep what he gets only gets what nobody else waits for.
        let keeps = self == Self::Turn && candidate.passes == Some(false);
        (
            (keeps, candidate.running),
            Reverse(owed),
            have,
            candidate.copies,
            last,
            candidate.upload,
        )
    }
}

type Rank = (
    (bool, u32),
    Reverse<u64>,
    u32,
    u32,
    Option<Instant>,
    UploadId,
);

/// Giving back enough: two fifths of what was got, in millionths.
const ENOUGH: u64 = 400_000;

impl Choker {
    /// Chooses one of those who wait, and the share it is served in. A waiting newcomer is preferred while no
    /// newcomer is served.
    pub(crate) fn choose(&self, waiting: &[Candidate], newcomer_served: bool) -> Option<Chosen> {
        let first = |share: Share| {
            let admitted = waiting.iter().filter(|candidate| share.admits(candidate));
            admitted.min_by_key(|candidate| share.rank(candidate))
        };
        let newcomer = first(Share::Newcomer).filter(|candidate| candidate.account.is_newcomer());
        if let (false, Some(candidate)) = (newcomer_served, newcomer) {
            return Some(Chosen {
                share: Share::Newcomer,
                by: Share::Newcomer,
                upload: candidate.upload,
            });
        }
        let behind = SHARES
            .iter()
            .zip(&self.spent)
            .min_by_key(|(_, spent)| **spent);
        let (share, _) = *behind?.0;
        // Whose share it is, then who gives, then anybody.
        [share, Share::Reciprocity, Share::Turn]
            .into_iter()
            .find_map(|by| {
                let upload = first(by)?.upload;
                Some(Chosen { share, by, upload })
            })
    }

    /// Books bytes to a share.
    pub(crate) fn spend(&mut self, share: Share, bytes: u64) {
        let least = self.spent.iter().copied().min().unwrap_or(0);
        for ((other, weight), spent) in SHARES.iter().zip(&mut self.spent) {
            *spent -= least;
            if *other == share {
                *spent = spent.saturating_add(bytes / weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::NodeId, swarm::ledger::Ledger};

    const MIB: u64 = 1 << 20;

    struct Bench {
        ledger: Ledger,
        choker: Choker,
        clock: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                ledger: Ledger::default(),
                choker: Choker::default(),
                clock: 0,
            }
        }

        /// Serves one of peers 0..n that all wait; bytes are of one size.
        fn serve(&mut self, waiting: &[u8], copies: &[u32]) -> u8 {
            self.clock += 1;
            let now = Instant(self.clock);
            let candidates: Vec<Candidate> = waiting
                .iter()
                .map(|n| Candidate {
                    upload: UploadId(u64::from(*n)),
                    running: 0,
                    have: None,
                    copies: copies.get(usize::from(*n)).copied().unwrap_or(0),
                    account: *self.ledger.account(NodeId::new([*n; 32]), now),
                    passes: None,
                })
                .collect();
            let chosen = self.choker.choose(&candidates, true).unwrap();
            self.choker.spend(chosen.share, MIB);
            let upload = chosen.upload;
            let n = u8::try_from(upload.0).unwrap();
            let account = self.ledger.account(NodeId::new([n; 32]), now);
            account.serve(chosen.by, now);
            self.ledger.debit(NodeId::new([n; 32]), MIB, now);
            n
        }

        fn credit(&mut self, n: u8, bytes: u64) {
            self.ledger
                .credit(NodeId::new([n; 32]), bytes, Instant(self.clock));
        }
    }

    #[test]
    fn who_gives_gets_most_and_who_gives_nothing_gets_his_turn() {
        let mut bench = Bench::new();
        let mut served = [0; 4];
        for _ in 0..1_000 {
            // Two give, two do not.
            bench.credit(0, MIB);
            bench.credit(1, MIB);
            served[usize::from(bench.serve(&[0, 1, 2, 3], &[]))] += 1;
        }
        let givers = served[0] + served[1];
        assert!((880..=920).contains(&givers), "{served:?}");
        assert!(served[2] >= 40 && served[3] >= 40, "{served:?}");
    }

    #[test]
    fn who_passes_on_is_served_before_who_does_not() {
        let mut bench = Bench::new();
        let mut served = [0; 2];
        for round in 0..1_000 {
            let waiting = [0, 1].map(|n| Candidate {
                upload: UploadId(n),
                running: 0,
                copies: 0,
                have: None,
                account: bench.ledger.get(&NodeId::new([u8::from(n == 1); 32])),
                passes: (n == 1).then_some(true),
            });
            let chosen = bench.choker.choose(&waiting, true).unwrap();
            bench.choker.spend(chosen.share, MIB);
            let (n, now) = (chosen.upload.0, Instant(round));
            let account = bench
                .ledger
                .account(NodeId::new([u8::from(n == 1); 32]), now);
            account.serve(chosen.by, now);
            served[usize::from(n == 1)] += 1;
        }
        assert!((80..=220).contains(&served[0]), "{served:?}");
    }

    #[test]
    fn who_keeps_what_he_gets_only_gets_what_nobody_else_waits_for() {
        let bench = Bench::new();
        let candidate = |n: u64, passes| Candidate {
            upload: UploadId(n),
            running: u32::from(n > 0),
            copies: 0,
            have: None,
            account: bench.ledger.get(&NodeId::new([0; 32])),
            passes,
        };
        let mut choker = Choker::default();
        // The turn comes next.
        choker.spend(Share::Reciprocity, 30 * MIB);
        choker.spend(Share::Newcomer, 10 * MIB);
        let chosen = |waiting: &[Candidate]| choker.choose(waiting, true).unwrap().upload;
        let keeper = candidate(0, Some(false));
        assert_eq!(chosen(&[keeper, candidate(1, None)]), UploadId(1));
        assert_eq!(chosen(&[keeper, candidate(1, Some(true))]), UploadId(1));
        assert_eq!(chosen(&[keeper]), UploadId(0));
    }

    #[test]
    fn who_gives_back_enough_is_as_good_as_who_gives_more() {
        let mut bench = Bench::new();
        let mut served = [0; 2];
        for _ in 0..1_000 {
            bench.credit(0, 3 * MIB);
            bench.credit(1, MIB);
            served[usize::from(bench.serve(&[0, 1], &[]))] += 1;
        }
        assert!((450..=550).contains(&served[0]), "{served:?}");
    }

    #[test]
    fn who_gives_back_little_gets_little() {
        let mut bench = Bench::new();
        let mut served = [0; 2];
        for _ in 0..1_000 {
            bench.credit(0, MIB);
            bench.credit(1, MIB / 32);
            served[usize::from(bench.serve(&[0, 1], &[]))] += 1;
        }
        assert!(served[0] >= 800, "{served:?}");
    }

    #[test]
    fn of_those_who_give_who_has_least_goes_first() {
        let mut bench = Bench::new();
        let mut waiting = Vec::new();
        for (n, have) in [(0, Some(50)), (1, Some(7)), (2, None), (3, Some(9))] {
            bench.credit(n, MIB);
            waiting.push(Candidate {
                upload: UploadId(u64::from(n)),
                running: 0,
                copies: 0,
                have,
                account: bench.ledger.get(&NodeId::new([n; 32])),
                passes: None,
            });
        }
        let chosen = bench.choker.choose(&waiting, true).unwrap();
        assert_eq!(
            (chosen.by, chosen.upload),
            (Share::Reciprocity, UploadId(1))
        );
    }

    /// How often each of three is served who gave much and have 100 pieces, and of one who gave nothing and has `have`.
    fn beside_three_who_give(have: impl Fn(u32) -> Option<u32>) -> [u32; 4] {
        let mut bench = Bench::new();
        let mut served = [0; 4];
        for round in 0..400_u32 {
            let waiting = [0_u8, 1, 2, 3].map(|n| {
                let poor = n == 3;
                let id = NodeId::new([n; 32]);
                if !poor {
                    bench.credit(n, MIB);
                }
                Candidate {
                    upload: UploadId(u64::from(n)),
                    running: 0,
                    copies: 0,
                    have: if poor { have(served[3]) } else { Some(100) },
                    account: *bench.ledger.account(id, Instant(u64::from(round))),
                    passes: None,
                }
            });
            let chosen = bench.choker.choose(&waiting, true).unwrap();
            bench.choker.spend(chosen.share, MIB);
            let n = u8::try_from(chosen.upload.0).unwrap();
            let now = Instant(u64::from(round));
            let account = bench.ledger.account(NodeId::new([n; 32]), now);
            account.serve(chosen.by, now);
            bench.ledger.debit(NodeId::new([n; 32]), MIB, now);
            served[usize::from(n)] += 1;
        }
        served
    }

    #[test]
    fn who_has_least_gets_the_fifth_of_newcomers_while_there_are_none() {
        // His own turn, and a fifth besides.
        let poor = beside_three_who_give(|served| Some(served.min(99)));
        assert!((85..=130).contains(&poor[3]), "{poor:?}");
        // Who shows nothing of what he gets, or nothing at all, only gets his turn.
        for have in [Some(0), None] {
            let hoards = beside_three_who_give(|_| have);
            assert!(hoards[3] <= 50, "{hoards:?}");
        }
    }

    #[test]
    fn a_newcomer_is_served_soon_though_others_gave_much() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            bench.credit(0, MIB);
            bench.serve(&[0], &[]);
        }
        bench.credit(0, 100 * MIB);
        let until = (0..10).position(|_| bench.serve(&[0, 9], &[]) == 9);
        assert!(until.is_some_and(|turns| turns <= 5), "{until:?}");
    }

    #[test]
    fn a_newcomer_goes_first_while_none_is_served() {
        let mut bench = Bench::new();
        bench.credit(0, 100 * MIB);
        bench.choker.spend(Share::Newcomer, 100 * MIB);
        let candidate = |bench: &mut Bench, n: u8| Candidate {
            upload: UploadId(u64::from(n)),
            running: 0,
            copies: 0,
            have: None,
            account: *bench.ledger.account(NodeId::new([n; 32]), Instant(0)),
            passes: None,
        };
        for _ in 0..5 {
            let account = bench.ledger.account(NodeId::new([0; 32]), Instant(0));
            account.serve(Share::Reciprocity, Instant(0));
        }
        let waiting = [candidate(&mut bench, 0), candidate(&mut bench, 1)];
        let chosen = |served| bench.choker.choose(&waiting, served).unwrap().upload;
        assert_eq!([chosen(false), chosen(true)], [UploadId(1), UploadId(0)]);
    }

    #[test]
    fn what_was_sent_least_goes_first() {
        let mut bench = Bench::new();
        assert_eq!(bench.serve(&[0, 1, 2], &[2, 1, 3]), 1);
        assert_eq!(bench.serve(&[0, 2], &[2, 1, 3]), 0);
    }

    #[test]
    fn nobody_starves() {
        let mut bench = Bench::new();
        let mut served = [0; 16];
        for _ in 0..2_000 {
            bench.credit(0, MIB);
            let all: Vec<u8> = (0..16).collect();
            served[usize::from(bench.serve(&all, &[]))] += 1;
        }
        assert!(served.iter().all(|served| *served >= 15), "{served:?}");
    }
}
