//! How many threads compute.

use std::{io, sync::OnceLock};

use weft_kernels::Pool;

/// Where the libraries that compute look for their number of threads.
const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// Sees to it that as many threads compute as were asked for, or else as many as there are cores.
///
/// The libraries read the number from their environment, which a running program cannot change safely. So the program
/// starts itself once more, as the same process, where the environment says something else.
pub(crate) fn settle(threads: Option<usize>) -> io::Result<()> {
    let wanted = threads.unwrap_or_else(num_cpus::get_physical).max(1);
    let wanted = wanted.to_string();
    let set = |name: &&str| std::env::var(name).is_ok_and(|value| value == wanted);
    if VARIABLES.iter().all(set) {
        return Ok(());
    }
    restart(&wanted)
}

#[cfg(unix)]
fn restart(threads: &str) -> io::Result<()> {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    for name in VARIABLES {
        command.env(name, threads);
    }
    // Returns only if it failed.
    Err(command.exec())
}

#[cfg(not(unix))]
fn restart(_threads: &str) -> io::Result<()> {
    Ok(())
}

/// The threads that compute, as many as [`settle`] saw to.
pub(crate) fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(rayon::current_num_threads()))
}
