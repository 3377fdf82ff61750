//! `weft alias`: petnames for publishers.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{AliasRequest, AliasesResponse, ErrorCode, route};

use crate::{
    context::Context,
    failure::fail,
    render::{Column, Style, Table, short_publisher},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft alias                                      list them
  weft alias alice k3jq7abcde…                    from now on, `alice/tiny` works
  weft alias alice --remove

Petnames are yours alone: nobody else sees them, and nobody can take one away.")]
pub(crate) struct Arguments {
    /// Petname
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Publisher id, or at least 8 characters of it
    #[arg(value_name = "ID")]
    pub(crate) publisher: Option<String>,
    /// Remove NAME
    #[arg(long, help_heading = "Petnames")]
    pub(crate) remove: bool,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let Some(request) = request(arguments)? else {
        let aliases: AliasesResponse = context
            .local()?
            .get(route::ALIASES, &[])
            .context("could not list petnames")?;
        return show(&aliases, context);
    };
    let aliases: AliasesResponse = context
        .local()?
        .post(route::ALIASES, &request)
        .with_context(|| format!("could not change the petname `{}`", request.name))?;
    show(&aliases, context)
}

/// What is asked; nothing for a list.
fn request(arguments: Arguments) -> anyhow::Result<Option<AliasRequest>> {
    match (arguments.name, arguments.publisher, arguments.remove) {
        (None, _, false) => Ok(None),
        (Some(name), Some(publisher), false) => Ok(Some(AliasRequest {
            name,
            publisher: Some(publisher),
        })),
        (Some(name), None, true) => Ok(Some(AliasRequest {
            name,
            publisher: None,
        })),
        (Some(_), None, false) => Err(fail(
            ErrorCode::Usage,
            "whom shall the petname name?",
            "`weft alias NAME ID` sets it, `weft alias NAME --remove` removes it, `weft alias` lists all",
        )),
        (_, _, true) => Err(fail(
            ErrorCode::Usage,
            "`--remove` takes the petname and nothing else",
            "`weft alias NAME --remove`",
        )),
    }
}

fn show(aliases: &AliasesResponse, context: &Context) -> anyhow::Result<()> {
    context.screen.facts(
        aliases,
        |answer| {
            answer
                .aliases
                .iter()
                .map(|alias| alias.publisher.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn human(aliases: &AliasesResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("PETNAME"),
        Column::Left("FINGERPRINT"),
        Column::Left("PUBLISHER"),
    ]);
    for alias in &aliases.aliases {
        table.row([
            alias.name.clone(),
            short_publisher(&alias.publisher).to_owned(),
            alias.publisher.clone(),
        ]);
    }
    table.render(style, "no petnames; `weft alias NAME ID` gives one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        name: Option<&str>,
        publisher: Option<&str>,
        remove: bool,
    ) -> Result<Option<AliasRequest>, ()> {
        request(Arguments {
            name: name.map(str::to_owned),
            publisher: publisher.map(str::to_owned),
            remove,
        })
        .map_err(drop)
    }

    #[test]
    fn forms_are_told_apart() {
        assert_eq!(asked(None, None, false), Ok(None));
        assert_eq!(
            asked(Some("a"), Some("id"), false)
                .unwrap()
                .unwrap()
                .publisher
                .as_deref(),
            Some("id")
        );
        assert_eq!(
            asked(Some("a"), None, true).unwrap().unwrap().publisher,
            None
        );
        assert!(asked(Some("a"), None, false).is_err());
        assert!(asked(None, None, true).is_err());
        assert!(asked(Some("a"), Some("id"), true).is_err());
    }
}
