//! Runs scenarios from the command line.

mod arguments;

use std::{
    io::{self, Write},
    process::{Command, ExitCode},
    time::Instant,
};

use arguments::{Asked, Crowd, Sweep};
use weft_simulations::{
    LOOPBACK,
    report::{Report, book},
    scenario::{NAMES, Named, Setup},
    sweep,
};

fn main() -> io::Result<ExitCode> {
    let asked = arguments::parse().unwrap_or_else(|error| error.exit());
    with_large_pages();
    let mut out = io::stdout().lock();
    match asked {
        Asked::List => {
            for named in NAMES {
                writeln!(out, "{:<18} {}", named.name, named.about)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Asked::Run(named, crowd) => {
            let began = real_time();
            let report = crowd.setup(named).run().report;
            if !crowd.quiet {
                let seconds = began.elapsed().as_secs_f64();
                let rate = report.events as f64 / seconds;
                let told = format!("{seconds:.1} s of real time, {rate:.0} events a second");
                writeln!(io::stderr(), "{told}")?;
            }
            tell(&mut out, &report, crowd.json)
        }
        Asked::Replay(replay) => {
            let setup = replay.crowd.setup(replay.scenario.named());
            let run = setup.run_traced(Some(Box::new(io::stderr())));
            tell(&mut out, &run.report, replay.crowd.json)
        }
        Asked::Sweep(asked) => run_sweep(&mut out, &asked),
        Asked::Report(asked) => {
            let plan = book::Plan {
                seeds: asked.seeds,
                jobs: asked.jobs,
                peers_max: asked.peers_max,
                runs: asked.runs,
            };
            let met = book::write(&asked.out, &plan, &mut |line| {
                // Whoever waits is told how far it is; nothing depends on it.
                let _ = writeln!(io::stderr(), "{line}");
            })?;
            writeln!(out, "{}: {met}", asked.out.display())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Begins anew with large pages and a large cache of freed memory. A thousand hosts are hundreds of megabytes, of which
/// each happening touches a little somewhere: with small pages most of that time goes into finding the page.
fn with_large_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt as _;
        const TUNABLES: &str = "GLIBC_TUNABLES";
        if std::env::var_os(TUNABLES).is_some() {
            return;
        }
        if let Ok(program) = std::env::current_exe() {
            let mut again = Command::new(program);
            again.args(std::env::args_os().skip(1));
            again.env(TUNABLES, LARGE_PAGES);
            // It returns only if it failed: small pages do as well.
            drop(again.exec());
        }
    }
}

/// What glibc is told.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=1000";

/// The one clock in this crate: how long a person waits for a run.
#[expect(
    clippy::disallowed_methods,
    reason = "it is told to whoever asked and reaches no run"
)]
fn real_time() -> Instant {
    Instant::now()
}

fn run_sweep(out: &mut impl Write, asked: &Sweep) -> io::Result<ExitCode> {
    let with = |seed| Crowd {
        seed,
        ..asked.crowd.clone()
    };
    let seeds = asked.seeds.from..asked.seeds.to;
    let setups: Vec<Setup> = seeds
        .map(|seed| with(seed).setup(asked.scenario.named()))
        .collect();
    let reports = sweep::run(&setups, asked.jobs);
    let mut code = ExitCode::SUCCESS;
    for report in &reports {
        if tell(out, report, asked.crowd.json)? != ExitCode::SUCCESS {
            code = ExitCode::FAILURE;
        }
    }
    if !asked.crowd.json {
        writeln!(out, "{}", sweep::summary(&reports))?;
    }
    Ok(code)
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
        if !self.seed_ups.is_empty() {
            setup.seed_ups.clone_from(&self.seed_ups);
        }
        let unlimited = |up: &u64| if *up == 0 { LOOPBACK } else { *up };
        setup.one_machine = self.one_machine.iter().map(unlimited).collect();
        setup.bytes = self.bytes;
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
        writeln!(out, "{report}")?;
    }
    Ok(if report.completed == report.expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
