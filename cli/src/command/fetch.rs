//! `weft fetch`: gets a model by its signed id.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{ErrorCode, FetchRequest, FetchResult, Freshness, HubToken, Source, route};

use super::network::Network;
use crate::{
    context::Context,
    failure::fail,
    home::Files,
    render::{Column, Style, Table, repository, short_revision},
    units::{Size, Span, parse_duration},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft fetch weft:PUBLISHER/NAME                  the newest revision
  weft fetch alice/tiny@v1.0 --to ./tiny          a tag, into a folder
  weft fetch alice/tiny --into hf-cache           into the cache of Hugging Face clients, without a second copy
  weft fetch alice/tiny --into ollama             for `ollama run alice/tiny`, without a second copy
  weft fetch alice/tiny@3fa85c21 --json           a revision, by 8 or more characters of its id
  weft fetch hf:org/name@main                     what the hub of `origin.hub` has; HF_TOKEN opens what is gated
  weft fetch REF --web-seed https://example.org/models/tiny
  weft fetch REF --bootstrap /ip4/192.0.2.1/tcp/4777/p2p/12D3KooW…

Every byte is checked against the publisher's signature. Interrupt it whenever you like: the
same command goes on where it stopped. The last line printed is the resulting path.")]
pub(crate) struct Arguments {
    /// What to get: [weft:]PUBLISHER/NAME[@TAG|REVISION][/FILE]; PUBLISHER may be a petname or a prefix.
    /// Or hf:ORG/NAME[@REVISION], of the hub named by `origin.hub`
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Folder for the files [default: inside the data directory]
    #[arg(long, value_name = "DIR", help_heading = "Download")]
    pub(crate) to: Option<PathBuf>,
    /// Show the files where other programs look for them
    #[arg(
        long,
        value_name = "PLACE",
        value_enum,
        conflicts_with = "to",
        help_heading = "Download"
    )]
    pub(crate) into: Option<Place>,
    /// Do not offer it to others
    #[arg(long, help_heading = "Download")]
    pub(crate) no_seed: bool,
    /// Give up after this long: 30s, 5m, 2h [default: as long as there is hope]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Download")]
    pub(crate) timeout: Option<Duration>,
    /// Ask a web server too: URL is a folder with the same files; every byte is checked. May be repeated
    #[arg(long = "web-seed", value_name = "URL", help_heading = "Download")]
    pub(crate) web_seeds: Vec<String>,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Where other programs look for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Place {
    /// The cache of Hugging Face clients: HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub
    HfCache,
    /// Ollama's models (GGUF files): OLLAMA_MODELS or ~/.ollama/models
    Ollama,
}

impl Place {
    /// Where that is on this machine.
    fn path(self) -> anyhow::Result<String> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let below = |root: String, rest: &str| PathBuf::from(root).join(rest);
        let path = match self {
            Self::HfCache => variable("HF_HUB_CACHE")
                .map(PathBuf::from)
                .or_else(|| Some(below(variable("HF_HOME")?, "hub")))
                .or_else(|| Some(below(variable("XDG_CACHE_HOME")?, "huggingface/hub")))
                .or_else(|| Some(below(variable("HOME")?, ".cache/huggingface/hub"))),
            Self::Ollama => variable("OLLAMA_MODELS")
                .map(PathBuf::from)
                .or_else(|| Some(below(variable("HOME")?, ".ollama/models"))),
        };
        absolute(&path.context("could not find the folder: HOME is not set")?)
    }
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let network = arguments.network.clone();
    let mut request = request(arguments)?;
    if request.reference.starts_with("hf:") {
        request.token = hub_token(context)?;
    }
    let client = context.network(&network)?;
    let mut meter = context.screen.meter();
    let fetched: anyhow::Result<FetchResult> =
        client.stream(route::FETCH, &request, |progress| meter.update(progress));
    drop(meter);
    let fetched = fetched.with_context(|| format!("could not fetch `{}`", request.reference))?;
    context
        .screen
        .talk(&summary(&fetched, context.screen.talk_style()));
    context.screen.facts(
        &fetched,
        |fetched| vec![fetched.path.clone()],
        |fetched, _| fetched.path.clone(),
    )?;
    Ok(())
}

