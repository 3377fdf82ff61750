//! `origin.hub`, the hub behind this node, and `origin.web`: which web servers hold which repositories.

use serde::{Deserialize, Serialize};
use weft_protocol::id::RepositoryId;

use crate::{
    api::{ErrorBody, ErrorCode},
    origin::Base,
};

/// The `[origin]` section of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    /// The URL of another hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hub: Option<String>,
    /// `<publisher>/<name>=<url>` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) web: Vec<String>,
}

/// A web server that holds a repository's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSeed {
    /// Which repository.
    pub repository: RepositoryId,
    /// Where.
    pub(crate) base: Base,
}

impl WebSeed {
    /// What is shown of it: not the path or credentials, which can be secret.
    pub(super) fn shown(&self) -> String {
        format!("{}={}", self.repository, self.base.name())
    }
}

/// Reads the URL of a hub.
///
/// # Errors
/// `Usage`, without the URL itself.
pub(super) fn parse_hub(url: &str) -> Result<Base, ErrorBody> {
    let usage = |message: String| {
        ErrorBody::new(ErrorCode::Usage, message).with_hint(
            "it looks like https://huggingface.co; tokens come from the clients, not from here",
        )
    };
    let base =
        Base::parse(url).map_err(|error| usage(format!("`origin.hub` cannot be used: {error}")))?;
    if !base.url().username().is_empty() || base.url().password().is_some() {
        return Err(usage(
            "`origin.hub` must not hold a user or a password".to_owned(),
        ));
    }
    Ok(base)
}

/// Reads one entry.
///
/// # Errors
/// `Usage`, without the entry itself: its URL may hold a password.
pub(super) fn parse(entry: &str) -> Result<WebSeed, ErrorBody> {
    let usage = |message: String| {
        ErrorBody::new(ErrorCode::Usage, message).with_hint(
            "an entry looks like PUBLISHER/NAME=https://example.org/models/tiny, with the publisher's whole id",
        )
    };
    let (repository, url) = entry
        .split_once('=')
        .ok_or_else(|| usage("an entry of `origin.web` has no `=`".to_owned()))?;
    let repository = repository
        .trim()
        .trim_start_matches("weft:")
        .parse()
        .map_err(|error| usage(format!("an entry of `origin.web`: {error}")))?;
    let base = Base::parse(url).map_err(|error| {
        usage(format!(
            "the URL for `{repository}` cannot be used: {error}"
        ))
    })?;
    Ok(WebSeed { repository, base })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_names_a_repository_and_a_web_server() {
        let repository = format!("{}/tiny", "a".repeat(52));
        let seed = parse(&format!("weft:{repository}=https://u:p@h/models/tiny")).unwrap();
        assert_eq!(seed.repository.to_string(), repository);
        assert_eq!(seed.shown(), format!("{repository}=https://h"));
        for entry in [
            "https://h/models".to_owned(),
            "alice/tiny=https://h/".to_owned(),
            format!("{repository}=ftp://u:secret@h/"),
            format!("{repository}="),
        ] {
            let error = parse(&entry).unwrap_err();
            assert_eq!(error.code, ErrorCode::Usage, "{entry}");
            assert!(!error.message.contains("secret"));
        }
    }
}
