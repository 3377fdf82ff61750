//! The pass that is under way, as the thread that hears of new jobs sees it: some news does not wait for its end.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use weft_protocol::infer::Rank;

/// What could interrupt a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// A job wants its first token.
    Arrived(Rank),
    /// Nobody waits for a job any more.
    Cancelled(u64),
    /// Nothing that is urgent.
    Other,
}

/// Watches the passes of a batch.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    stop: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pass: Option<Pass>,
    /// First ranks of passes that were given up for others, until one of that rank has gone on.
    held_up: BTreeSet<Rank>,
}

/// A pass under way.
#[derive(Debug)]
struct Pass {
    jobs: Vec<(u64, Rank)>,
    /// The first of their ranks.
    first: Rank,
    /// Those of that rank were held up before: it shall come to its end, unless the machine's owner waits.
    insists: bool,
    /// Who still waits for it would be held up now.
    holds_up: bool,
}

impl Watch {
    /// Whether the pass is to be given up: set while there is a reason.
    pub(super) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// A pass begins for these jobs.
    pub(super) fn begin(&self, jobs: Vec<(u64, Rank)>) {
        let mut state = self.lock();
        self.stop.store(false, Ordering::Relaxed);
        let first = jobs.iter().map(|(_, rank)| *rank).min();
        state.pass = first.map(|first| Pass {
            jobs,
            first,
            insists: state.held_up.contains(&first),
            holds_up: false,
        });
    }

    /// The pass is over, or was given up.
    pub(super) fn end(&self, is_over: bool) {
        let mut state = self.lock();
        let Some(pass) = state.pass.take() else {
            return;
        };
        if is_over {
            // Whoever took part in it went on, be it beside others.
            for (_, rank) in pass.jobs {
                state.held_up.remove(&rank);
            }
        } else if pass.holds_up {
            state.held_up.insert(pass.first);
        }
    }

    /// Something happened, of which the batch finds the command.
    pub(crate) fn hear(&self, news: News) {
        let mut state = self.lock();
        let Some(pass) = &mut state.pass else { return };
        let is_alone = pass.jobs.len() == 1;
        let interrupts = match news {
            News::Arrived(Rank::Own) => pass.first > Rank::Own,
            News::Arrived(rank) => rank < pass.first && !pass.insists,
            // Alone, it holds up nobody; beside those of an earlier rank, it does not get to.
            News::Cancelled(job) => {
                pass.jobs.contains(&(job, pass.first)) && (is_alone || !pass.insists)
            }
            News::Other => false,
        };
        if interrupts {
            pass.holds_up |= !is_alone || matches!(news, News::Arrived(_));
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGERS: [(u64, Rank); 2] = [(7, Rank::Stranger), (8, Rank::Stranger)];

    impl Watch {
        /// Whether a pass of these jobs is given up when this is heard.
        fn pass(&self, jobs: &[(u64, Rank)], news: News) -> bool {
            self.begin(jobs.to_vec());
            self.hear(news);
            let stopped = self.stop().load(Ordering::Relaxed);
            self.end(!stopped);
            stopped
        }
    }

    #[test]
    fn urgent_news_interrupts_a_pass_and_passes_come_to_their_end_in_the_end() {
        Watch::default().hear(News::Arrived(Rank::Own));
        for (news, rank, once, again) in [
            (News::Arrived(Rank::Own), Rank::Known, true, true),
            (News::Arrived(Rank::Own), Rank::Own, false, false),
            (News::Arrived(Rank::Brief), Rank::Stranger, true, false),
            (News::Arrived(Rank::Brief), Rank::Brief, false, false),
            (News::Cancelled(7), Rank::Own, true, false),
            (News::Cancelled(9), Rank::Own, false, false),
            (News::Other, Rank::Stranger, false, false),
        ] {
            let watch = Watch::default();
            let jobs = [(7, rank), (8, rank)];
            assert_eq!(watch.pass(&jobs, news), once, "{news:?} {rank:?}");
            assert_eq!(watch.pass(&jobs, news), again, "{news:?} {rank:?}");
        }
    }

    #[test]
    fn a_rank_that_was_held_up_insists_until_it_has_gone_on() {
        let watch = Watch::default();
        let brief = News::Arrived(Rank::Brief);
        assert!(watch.pass(&STRANGERS, brief));
        // For whom it was: he goes on, or hangs up. Neither lets the next one interrupt again.
        assert!(!watch.pass(&[(1, Rank::Brief)], News::Other));
        assert!(watch.pass(&[(2, Rank::Brief)], News::Cancelled(2)));
        assert!(!watch.pass(&[(3, Rank::Brief)], News::Other));
        assert!(!watch.pass(&STRANGERS, brief));
        // Now they have gone on, and so they have beside others.
        assert!(watch.pass(&STRANGERS, brief));
        assert!(!watch.pass(&[(3, Rank::Brief), STRANGERS[0]], News::Other));
        assert!(watch.pass(&STRANGERS, brief));
    }

    #[test]
    fn who_hangs_up_alone_holds_up_nobody_and_a_stranger_never_the_owner() {
        let watch = Watch::default();
        let alone = [(7, Rank::Stranger)];
        assert!(watch.pass(&alone, News::Cancelled(7)));
        assert!(watch.pass(&alone, News::Arrived(Rank::Known)));
        assert!(
            watch.pass(&alone, News::Cancelled(7)),
            "it insists, for nobody"
        );
        let beside = [(1, Rank::Own), (7, Rank::Stranger)];
        assert!(!watch.pass(&beside, News::Cancelled(7)));
        assert!(watch.pass(&beside, News::Cancelled(1)));
    }
}
