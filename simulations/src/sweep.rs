//! Many runs of one scenario, several at a time. Each run is single-threaded and knows nothing of the others.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{report::Report, scenario::Setup};

/// Runs everything, so many at a time; the reports are in the order of the setups.
///
/// # Panics
/// If a run does.
pub fn run(setups: &[Setup], jobs: usize) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(vec![None; setups.len()]);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(setup) = setups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let at = setups.iter().position(|other| std::ptr::eq(other, setup));
                    let report = setup.run().report;
                    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(slot) = at.and_then(|at| reports.get_mut(at)) {
                        *slot = Some(report);
                    }
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.into_iter().flatten().collect()
}

/// The worst and the middle of what matters.
pub fn summary(reports: &[Report]) -> String {
    let column = |value: fn(&Report) -> f64| {
        let mut values: Vec<f64> = reports.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.get(values.len().saturating_sub(1) / 2).copied();
        (middle.unwrap_or(0.0), values.last().copied().unwrap_or(0.0))
    };
    let (ratio, copies) = (column(|r| r.ratio_last), column(|r| r.seed_copies));
    let twice = column(|r| r.duplicate_fraction);
    format!(
        "{} runs; last against the bound: middle {:.3}, worst {:.3}; seed copies: middle {:.2}, worst {:.2}; \
         more than needed: middle {:.2} %, worst {:.2} %",
        reports.len(),
        ratio.0,
        ratio.1,
        copies.0,
        copies.1,
        twice.0 * 100.0,
        twice.1 * 100.0
    )
}
