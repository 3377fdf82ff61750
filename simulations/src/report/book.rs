//! The report: every scenario with its picture, and every target with what was measured.
//!
//! Runs depend on their seed alone, so the same plan writes the same files on every machine.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Report, made::Made, picture};
use crate::scenario::{NAMES, Named, Setup, named};

/// How much to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seeds for each row of at most a hundred peers.
    pub seeds: u64,
    /// Runs at the same time.
    pub jobs: usize,
    /// Crowds of more peers than this are left out.
    pub peers_max: usize,
    /// Where the figures of runs are kept and taken from.
    pub runs: Option<PathBuf>,
}

/// Hosts in a picture: as many as can be told apart.
const GALLERY_PEERS: usize = 40;

/// One target.
struct Target {
    scenario: &'static str,
    peers: usize,
    pieces: u64,
    /// What is asked for, in words.
    asked: &'static str,
    /// What was measured, and whether it is within the target.
    judge: fn(&[Report], &[Report]) -> (String, bool),
    /// Whether the same crowd without adversaries is measured to compare with.
    compared: bool,
}

/// The targets of the swarm.
const TARGETS: &[Target] = &[
    flash(
        100,
        "last peer ≤ 1.15 × bound, seed ≤ 1.3 copies",
        |runs, _| crowd(runs, 1.15),
    ),
    flash(
        1_000,
        "last peer ≤ 1.20 × bound, seed ≤ 1.3 copies",
        |runs, _| crowd(runs, 1.20),
    ),
    flash(
        10_000,
        "last peer ≤ 1.25 × bound, seed ≤ 1.3 copies",
        |runs, _| crowd(runs, 1.25),
    ),
    Target {
        scenario: "churn",
        peers: 100,
        pieces: 400,
        asked: "last peer ≤ 1.40 × bound, seed ≤ 1.3 copies",
        judge: |runs, _| crowd(runs, 1.40),
        compared: false,
    },
    Target {
        scenario: "poisoners",
        peers: 32,
        pieces: 400,
        asked: "≤ 1.30 × clean, ≤ 1 % wasted + 64 KiB a liar, all liars named",
        judge: poisoners,
        compared: true,
    },
    Target {
        scenario: "silent-peers",
        peers: 100,
        pieces: 400,
        asked: "≤ 1.25 × clean, ≤ 2 % duplicates",
        judge: silent,
        compared: true,
    },
    Target {
        scenario: "free-riders",
        peers: 100,
        pieces: 400,
        asked: "honest half ≤ 1.25 × clean, riders no faster",
        judge: riders,
        compared: true,
    },
];

const fn flash(
    peers: usize,
    asked: &'static str,
    judge: fn(&[Report], &[Report]) -> (String, bool),
) -> Target {
    Target {
        scenario: "flash-crowd",
        peers,
        pieces: 400,
        asked,
        judge,
        compared: false,
    }
}

/// Runs everything and writes `README.md` and the pictures; says how many targets were met.
///
/// # Errors
/// If a file cannot be written.
///
/// # Panics
/// If something happens in a run that must not.
pub fn write(out: &Path, plan: &Plan, tell: &mut dyn FnMut(&str)) -> io::Result<String> {
    fs::create_dir_all(out)?;
    let mut rows = String::new();
    let mut made = Made::open(plan.runs.clone())?;
    let (mut met, mut measured) = (0, 0);
    for target in TARGETS
        .iter()
        .filter(|target| target.peers <= plan.peers_max)
    {
        tell(&format!("{} with {} peers", target.scenario, target.peers));
        let (row, good) = target.row(plan, &mut made)?;
        rows.push_str(&row);
        measured += 1;
        met += usize::from(good);
    }
    let mut gallery = String::new();
    for named in NAMES {
        tell(&format!("picture of {}", named.name));
        gallery.push_str(&show(named, out)?);
    }
    let left_out = TARGETS.len() - measured;
    let told = format!("{met} of {measured} targets met");
    fs::write(
        out.join("README.md"),
        page(plan, &rows, &gallery, &told, left_out),
    )?;
    Ok(told)
}