fn request(arguments: Arguments) -> anyhow::Result<FetchRequest> {
    let to = arguments.to.as_deref().map(absolute).transpose()?;
    let place = |wanted| {
        let place = arguments.into.filter(|place| *place == wanted);
        place.map(Place::path).transpose()
    };
    let (cache, ollama) = (place(Place::HfCache)?, place(Place::Ollama)?);
    Ok(FetchRequest {
        reference: arguments.reference,
        to,
        cache,
        ollama,
        seed: !arguments.no_seed,
        timeout_seconds: arguments.timeout.map(|timeout| timeout.as_secs().max(1)),
        web_seeds: arguments.web_seeds,
        token: None,
    })
}

/// What HF_TOKEN holds for another hub. This node's own token, which `weft env --hf` puts there, goes nowhere.
fn hub_token(context: &Context) -> anyhow::Result<Option<HubToken>> {
    let token = env::var("HF_TOKEN").unwrap_or_default().trim().to_owned();
    let own = std::fs::read_to_string(Files::new(&context.home()?).token).unwrap_or_default();
    let is_own = token == own.trim() || token == weft_node::hub_token(&own);
    Ok((!token.is_empty() && !is_own).then_some(HubToken(token)))
}

fn absolute(path: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(path)
        .with_context(|| format!("could not find `{}`", path.display()))?;
    let text = absolute.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        fail(
            ErrorCode::Usage,
            format!("the path `{}` is not valid UTF-8", path.display()),
            "choose another folder",
        )
    })
}

fn summary(fetched: &FetchResult, style: Style) -> String {
    let seconds = Duration::from_secs_f64(fetched.seconds.clamp(0.0, 1e12));
    let mut text = format!(
        "{} of {}@{} in {}",
        Size(fetched.bytes_total),
        repository(&fetched.repository, None),
        short_revision(&fetched.revision),
        Span(seconds)
    );
    if fetched.bytes_reused > 0 {
        text.push_str(&format!(
            ", {} of it were here already",
            Size(fetched.bytes_reused)
        ));
    }
    if fetched.verified {
        text.push_str(", verified");
    }
    if !fetched.sources.is_empty() {
        text.push('\n');
        text.push_str(&sources(&fetched.sources, style));
    }
    match fetched.freshness {
        Some(Freshness::Stale) => text.push_str(
            "\nhint: the publisher has not confirmed lately that this is the newest revision; try again later",
        ),
        Some(Freshness::Expired) => text.push_str(
            "\nhint: the publisher's signature on this head has expired; ask the publisher whether there is a newer one",
        ),
        Some(Freshness::Fresh | Freshness::Forked) | None => {}
    }
    text
}

fn sources(sources: &[Source], style: Style) -> String {
    let total = sources
        .iter()
        .map(|source| u128::from(source.bytes))
        .sum::<u128>();
    let mut table = Table::new([
        Column::Left("FROM"),
        Column::Right("BYTES"),
        Column::Right("SHARE"),
    ]);
    for source in sources {
        let percent = (u128::from(source.bytes) * 100)
            .checked_div(total)
            .unwrap_or(0);
        table.row([
            match source.peer.contains("://") {
                true => source.peer.clone(),
                false => source.peer.chars().take(16).collect(),
            },
            Size(source.bytes).to_string(),
            format!("{percent} %"),
        ]);
    }
    table.render(style, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_tells_who_sent_how_much() {
        let source = |peer: &str, bytes| Source {
            peer: peer.repeat(32),
            bytes,
        };
        let fetched = FetchResult {
            path: "/x".to_owned(),
            repository: format!("{}/tiny", "a".repeat(52)),
            revision: "12".repeat(32),
            files: 3,
            bytes_total: 4_000_000,
            bytes_fetched: 3_000_000,
            bytes_reused: 1_000_000,
            seconds: 2.0,
            verified: true,
            sources: vec![source("ab", 2_000_000), source("cd", 1_000_000)],
            freshness: Some(Freshness::Stale),
        };
        let text = summary(&fetched, Style::plain());
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap(),
            "4.0 MB of aaaaaaaaaa/tiny@121212121212 in 2 s, 1.0 MB of it were here already, verified"
        );
        assert!(text.contains("66 %") && text.contains("33 %"), "{text}");
        assert!(lines.next_back().unwrap().starts_with("hint:"));
    }
}
