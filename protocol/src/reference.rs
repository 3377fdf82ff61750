//! Full references as people write them: `weft:<publisher>/<name>[@<tag | revision>][/path]`.
//!
//! The scheme may be left out, and addresses pasted from a browser are understood: of this node's own
//! pages (`http://127.0.0.1:4780/<publisher>/<name>`) as well as those shaped like a hub's
//! (`…/<publisher>/<name>/resolve/<revision>/<path>`). Nothing is ever fetched from such an address;
//! only its path is read.

use std::{fmt, str::FromStr};

use crate::{
    id::{ParseIdError, RepositoryName},
    path::{PathError, RepoPath},
    refs,
    service::Selector,
};

/// A parsed reference. The publisher part may still be a petname or id prefix that the node resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Publisher id, petname, id prefix or claimed DNS name, as written.
    pub publisher: String,
    /// Repository name.
    pub name: RepositoryName,
    /// Which revision.
    pub selector: Selector,
    /// A file inside.
    pub path: Option<RepoPath>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is no `/` between publisher and name.
    #[error(
        "`{0}` is not a reference: write <publisher>/<name>, with @<tag or revision> if not the newest is meant"
    )]
    Separator(String),
    /// The publisher part has characters that no id, petname or DNS name has.
    #[error("`{0}` is not a publisher: write its id, its petname here, or the domain it claims")]
    Publisher(String),
    /// The name is not a repository name.
    #[error(transparent)]
    Name(#[from] ParseIdError),
    /// What follows `@` is neither a revision nor a reference name.
    #[error("{0}")]
    Selector(String),
    /// The path inside the repository is refused.
    #[error("the path inside the repository is refused")]
    Path(#[from] PathError),
}

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let text = text.trim();
        let separator = || ReferenceError::Separator(text.chars().take(120).collect());
        let from_url = text.split_once("://").filter(|(scheme, _)| is_http(scheme));
        let rest = if let Some((_, after)) = from_url {
            let after = after.split(['?', '#']).next().unwrap_or(after);
            let (_host, path) = after.split_once('/').ok_or_else(separator)?;
            path.trim_end_matches('/')
        } else {
            let rest = strip_scheme(text);
            rest.strip_prefix("//").unwrap_or(rest)
        };
        let (publisher, rest) = rest.split_once('/').ok_or_else(separator)?;
        let rest = rest.trim_start_matches('/');
        check_publisher(publisher)?;
        let (name, path) = split_path(rest);
        let (name, selector) = match name.split_once('@') {
            Some((name, selector)) => (name, Some(selector)),
            None => (name, None),
        };
        let (selector, path) = match (selector, path) {
            (None, Some(path)) if from_url.is_some() => hub_path(path),
            (selector, path) => (selector, path),
        };
        Ok(Self {
            publisher: publisher.to_owned(),
            name: name.parse()?,
            selector: parse_selector(selector)?,
            path: path.map(str::parse).transpose()?,
        })
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

fn strip_scheme(text: &str) -> &str {
    match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("weft") => rest,
        _ => text,
    }
}

fn split_path(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    }
}

/// Reads `resolve/<revision>/<path>` and its siblings as hubs write them.
fn hub_path(path: &str) -> (Option<&str>, Option<&str>) {
    let (verb, rest) = split_path(path);
    match (verb, rest) {
        ("resolve" | "blob" | "tree" | "raw", Some(rest)) => {
            let (selector, path) = split_path(rest);
            (Some(selector), path)
        }
        _ => (None, Some(path)),
    }
}

fn check_publisher(text: &str) -> Result<(), ReferenceError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && text.len() <= 253 && text.chars().all(valid) {
        Ok(())
    } else {
        Err(ReferenceError::Publisher(text.chars().take(80).collect()))
    }
}

