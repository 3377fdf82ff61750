//! `weft id`: publisher identities.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use weft_node::api::{
    IdentitiesResponse, IdentityView, NewIdentity, NewIdentityRequest, RecoverRequest,
    RotateRequest, route,
};

use super::network::Network;
use crate::{
    context::Context,
    phrase,
    render::{Style, fields},
};

#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  weft id show                                    your identities
  weft id new --alias work                        one more
  weft id rotate                                  replace keys that may have been stolen
  weft id recover PUBLISHER/NAME                  sign on this machine from now on

You need none of this to begin: `weft publish` makes an identity when there is none."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Create an identity and show its recovery phrase, once
    New {
        /// Petname to give it
        #[arg(long, value_name = "NAME")]
        alias: Option<String>,
    },
    /// Show your identities, or any publisher that this node knows
    Show {
        /// Id, prefix or petname
        #[arg(value_name = "PUBLISHER")]
        publisher: Option<String>,
    },
    /// Replace all keys in use; asks for the recovery phrase
    Rotate(WithPhrase),
    /// Take an identity to this machine with its recovery phrase
    Recover {
        /// One of its repositories, PUBLISHER/NAME, looked for to learn about the identity; or PUBLISHER alone, if
        /// this node knows it
        #[arg(value_name = "PUBLISHER[/NAME]")]
        publisher: String,
        /// File with the 24 words [default: WEFT_RECOVERY_PHRASE, else standard input]
        #[arg(long, value_name = "FILE")]
        phrase_file: Option<PathBuf>,
        /// Petname to give it
        #[arg(long, value_name = "NAME")]
        alias: Option<String>,
        #[command(flatten)]
        network: Network,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WithPhrase {
    /// Id, prefix or petname [default: your only or first identity]
    #[arg(value_name = "PUBLISHER")]
    pub(crate) publisher: Option<String>,
    /// File with the 24 words [default: WEFT_RECOVERY_PHRASE, else standard input]
    #[arg(long, value_name = "FILE")]
    pub(crate) phrase_file: Option<PathBuf>,
}

impl WithPhrase {
    fn file(&self) -> Option<&Path> {
        self.phrase_file.as_deref()
    }
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.action {
        Action::New { alias } => new(alias, context),
        Action::Show { publisher } => show(publisher.as_deref(), context),
        Action::Rotate(with) => rotate(with, context),
        Action::Recover {
            publisher,
            phrase_file,
            alias,
            network,
        } => {
            let phrase = phrase::ask(phrase_file.as_deref(), &context.screen)?;
            let request = RecoverRequest {
                publisher: Some(publisher),
                phrase,
                alias,
            };
            recover(&request, &network, context)
        }
    }
}

fn new(alias: Option<String>, context: &Context) -> anyhow::Result<()> {
    let created: NewIdentity = context
        .local()?
        .post(route::IDENTITY_NEW, &NewIdentityRequest { alias })
        .context("could not create an identity")?;
    if !context.screen.is_json() {
        phrase::show(&created.recovery_phrase, &context.screen);
    }
    context.screen.facts(
        &created,
        |created| vec![created.identity.publisher.clone()],
        |created, style| human(&created.identity, style),
    )?;
    Ok(())
}

fn show(publisher: Option<&str>, context: &Context) -> anyhow::Result<()> {
    let query: Vec<(&str, &str)> = publisher
        .map(|publisher| ("publisher", publisher))
        .into_iter()
        .collect();
    let identities: IdentitiesResponse = context
        .local()?
        .get(route::IDENTITIES, &query)
        .context("could not read identities")?;
    context.screen.facts(
        &identities,
        |answer| {
            answer
                .identities
                .iter()
                .map(|one| one.publisher.clone())
                .collect()
        },
        |answer, style| {
            if answer.identities.is_empty() {
                return "no identity yet; `weft publish` or `weft id new` creates one".to_owned();
            }
            let all: Vec<String> = answer
                .identities
                .iter()
                .map(|one| human(one, style))
                .collect();
            all.join("\n\n")
        },
    )?;
    Ok(())
}

fn rotate(with: WithPhrase, context: &Context) -> anyhow::Result<()> {
    let phrase = phrase::ask(with.file(), &context.screen)?;
    let request = RotateRequest {
        publisher: with.publisher,
        phrase,
    };
    let identity: IdentityView = context
        .local()?
        .post(route::IDENTITY_ROTATE, &request)
        .context("could not rotate the identity's keys")?;
    context.screen.talk(
        "rotated: the old keys sign nothing any more, and the recovery phrase stays the same",
    );
    one(&identity, context)
}

fn recover(request: &RecoverRequest, network: &Network, context: &Context) -> anyhow::Result<()> {
    let client = context.network(network)?;
    let identity: IdentityView = client
        .post(route::IDENTITY_RECOVER, request)
        .context("could not recover the identity")?;
    context.screen.talk(
        "recovered: this machine signs from now on. Repositories whose files are not here need a new revision \
         (`weft publish`) before newcomers trust them again",
    );
    one(&identity, context)
}

fn one(identity: &IdentityView, context: &Context) -> anyhow::Result<()> {
    context
        .screen
        .facts(identity, |identity| vec![identity.publisher.clone()], human)?;
    Ok(())
}

fn human(identity: &IdentityView, style: Style) -> String {
    let keys = match (identity.release_key, identity.freshness_key) {
        (true, true) => "release and freshness keys are here",
        (true, false) => "the release key is here",
        (false, true) => "the freshness key is here",
        (false, false) => "none here",
    };
    let state = if identity.forked {
        style.red("FORKED: two events stand at one position; nothing is updated any more")
    } else {
        String::new()
    };
    let signs = if identity.default {
        "when no other is named"
    } else {
        ""
    };
    fields(
        &[
            ("publisher", identity.publisher.clone()),
            ("petname", identity.alias.clone().unwrap_or_default()),
            ("state", state),
            ("rotations", identity.index.to_string()),
            ("keys", keys.to_owned()),
            ("signs", signs.to_owned()),
            ("repositories", identity.repositories.join(", ")),
        ],
        style,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forked_identity_is_plain_to_see() {
        let identity = IdentityView {
            publisher: "a".repeat(52),
            alias: None,
            default: true,
            index: 2,
            release_key: true,
            freshness_key: true,
            forked: true,
            repositories: vec!["tiny".to_owned()],
        };
        let text = human(&identity, Style::plain());
        assert!(text.contains("state         FORKED"), "{text}");
        assert!(text.contains("rotations     2"), "{text}");
    }
}
