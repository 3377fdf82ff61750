//! The pass that is under way, as the thread that hears of new jobs sees it: some news does not wait for its end.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
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
    pass: Mutex<Option<Pass>>,
}

/// A pass under way.
#[derive(Debug)]
struct Pass {
    jobs: Vec<u64>,
    /// The first of their ranks.
    rank: Rank,
    /// It was interrupted before and shall come to its end, unless the machine's owner waits.
    insists: bool,
}

impl Watch {
    /// Whether the pass is to be given up: set while there is a reason.
    pub(super) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    pub(super) fn begin(&self, jobs: Vec<u64>, rank: Rank, insists: bool) {
        let mut pass = self.lock();
        self.stop.store(false, Ordering::Relaxed);
        *pass = Some(Pass {
            jobs,
            rank,
            insists,
        });
    }

    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// Something happened, of which the batch finds the command.
    pub(crate) fn hear(&self, news: News) {
        let pass = self.lock();
        let Some(pass) = &*pass else { return };
        let interrupts = match news {
            News::Arrived(Rank::Own) => pass.rank > Rank::Own,
            News::Arrived(rank) => rank < pass.rank && !pass.insists,
            // Alone, it holds up nobody.
            News::Cancelled(job) if pass.jobs == [job] => true,
            News::Cancelled(job) => pass.jobs.contains(&job) && !pass.insists,
            News::Other => false,
        };
        if interrupts {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pass>> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_news_interrupts_a_pass_and_passes_come_to_their_end_in_the_end() {
        let watch = Watch::default();
        // Nothing is under way.
        watch.hear(News::Arrived(Rank::Own));
        let interrupts = |news, rank, insists| {
            watch.begin(vec![7, 8], rank, insists);
            watch.hear(news);
            let stopped = watch.stop().load(Ordering::Relaxed);
            watch.end();
            stopped
        };
        for (news, rank, once, always) in [
            (News::Arrived(Rank::Own), Rank::Known, true, true),
            (News::Arrived(Rank::Own), Rank::Own, false, false),
            (News::Arrived(Rank::Brief), Rank::Stranger, true, false),
            (News::Arrived(Rank::Brief), Rank::Brief, false, false),
            (News::Cancelled(7), Rank::Own, true, false),
            (News::Cancelled(9), Rank::Own, false, false),
            (News::Other, Rank::Stranger, false, false),
        ] {
            assert_eq!(interrupts(news, rank, false), once, "{news:?} {rank:?}");
            assert_eq!(interrupts(news, rank, true), always, "{news:?} {rank:?}");
        }
        watch.begin(vec![7], Rank::Own, true);
        watch.hear(News::Cancelled(7));
        assert!(watch.stop().load(Ordering::Relaxed), "it was alone");
    }
}
