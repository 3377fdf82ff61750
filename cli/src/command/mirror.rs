//! `weft mirror`: follows a publisher or a repository.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{
    Done, ErrorCode, MirrorRequest, MirrorView, MirrorsResponse, UnmirrorRequest, route,
};

use crate::{
    context::Context,
    failure::fail,
    render::{Column, Style, Table, repository},
    units::{Size, parse_size},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft mirror alice --max 500GB                   everything alice publishes, now and later
  weft mirror alice/tiny --wait                   one repository; returns when it is complete here
  weft mirror --list
  weft mirror --remove alice")]
pub(crate) struct Arguments {
    /// Publisher (id, prefix or petname) or repository to follow
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Disk space it may take, as 500GB or 500GiB [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Mirroring")]
    pub(crate) max: Option<u64>,
    /// Return only when what is published now is complete here
    #[arg(long, help_heading = "Mirroring")]
    pub(crate) wait: bool,
    /// List what is mirrored
    #[arg(long, help_heading = "Mirroring")]
    pub(crate) list: bool,
    /// Stop following TARGET
    #[arg(long, help_heading = "Mirroring")]
    pub(crate) remove: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    match &arguments.target {
        None if arguments.remove => Err(fail(
            ErrorCode::Usage,
            "`--remove` needs to know what to stop following",
            "`weft mirror --list` shows what is mirrored",
        )),
        Some(target) if arguments.remove => remove(target, context),
        Some(target) if !arguments.list => add(target, arguments, context),
        Some(_) | None => list(context),
    }
}

fn add(target: &str, arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let client = context.running("mirror")?;
    let request = MirrorRequest {
        target: target.to_owned(),
        bytes_max: arguments.max,
        wait: arguments.wait,
    };
    let mut meter = context.screen.meter();
    let mirror: anyhow::Result<MirrorView> =
        client.stream(route::MIRROR, &request, |progress| meter.update(progress));
    drop(meter);
    let mirror = mirror.with_context(|| format!("could not mirror `{target}`"))?;
    context.screen.facts(
        &mirror,
        |mirror| vec![mirror.target.clone()],
        |mirror, _| format!("mirroring {}{}", name(mirror), quota(mirror)),
    )?;
    Ok(())
}

fn remove(target: &str, context: &Context) -> anyhow::Result<()> {
    let request = UnmirrorRequest {
        target: target.to_owned(),
    };
    let done: Done = context
        .local()?
        .post(route::UNMIRROR, &request)
        .with_context(|| format!("could not stop mirroring `{target}`"))?;
    context.screen.talk(&format!(
        "no longer mirroring {target}; its files stay until something needs their space"
    ));
    if context.screen.is_json() {
        context.screen.json(&done)?;
    }
    Ok(())
}

fn list(context: &Context) -> anyhow::Result<()> {
    let mirrors: MirrorsResponse = context
        .local()?
        .get(route::MIRRORS, &[])
        .context("could not list mirrors")?;
    context.screen.facts(
        &mirrors,
        |mirrors| {
            mirrors
                .mirrors
                .iter()
                .map(|mirror| mirror.target.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn human(mirrors: &MirrorsResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("MIRRORED"),
        Column::Right("REPOSITORIES"),
        Column::Right("USED"),
        Column::Right("LIMIT"),
    ]);
    for mirror in &mirrors.mirrors {
        table.row([
            name(mirror),
            mirror.repositories.to_string(),
            Size(mirror.bytes_used).to_string(),
            mirror
                .bytes_max
                .map_or_else(|| "none".to_owned(), |bytes| Size(bytes).to_string()),
        ]);
    }
    table.render(
        style,
        "nothing is mirrored; `weft mirror PUBLISHER` follows one",
    )
}

fn name(mirror: &MirrorView) -> String {
    repository(&mirror.target, mirror.alias.as_deref())
}

fn quota(mirror: &MirrorView) -> String {
    mirror
        .bytes_max
        .map(|bytes| format!(", within {}", Size(bytes)))
        .unwrap_or_default()
}
