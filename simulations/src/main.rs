//! Runs scenarios from the command line.

mod arguments;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use arguments::{Arguments, Asked, Crowd};
use clap::Parser;
use weft_simulations::{
    report::Report,
    scenario::{NAMES, Named, Setup},
};

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = io::stdout().lock();
    match arguments.asked {
        Asked::List => {
            for named in NAMES {
                writeln!(out, "{:<18} {}", named.name, named.about)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Asked::Replay { scenario, crowd } => {
            let setup = crowd.setup(scenario.named());
            let run = setup.run_traced(Some(Box::new(io::stderr())));
            tell(&mut out, &run.report, crowd.json)
        }
        Asked::Sweep {
            scenario,
            seeds,
            jobs,
            crowd,
        } => {
            let setups: Vec<Setup> = (seeds.from..seeds.to)
                .map(|seed| {
                    Crowd {
                        seed,
                        ..crowd.clone()
                    }
                    .setup(scenario.named())
                })
                .collect();
            let reports = weft_simulations::sweep::run(&setups, jobs);
            let mut code = ExitCode::SUCCESS;
            for report in &reports {
                if tell(&mut out, report, crowd.json)? != ExitCode::SUCCESS {
                    code = ExitCode::FAILURE;
                }
            }
            if !crowd.json {
                writeln!(out, "{}", weft_simulations::sweep::summary(&reports))?;
            }
            Ok(code)
        }
        Asked::One(one) => {
            let (named, crowd) = one.split();
            let began = real_time();
            let run = crowd.setup(named).run();
            if !crowd.quiet {
                let seconds = began.elapsed().as_secs_f64();
                let rate = run.report.events as f64 / seconds;
                writeln!(
                    io::stderr(),
                    "{seconds:.1} s of real time, {rate:.0} events a second"
                )?;
            }
            tell(&mut out, &run.report, crowd.json)
        }
    }
}

/// The one clock in this crate: how long a person waits for a run.
#[expect(
    clippy::disallowed_methods,
    reason = "it is told to whoever asked and reaches no run"
)]
fn real_time() -> Instant {
    Instant::now()
}

impl Crowd {
    /// The setup of a scenario with what was typed.
    fn setup(&self, named: &Named) -> Setup {
        let peers = self.peers.unwrap_or(named.peers);
        let pieces = self.pieces.unwrap_or(named.pieces);
        let mut setup = named.setup(self.seed, peers, pieces);
        if let Some(up) = self.seed_up {
            setup.seed_ups = vec![up];
        }
        if let Some(lines) = self.lines() {
            setup.lines = lines;
        }
        if let Some(neighbours) = self.neighbours {
            setup.neighbours = neighbours;
        }
        setup
    }
}

/// Prints a report; failure if somebody did not finish.
fn tell(out: &mut impl Write, report: &Report, json: bool) -> io::Result<ExitCode> {
    if json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
    } else {
        writeln!(
            out,
            "{}, seed {}: {} of {} hosts have {} pieces; last after {:.1} s, half after {:.1} s, bound {:.1} s: {:.3} times; \
             the seed sent {:.2} copies; {:.2} % more than needed; {} events; trace {}",
            report.scenario,
            report.seed,
            report.completed,
            report.expected,
            report.pieces,
            report.last_seconds,
            report.p50_seconds,
            report.bound_seconds,
            report.ratio_last,
            report.seed_copies,
            report.duplicate_fraction * 100.0,
            report.events,
            report.trace_hash,
        )?;
    }
    Ok(if report.completed == report.expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
