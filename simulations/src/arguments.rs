//! What can be typed. Each scenario is a subcommand of its own.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use weft_simulations::scenario::{Lines, NAMES, Named, named};

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The names of all scenarios.
    List,
    /// One run.
    Run(&'static Named, Crowd),
    /// One run with everything that is done on stderr.
    Replay(Replay),
    /// Many runs.
    Sweep(Sweep),
    /// The report with its pictures.
    Report(Report),
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Asked, clap::Error> {
    let matches = command().get_matches();
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(Asked::List);
    };
    let scenario =
        |matches: &ArgMatches, named| Ok(Asked::Run(named, Crowd::from_arg_matches(matches)?));
    match (name, named(name)) {
        ("replay", _) => Replay::from_arg_matches(matches).map(Asked::Replay),
        ("sweep", _) => Sweep::from_arg_matches(matches).map(Asked::Sweep),
        ("report", _) => Report::from_arg_matches(matches).map(Asked::Report),
        (_, Some(named)) => scenario(matches, named),
        (_, None) => Ok(Asked::List),
    }
}

fn command() -> Command {
    let about = "Whole swarms in virtual time: the code that real nodes run, on modelled lines, replayable by number.";
    let examples = "Examples:\n  weft-simulations flash-crowd --peers 1000 --pieces 400 --seed 7 --json\n  \
                    weft-simulations sweep churn --seeds 0..20 --jobs 2\n  \
                    weft-simulations replay faults --seed 3 2> trace.txt";
    let own =
        [
            Command::new("list").about("List the scenarios"),
            Replay::augment_args(Command::new("replay").about(
                "Run a scenario and write every input and output of every machine to stderr",
            )),
            Sweep::augment_args(Command::new("sweep").about("Run a scenario with many seeds")),
            Report::augment_args(
                Command::new("report")
                    .about("Measure against the targets and write the report with its pictures"),
            ),
        ];
    let one = |named: &Named| Crowd::augment_args(Command::new(named.name).about(named.about));
    Command::new("weft-simulations")
        .about(about)
        .after_help(examples)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(own)
        .subcommands(NAMES.iter().map(one))
}

/// One run, written out.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Which scenario.
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
}

/// Many runs.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Which scenario.
    pub(crate) scenario: Scenario,
    /// From the first seed up to, and without, the second.
    #[arg(long, value_name = "A..B", default_value = "0..20")]
    pub(crate) seeds: Seeds,
    /// Runs at the same time; each is single-threaded.
    #[arg(long, default_value_t = 1)]
    pub(crate) jobs: usize,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
}

/// The report.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Where to write it.
    #[arg(long, default_value = "docs/simulations")]
    pub(crate) out: PathBuf,
    /// Seeds for each row of 100 peers; larger crowds take fewer.
    #[arg(long, default_value_t = 20)]
    pub(crate) seeds: u64,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    pub(crate) jobs: usize,
    /// Crowds of more peers than this are left out.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) peers_max: usize,
    /// Writes the figures of each run to this file, and takes those that are in it: a report can be interrupted and
    /// continued. Only runs of this very program may be in it.
    #[arg(long)]
    pub(crate) runs: Option<PathBuf>,
}

/// Who takes part.
#[derive(Debug, Clone, Args)]
pub(crate) struct Crowd {
    /// Hosts that fetch.
    #[arg(long)]
    pub(crate) peers: Option<usize>,
    /// Pieces of what they fetch (256 KiB each, 1 MiB from 400 on).
    #[arg(long)]
    pub(crate) pieces: Option<u64>,
    /// What everything random comes from: the same number gives the same run.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Upload of the seed in bytes per second.
    #[arg(long, value_name = "BYTES")]
    pub(crate) seed_up: Option<u64>,
    /// Upload of every peer in bytes per second.
    #[arg(long, value_name = "BYTES", requires = "down")]
    pub(crate) up: Option<u64>,
    /// Download of every peer in bytes per second.
    #[arg(long, value_name = "BYTES", requires = "up")]
    pub(crate) down: Option<u64>,
    /// Puts all hosts on one machine, as the benchmark of real processes does: upload of each peer in bytes per second,
    /// by turns; 0 is unlimited.
    #[arg(long, value_name = "BYTES,…", value_delimiter = ',')]
    pub(crate) one_machine: Vec<u64>,
    /// Upload of several seeds in bytes per second.
    #[arg(
        long,
        value_name = "BYTES,…",
        value_delimiter = ',',
        conflicts_with = "seed_up"
    )]
    pub(crate) seed_ups: Vec<u64>,
    /// Size of the one file that they fetch, instead of pieces.
    #[arg(long, conflicts_with = "pieces")]
    pub(crate) bytes: Option<u64>,
    /// Connections with which a host stops dialling others.
    #[arg(long)]
    pub(crate) neighbours: Option<usize>,
    /// Prints one JSON object a run.
    #[arg(long)]
    pub(crate) json: bool,
    /// Says nothing about the real time taken.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl Crowd {
    /// The lines that were asked for.
    pub(crate) fn lines(&self) -> Option<Lines> {
        self.up
            .zip(self.down)
            .map(|(up, down)| Lines::Same(up, down))
    }
}

/// A scenario's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario(&'static Named);

impl Scenario {
    pub(crate) fn named(self) -> &'static Named {
        self.0
    }
}

impl std::str::FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = named(name).map(Self);
        found.ok_or_else(|| format!("there is no scenario `{name}`; `list` shows all"))
    }
}

/// A range of seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl std::str::FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once("..").ok_or("write it as `0..20`")?;
        let number = |text: &str| {
            text.parse()
                .map_err(|_| format!("`{text}` is not a number"))
        };
        let (from, to) = (number(parts.0)?, number(parts.1)?);
        if from >= to {
            return Err("the range is empty".to_owned());
        }
        Ok(Self { from, to })
    }
}
