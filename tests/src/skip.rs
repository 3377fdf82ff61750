//! Tests that this machine cannot run say so where somebody sees it.

use std::{env, fs::File, io::Write as _};

/// Says loudly that something was not tested, and why.
///
/// Runners hide what a passing test prints, so it is also added to the file that `WEFT_SKIPPED` names;
/// `make test` shows that file at the end.
#[expect(clippy::print_stderr, reason = "this is for whoever runs the tests")]
pub fn skipped(why: &str) {
    let line = format!("*** SKIPPED: {why} ***");
    eprintln!("{line}");
    let file = env::var_os("WEFT_SKIPPED")
        .and_then(|path| File::options().create(true).append(true).open(path).ok());
    if let Some(mut file) = file {
        // The line on stderr is still there.
        let _ = writeln!(file, "{line}");
    }
}
