//! Waiting for a condition, never for time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Long enough for a debug build on two busy cores; only a failure ever waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks: short against anything watched, long against the cost of a look.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `check` has something to say.
///
/// # Errors
/// When `limit` has passed, naming what was waited for.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = check()? {
            return Ok(found);
        }
        if begin.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        thread::park_timeout(PAUSE);
    }
}
