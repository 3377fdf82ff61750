//! What can be typed.

use clap::{Args, Parser, Subcommand};
use weft_simulations::scenario::{Lines, Named, named};

/// Whole swarms in virtual time: the code that real nodes run, on modelled lines, replayable by number.
#[derive(Debug, Parser)]
#[command(name = "weft-simulations", version, subcommand_required = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) asked: Asked,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Asked {
    /// Lists the scenarios.
    List,
    /// Runs a scenario and writes every input and output of every machine to stderr.
    Replay {
        /// Which scenario.
        scenario: Scenario,
        #[command(flatten)]
        crowd: Crowd,
    },
    /// Runs a scenario with many seeds.
    Sweep {
        /// Which scenario.
        scenario: Scenario,
        /// From the first seed up to, and without, the second.
        #[arg(long, value_name = "A..B", default_value = "0..20")]
        seeds: Seeds,
        /// Runs at the same time; each is single-threaded.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
        #[command(flatten)]
        crowd: Crowd,
    },
    #[command(flatten)]
    One(One),
}

macro_rules! scenarios {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// One subcommand a scenario.
        #[derive(Debug, Subcommand)]
        pub(crate) enum One {
            $($(#[$doc])* $variant(Crowd),)*
        }

        impl One {
            /// Which scenario, and with what.
            pub(crate) fn split(self) -> (&'static Named, Crowd) {
                let (name, crowd) = match self {
                    $(Self::$variant(crowd) => ($name, crowd),)*
                };
                (named(name).expect("each subcommand is a scenario"), crowd)
            }
        }
    };
}

scenarios! {
    /// One seed publishes, everybody fetches at once.
    FlashCrowd => "flash-crowd",
    /// Fibre, cable, DSL and mobile lines, some behind NAT, some losing packets.
    MixedBandwidth => "mixed-bandwidth",
    /// A fifth of the crowd dies, half of them for good; as many arrive late.
    Churn => "churn",
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