impl Target {
    /// Fewer seeds for larger crowds: their runs differ less and take longer.
    fn seeds(&self, plan: &Plan) -> u64 {
        match self.peers {
            0..=100 => plan.seeds,
            101..=1_000 => plan.seeds.div_ceil(4),
            _ => plan.seeds.div_ceil(20),
        }
    }

    fn row(&self, plan: &Plan, made: &mut Made) -> io::Result<(String, bool)> {
        let named = named(self.scenario).expect("targets name scenarios");
        let setups: Vec<_> = (0..self.seeds(plan))
            .map(|seed| named.setup(seed, self.peers, self.pieces))
            .collect();
        let runs = made.run(&setups, plan.jobs)?;
        let clean: Vec<_> = setups.iter().map(Setup::clean).collect();
        let clean = if self.compared {
            made.run(&clean, plan.jobs)?
        } else {
            Vec::new()
        };
        let (figures, good) = (self.judge)(&runs, &clean);
        let everybody = runs.iter().all(|run| run.completed == run.expected);
        let verdict = match (everybody, good) {
            (false, _) => "missed: somebody did not finish",
            (true, true) => "met",
            (true, false) => "missed",
        };
        let row = format!(
            "| {} | {} | {} | {} | {figures} | {verdict} |\n",
            self.scenario,
            self.peers,
            runs.len(),
            self.asked
        );
        Ok((row, everybody && good))
    }
}

/// Middle and worst of a figure over all runs.
fn spread(runs: &[Report], value: impl Fn(&Report) -> f64) -> (f64, f64) {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len().saturating_sub(1) / 2).copied();
    (
        middle.unwrap_or(f64::NAN),
        values.last().copied().unwrap_or(f64::NAN),
    )
}

/// Over all runs, the worst of a figure against the same figure of the clean run.
fn against(runs: &[Report], clean: &[Report], value: fn(&Report) -> f64) -> f64 {
    let pairs = runs.iter().zip(clean);
    pairs
        .map(|(run, clean)| value(run) / value(clean))
        .fold(0.0, f64::max)
}

fn by(worst: f64, target: f64) -> String {
    let off = (worst / target - 1.0) * 100.0;
    if off > 0.0 {
        format!(", {off:.0} % over")
    } else {
        String::new()
    }
}

fn crowd(runs: &[Report], target: f64) -> (String, bool) {
    let (middle, worst) = spread(runs, |run| run.ratio_last);
    let (_, copies) = spread(runs, |run| run.seed_copies);
    let told = format!(
        "{middle:.3} × bound, worst {worst:.3}{}; seed {copies:.2} copies at most{}",
        by(worst, target),
        by(copies, 1.3)
    );
    (told, worst <= target && copies <= 1.3)
}

fn poisoners(runs: &[Report], clean: &[Report]) -> (String, bool) {
    let slower = against(runs, clean, |run| run.last_seconds);
    let (_, bound) = spread(runs, |run| run.ratio_last);
    let allowed = |run: &Report| {
        let liars = run.liars_named.map_or(0, |(liars, _)| liars);
        0.01 + liars as f64 * 65_536.0 / run.bytes as f64
    };
    let (_, wasted) = spread(runs, |run| run.duplicate_fraction);
    let within = runs
        .iter()
        .all(|run| run.duplicate_fraction <= allowed(run));
    let named = runs
        .iter()
        .all(|run| run.liars_named.is_some_and(|(liars, named)| liars == named));
    let missed = runs
        .iter()
        .filter_map(|run| run.liars_named)
        .map(|(liars, named)| liars - named)
        .max();
    let told = format!(
        "{slower:.3} × clean at worst{} ({bound:.3} × bound); {:.2} % wasted; {} liars not named",
        by(slower, 1.3),
        wasted * 100.0,
        missed.unwrap_or(0)
    );
    (told, slower <= 1.3 && within && named)
}

fn silent(runs: &[Report], clean: &[Report]) -> (String, bool) {
    let slower = against(runs, clean, |run| run.last_seconds);
    let (_, bound) = spread(runs, |run| run.ratio_last);
    let (_, twice) = spread(runs, |run| run.duplicate_fraction);
    let told = format!(
        "{slower:.3} × clean at worst{} ({bound:.3} × bound); {:.2} % duplicates",
        by(slower, 1.25),
        twice * 100.0
    );
    (told, slower <= 1.25 && twice <= 0.02)
}

