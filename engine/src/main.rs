//! The engine without the rest of weft, for those who work on it: `weft-engine PATH` runs a model as `weft engine`
//! does, `weft-engine --bench PATH` measures it.

use std::process::ExitCode;

use weft_engine::{Options, bench};

/// Usage errors, as everywhere in weft.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut measured = false;
    let mut options = Options::new("");
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse().ok());
        match argument.as_str() {
            "--bench" => measured = true,
            "--candle" => options.candle = true,
            "--threads" => options.threads = number(),
            "--context" => options.context = number(),
            "--parallel" => options.parallel = number().unwrap_or(Options::PARALLEL),
            path => options.model = path.into(),
        }
    }
    if options.model.as_os_str().is_empty() {
        return report(
            "usage: weft-engine [--bench] [--candle] [--threads N] [--context N] [--parallel N] PATH",
            USAGE,
        );
    }
    let outcome = if measured {
        bench::run(&options, &mut std::io::stdout())
    } else {
        weft_engine::run(&options)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&format!("error: {error}"), 1),
    }
}

#[expect(clippy::print_stderr, reason = "a program's own words")]
fn report(text: &str, code: u8) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}