fn parse_selector(text: Option<&str>) -> Result<Selector, ReferenceError> {
    let Some(text) = text else {
        return Ok(Selector::Latest);
    };
    if text == refs::MAIN {
        return Ok(Selector::Latest);
    }
    if (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let hex = text.to_ascii_lowercase();
        return Ok(match hex.parse() {
            Ok(revision) => Selector::Revision(revision),
            Err(_) => Selector::Prefix(hex),
        });
    }
    // A slash in a branch's name would end the selector, so it is written as in addresses.
    text.replace("%2F", "/")
        .replace("%2f", "/")
        .parse()
        .map(Selector::Reference)
        .map_err(ReferenceError::Selector)
}

/// Writes the reference back with its scheme.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weft:{}/{}", self.publisher, self.name)?;
        match &self.selector {
            Selector::Latest => {}
            Selector::Reference(name) => write!(f, "@{}", name.as_str().replace('/', "%2F"))?,
            Selector::Revision(revision) => write!(f, "@{revision}")?,
            Selector::Prefix(prefix) => write!(f, "@{prefix}")?,
        }
        match &self.path {
            Some(path) => write!(f, "/{path}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ObjectId;

    fn check(text: &str, expected: &str) {
        match text.parse::<Reference>() {
            Ok(reference) => assert_eq!(reference.to_string(), expected, "{text}"),
            Err(e) => panic!("{text}: {e}"),
        }
    }

    #[test]
    fn scheme_is_optional() {
        check("weft:alice/tiny", "weft:alice/tiny");
        check("alice/Tiny", "weft:alice/Tiny");
        check(" weft://alice/tiny ", "weft:alice/tiny");
        check(
            "example.org/tiny@v1.0/config.json",
            "weft:example.org/tiny@v1.0/config.json",
        );
        check(
            "alice/tiny/onnx/model.onnx",
            "weft:alice/tiny/onnx/model.onnx",
        );
    }

    #[test]
    fn pasted_addresses_are_understood() {
        check("http://127.0.0.1:4780/alice/tiny", "weft:alice/tiny");
        check(
            "http://127.0.0.1:4780/alice/tiny/?tab=files#top",
            "weft:alice/tiny",
        );
        check(
            "https://hub.example/alice/tiny/tree/v1",
            "weft:alice/tiny@v1",
        );
        check(
            "http://localhost:4780/alice/tiny/resolve/main/onnx/m.onnx",
            "weft:alice/tiny/onnx/m.onnx",
        );
        check(
            "http://localhost:4780/alice/tiny@v2/a.txt",
            "weft:alice/tiny@v2/a.txt",
        );
    }

    #[test]
    fn selectors_are_told_apart() {
        let selector = |text: &str| {
            let reference: Reference = format!("a/b@{text}").parse().expect("valid");
            reference.selector
        };
        let id = ObjectId::new([0xab; 32]);
        assert_eq!(selector("main"), Selector::Latest);
        assert_eq!(selector(&id.to_string()), Selector::Revision(id));
        assert_eq!(
            selector(&id.to_string().to_uppercase()),
            Selector::Revision(id)
        );
        assert_eq!(
            selector("abababab"),
            Selector::Prefix("abababab".to_owned())
        );
        assert!(matches!(selector("v1.0"), Selector::Reference(_)));
        assert!(matches!(selector("abc"), Selector::Reference(_)));
        check("a/b@feature%2fx/c.txt", "weft:a/b@feature%2Fx/c.txt");
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let error = |text: &str| text.parse::<Reference>().expect_err(text);
        assert!(matches!(error("tiny"), ReferenceError::Separator(_)));
        assert!(matches!(error("http://host"), ReferenceError::Separator(_)));
        assert!(matches!(error("/tiny"), ReferenceError::Publisher(_)));
        assert!(matches!(error("a b/tiny"), ReferenceError::Publisher(_)));
        assert!(matches!(error("alice/"), ReferenceError::Name(_)));
        assert!(matches!(error("alice/ti ny"), ReferenceError::Name(_)));
        assert!(matches!(error("alice/tiny@"), ReferenceError::Selector(_)));
        assert!(matches!(
            error("alice/tiny@a..b"),
            ReferenceError::Selector(_)
        ));
        assert!(matches!(error("alice/tiny/../x"), ReferenceError::Path(_)));
        assert!(matches!(error("alice/tiny/"), ReferenceError::Path(_)));
    }
}