fn riders(runs: &[Report], clean: &[Report]) -> (String, bool) {
    let slower = against(runs, clean, |run| run.p50_seconds);
    let (_, bound) = spread(runs, |run| run.ratio_last);
    let ahead = |run: &Report| run.riders.map_or(0.0, |(_, half)| run.p50_seconds / half);
    let (_, faster) = spread(runs, ahead);
    let told = format!(
        "honest half {slower:.3} × clean at worst{} (last {bound:.3} × bound); riders take {:.3} times as long at least",
        by(slower, 1.25),
        1.0 / faster
    );
    (told, slower <= 1.25 && faster <= 1.0)
}

/// One scenario with its picture.
fn show(named: &Named, out: &Path) -> io::Result<String> {
    let run = named
        .setup(1, named.peers.min(GALLERY_PEERS), named.pieces)
        .run();
    let drawn = picture::draw(&run).map_err(|error| io::Error::other(error.to_string()))?;
    fs::write(out.join(format!("{}.svg", named.name)), drawn)?;
    let report = &run.report;
    let mut text = String::new();
    let _ = writeln!(text, "### {}\n", named.name);
    let _ = writeln!(
        text,
        "{}{}. {} of {} hosts finished, the last after {:.1} s ({:.2} × the bound of {:.1} s); the seed sent {:.2} copies; \
         honest hosts received {:.2} % more than they needed.\n",
        named.about.get(..1).unwrap_or_default().to_uppercase(),
        named.about.get(1..).unwrap_or_default(),
        report.completed,
        report.expected,
        report.last_seconds,
        report.ratio_last,
        report.bound_seconds,
        report.seed_copies,
        report.duplicate_fraction * 100.0
    );
    let _ = writeln!(text, "![{0}]({0}.svg)\n", named.name);
    Ok(text)
}

fn page(plan: &Plan, rows: &str, gallery: &str, told: &str, left_out: usize) -> String {
    let missing = match left_out {
        0 => String::new(),
        count => format!(
            " {count} larger ones were left out (`--peers-max {}`).",
            plan.peers_max
        ),
    };
    format!(
        "# Simulations\n\n\
         Written by `make simulate`; do not edit. Whole swarms run in one process and in virtual time: every host is the machine \
         that real nodes run (`weft_protocol::service`), lines are modelled. The same seed gives the same run, so the same command \
         writes the same page: `cargo run --release -p weft-simulations -- report --seeds {} --peers-max {}`.\n\n\
         The bound is what the lines alone need: the largest of size / the seed's upload, size / the slowest download, and \
         peers × size / all uploads together; of \
         crowds with adversaries, only honest hosts and their lines count, and clean is a run of the same honest hosts alone. Unless a scenario says otherwise, everybody sends 5 MB/s and takes 12.5 MB/s, the \
         seed as well, hosts sit on five continents 12 to 300 ms apart, and what they fetch has 400 MiB in 400 pieces.\n\n\
         ## Targets\n\n\
         {told}.{missing}\n\n\
         | scenario | peers | seeds | target | measured | |\n|---|---|---|---|---|---|\n{rows}\n\
         ## Scenarios\n\n\
         One run each, with seed 1 and 40 peers at most.\n\n{gallery}\
         ## What is modelled, and what is not\n\n\
         Bytes are fluids: every line up and down is shared max-min fairly between the pairs that use it, and a pair's transfers \
         share evenly, as streams of one connection do. A lossy path carries at most what Mathis' formula allows. There is no slow \
         start, no queue and no packet. Questions, gossip and DHT answers take time but no bandwidth. The DHT finds whatever is in \
         it, twenty providers at a time. Hosts dial until they have 30 connections, those under way included, and take in no more than 60. \
         What a host gained is told at most every 250 ms, later if the watcher has it too, and read ten times a second. Verified chunk groups of a piece that broke off are kept, as the blob store does. Every \
         input and output of every machine goes into the trace hash; oracles are checked after each event, by sample above 300 hosts.\n",
        plan.seeds, plan.peers_max
    )
}
