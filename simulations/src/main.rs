//! Runs scenarios from the command line: `weft-simulations list`, `weft-simulations flash-crowd --peers 50`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use weft_simulations::scenario::{CrowdReport, flash_crowd};

const USAGE: &str = "\
usage: weft-simulations list
       weft-simulations flash-crowd [--peers N] [--pieces P] [--seed S] [--json]";

/// What was typed.
struct Options {
    scenario: String,
    peers: usize,
    pieces: u64,
    seed: u64,
    json: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            // Nothing is left to do if even this cannot be written.
            let _ = writeln!(io::stderr(), "error: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let options = parse(std::env::args().skip(1))?;
    let mut out = io::stdout().lock();
    match options.scenario.as_str() {
        "list" => {
            let line = "flash-crowd  one seed publishes, everybody fetches at once";
            writeln!(out, "{line}").map_err(|error| error.to_string())?;
            Ok(true)
        }
        "flash-crowd" => {
            let report = flash_crowd(options.seed, options.peers, options.pieces);
            let text = if options.json {
                json(options.seed, &report)
            } else {
                words(options.seed, &report)
            };
            writeln!(out, "{text}").map_err(|error| error.to_string())?;
            Ok(report.completed == report.peers)
        }
        other => Err(format!("there is no scenario `{other}`")),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        scenario: arguments.next().ok_or("no scenario was named")?,
        peers: 20,
        pieces: 100,
        seed: 1,
        json: false,
    };
    while let Some(flag) = arguments.next() {
        if flag == "--json" {
            options.json = true;
            continue;
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("`{flag}` needs a value"))?;
        let number: u32 = value
            .parse()
            .map_err(|_| format!("`{value}` is not a number"))?;
        match flag.as_str() {
            "--peers" => options.peers = number.try_into().map_err(|_| "too many peers")?,
            "--pieces" => options.pieces = number.into(),
            "--seed" => options.seed = number.into(),
            _ => return Err(format!("there is no flag `{flag}`")),
        }
    }
    Ok(options)
}

fn json(seed: u64, report: &CrowdReport) -> String {
    format!(
        "{{\"scenario\":\"flash-crowd\",\"seed\":{seed},\"peers\":{},\"completed\":{},\"half_ms\":{},\
         \"all_ms\":{},\"bytes_total\":{},\"seed_bytes\":{},\"bytes_sent\":{},\"steps\":{},\"trace\":\"{}\"}}",
        report.peers,
        report.completed,
        report.half_ms,
        report.all_ms,
        report.bytes_total,
        report.seed_bytes,
        report.bytes_sent,
        report.steps,
        report.trace
    )
}

fn words(seed: u64, report: &CrowdReport) -> String {
    let copies = |bytes: u64| bytes * 100 / report.bytes_total.max(1);
    format!(
        "flash-crowd, seed {seed}: {} of {} peers complete\n\
         half of them after {} ms, all after {} ms\n\
         the seed sent {} % of one copy, everybody together {} %\n\
         {} steps, trace {}",
        report.completed,
        report.peers,
        report.half_ms,
        report.all_ms,
        copies(report.seed_bytes),
        copies(report.bytes_sent),
        report.steps,
        report.trace
    )
}
