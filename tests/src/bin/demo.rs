//! `make demo`: the main job before a newcomer's eyes. See [`weft_tests::demo`].

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_tests::demo::main()
}
