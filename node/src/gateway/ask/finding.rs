//! Finding a model for an answer in parts. One that has to come from elsewhere first takes a while, and a reader who hears
//! nothing meanwhile takes the connection for dead: so it is told how far that is.

use std::{pin::Pin, time::Duration};

use tokio::{sync::mpsc, time};

use super::{Fault, Shared};
use crate::{api::Progress, infer::Model, operations::Reporter};

/// How soon an error still has a status of its own.
const PATIENCE: Duration = Duration::from_millis(500);
/// Reports that may wait for a slow reader.
const PROGRESS_MAX: usize = 4;

type Work = Pin<Box<dyn Future<Output = Result<Model, Fault>> + Send>>;

/// How finding a model began.
pub(in crate::gateway) enum Finding {
    /// It is over.
    Found(Model),
    /// Its files come from elsewhere, and that takes a while.
    Coming(Coming),
}

/// A model that is on its way. Dropping it gives the fetch up.
pub(in crate::gateway) struct Coming {
    work: Work,
    progress: mpsc::Receiver<Progress>,
    last: Option<Progress>,
}

/// What there is to tell of it.
pub(in crate::gateway) enum News {
    /// So many parts of a hundred are here.
    Percent(u64),
    /// It is here, or will not be.
    Over(Result<Model, Fault>),
}

/// Finds a model; waits so long that what is here or nowhere is known, and no longer for what is fetched.
pub(in crate::gateway) async fn find(operations: Shared, name: String) -> Result<Finding, Fault> {
    let (sender, progress) = mpsc::channel(PROGRESS_MAX);
    let work = async move { super::model_told(&operations, &name, &Reporter::new(sender)).await };
    begin(Box::pin(work), progress).await
}

async fn begin(mut work: Work, mut progress: mpsc::Receiver<Progress>) -> Result<Finding, Fault> {
    let patience = time::sleep(PATIENCE);
    tokio::pin!(patience);
    let mut last = None;
    loop {
        tokio::select! {
            biased;
            found = &mut work => return found.map(Finding::Found),
            Some(report) = progress.recv() => last = Some(report),
            // Only a fetch is told of. Whatever else takes long may still end in an error of its own.
            () = &mut patience, if last.is_some() => {
                return Ok(Finding::Coming(Coming { work, progress, last }));
            }
        }
    }
}

impl Coming {
    /// The next news; waits for them. After the end it is a fault to ask.
    pub(in crate::gateway) async fn next(&mut self) -> News {
        if let Some(report) = self.last.take() {
            return News::Percent(percent(&report));
        }
        tokio::select! {
            biased;
            found = &mut self.work => News::Over(found),
            Some(report) = self.progress.recv() => News::Percent(percent(&report)),
        }
    }
}

fn percent(report: &Progress) -> u64 {
    let share = u128::from(report.bytes_done) * 100 / u128::from(report.bytes_total.max(1));
    u64::try_from(share.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use weft_protocol::{id::RevisionId, infer::ModelId};

    use super::*;

    fn model() -> Model {
        Model {
            id: ModelId {
                revision: RevisionId::new([1; 32]),
                file: None,
            },
            name: "alice/wren".to_owned(),
        }
    }

    /// Reports after `first`, and ends after `end` more.
    fn work(first: Option<Duration>, end: Duration, found: Result<Model, Fault>) -> Started {
        let (sender, progress) = mpsc::channel(PROGRESS_MAX);
        let work = async move {
            if let Some(first) = first {
                time::sleep(first).await;
                let report = Progress {
                    bytes_done: 2,
                    bytes_total: 5,
                    ..Progress::default()
                };
                Reporter::new(sender.clone()).report(report);
            }
            time::sleep(end).await;
            drop(sender);
            found
        };
        (Box::pin(work), progress)
    }

    type Started = (Work, mpsc::Receiver<Progress>);

    async fn begun((work, progress): Started) -> Result<Finding, Fault> {
        begin(work, progress).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_takes_long_is_told_of() {
        let (soon, long) = (Duration::from_millis(10), Duration::from_secs(60));
        // Peers may be asked for longer than the patience before the first byte comes.
        for first in [soon, long] {
            let Ok(Finding::Coming(mut coming)) = begun(work(Some(first), long, Ok(model()))).await
            else {
                panic!("it comes");
            };
            assert!(matches!(coming.next().await, News::Percent(40)));
            assert!(matches!(coming.next().await, News::Over(Ok(_))));
        }
        let lost = Err(Fault::failed("lost"));
        let Ok(Finding::Coming(mut coming)) = begun(work(Some(soon), long, lost)).await else {
            panic!("it comes");
        };
        coming.next().await;
        assert!(matches!(coming.next().await, News::Over(Err(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_quick_or_fetches_nothing_has_its_own_answer() {
        let (soon, long) = (Duration::from_millis(10), Duration::from_secs(60));
        for (first, end) in [(None, soon), (None, long), (Some(soon), soon)] {
            let found = begun(work(first, end, Ok(model()))).await;
            assert!(matches!(found, Ok(Finding::Found(_))));
            let failed = begun(work(first, end, Err(Fault::failed("no")))).await;
            assert!(failed.is_err());
        }
    }

    #[test]
    fn percent_is_of_a_hundred() {
        let percent = |bytes_done, bytes_total| {
            percent(&Progress {
                bytes_done,
                bytes_total,
                ..Progress::default()
            })
        };
        assert_eq!((percent(0, 0), percent(1, 3), percent(9, 3)), (0, 33, 100));
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
