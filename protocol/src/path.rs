//! Paths inside a repository: refused, never repaired.
//!
//! A path that this module lets through can be created on Linux, macOS and Windows alike, names the
//! same file on all of them, stays inside its folder, and shows on a terminal as what it is.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::{codec::is_plain_text, limits};

/// A path that is safe on every file system we know: `/`-separated, relative, in Unicode NFC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);

/// Why a path is refused. Components are shown escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing at all.
    #[error("the path is empty")]
    Empty,
    /// Too many bytes.
    #[error("the path has {0} bytes, more than the {max} allowed", max = limits::PATH_LEN_MAX)]
    TooLong(usize),
    /// Too many folders inside each other.
    #[error("the path has {0} components, more than the {max} allowed", max = limits::PATH_DEPTH_MAX)]
    TooDeep(usize),
    /// Begins with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// `//` or a `/` at the end.
    #[error("the path has an empty component")]
    EmptyComponent,
    /// `.` or `..`.
    #[error("the path has a `{0}` component")]
    Dots(&'static str),
    /// A component of too many bytes.
    #[error("a component has {0} bytes, more than the {max} allowed", max = limits::PATH_COMPONENT_LEN_MAX)]
    ComponentTooLong(usize),
    /// A character that some file system gives a meaning: `\ : < > " | ? *` (drives and alternate data streams among them).
    #[error("the path has the character `{0}`, which some systems give a meaning")]
    Character(char),
    /// Control characters, direction changes and invisible characters.
    #[error("the path has control, direction-changing or invisible characters")]
    Hidden,
    /// Not in normalisation form C, so that two spellings could look alike.
    #[error("the path is not in Unicode normalisation form C")]
    NotNfc,
    /// A name that Windows keeps for a device.
    #[error("`{0}` is a reserved name on Windows")]
    Reserved(String),
    /// Ends in a dot or a space, which Windows drops.
    #[error("the component `{0}` ends in a dot or a space")]
    TrailingDotOrSpace(String),
    /// A git folder could run commands when a tool is used near it.
    #[error("the path has a `.git` component")]
    Git,
}

impl RepoPath {
    /// `/`-separated.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The components in order.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
    /// The form under which two paths are the same file on a file system that ignores case.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

/// Lower-cases, then upper-cases, then composes: equates everything that any common case-insensitive
/// file system equates, and a little more (`ß` and `ss`).
fn fold(text: &str) -> String {
    text.to_lowercase().to_uppercase().nfc().collect()
}

impl FromStr for RepoPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > limits::PATH_LEN_MAX {
            return Err(PathError::TooLong(text.len()));
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute);
        }
        let special = |c: char| matches!(c, '\\' | ':' | '<' | '>' | '"' | '|' | '?' | '*');
        if let Some(c) = text.chars().find(|&c| special(c)) {
            return Err(PathError::Character(c));
        }
        if !is_plain_text(text, false) {
            return Err(PathError::Hidden);
        }
        if !is_nfc(text) {
            return Err(PathError::NotNfc);
        }
        let depth = text.split('/').count();
        if depth > limits::PATH_DEPTH_MAX {
            return Err(PathError::TooDeep(depth));
        }
        text.split('/').try_for_each(check_component)?;
        Ok(Self(text.to_owned()))
    }
}

fn check_component(name: &str) -> Result<(), PathError> {
    match name {
        "" => return Err(PathError::EmptyComponent),
        "." => return Err(PathError::Dots(".")),
        ".." => return Err(PathError::Dots("..")),
        _ => {}
    }
    if name.len() > limits::PATH_COMPONENT_LEN_MAX {
        return Err(PathError::ComponentTooLong(name.len()));
    }
    if name.ends_with(['.', ' ']) {
        return Err(PathError::TrailingDotOrSpace(name.to_owned()));
    }
    if is_reserved(name) {
        return Err(PathError::Reserved(name.to_owned()));
    }
    // Joiners are legitimate in some scripts, but macOS ignores them and some others when it compares names.
    let visible: String = name
        .chars()
        .filter(|c| !matches!(c, '\u{200c}' | '\u{200d}' | '\u{206a}'..='\u{206f}'))
        .collect();
    if visible.eq_ignore_ascii_case(".git") || visible.eq_ignore_ascii_case("git~1") {
        return Err(PathError::Git);
    }
    Ok(())
}

/// Device names count with any extension and with spaces before it.
fn is_reserved(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or(name)
        .trim_end_matches(' ')
        .to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|digit| {
            let mut chars = digit.chars();
            let known = chars
                .next()
                .is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c));
            known && chars.next().is_none()
        })
    };
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) || numbered("COM")
        || numbered("LPT")
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C> Encode<C> for RepoPath {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RepoPath {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        d.str()?
            .parse()
            .map_err(|e: PathError| decode::Error::message(format!("not a repository path: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), PathError> {
        text.parse::<RepoPath>()
            .map(|path| assert_eq!(path.as_str(), text))
    }

    #[test]
    fn everyday_paths_are_accepted() {
        for text in [
            "config.json",
            "model-00001-of-00002.safetensors",
            "onnx/model_q4.onnx",
            ".gitattributes",
            ".gitignore",
            "données/été 2026.txt",
            "世界/模型.bin",
            "a/...b/c",
            "console.log",
            "com10",
            "nulls",
            "communal.txt",
            "(copy) [1] {2} #3 & 4 'x' ~",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        assert_eq!(check(""), Err(PathError::Empty));
        assert_eq!(check("/etc/passwd"), Err(PathError::Absolute));
        assert_eq!(check("../x"), Err(PathError::Dots("..")));
        assert_eq!(check("a/../../x"), Err(PathError::Dots("..")));
        assert_eq!(check("a/./b"), Err(PathError::Dots(".")));
        assert_eq!(check("a//b"), Err(PathError::EmptyComponent));
        assert_eq!(check("a/"), Err(PathError::EmptyComponent));
        assert_eq!(check("..\\x"), Err(PathError::Character('\\')));
        assert_eq!(check("C:/x"), Err(PathError::Character(':')));
        assert_eq!(check("a.txt:stream"), Err(PathError::Character(':')));
    }

    #[test]
    fn names_that_windows_bends_are_refused() {
        for text in [
            "con",
            "NUL",
            "aux.txt",
            "a/Com1",
            "lpt9.tar.gz",
            "COM¹",
            "con .txt",
            "CONIN$",
        ] {
            assert!(matches!(check(text), Err(PathError::Reserved(_))), "{text}");
        }
        for text in ["a.", "a ", "dir./x", "a/b /c"] {
            assert!(
                matches!(check(text), Err(PathError::TrailingDotOrSpace(_))),
                "{text}"
            );
        }
        for c in ['<', '>', '"', '|', '?', '*'] {
            assert_eq!(check(&format!("a{c}b")), Err(PathError::Character(c)));
        }
    }

    #[test]
    fn hidden_and_second_spellings_are_refused() {
        for text in [
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{85}",
            "exe\u{202e}gpj.txt",
            "a\u{200b}b",
        ] {
            assert_eq!(check(text), Err(PathError::Hidden), "{text:?}");
        }
        assert_eq!(check("e\u{301}te"), Err(PathError::NotNfc));
        assert_eq!(check("\u{212a}elvin"), Err(PathError::NotNfc));
    }

    #[test]
    fn git_folders_are_refused() {
        for text in [
            ".git/config",
            "a/.GIT/hooks/x",
            "git~1/config",
            ".g\u{200c}it/x",
            "a/.gi\u{206a}t/x",
            "git\u{206f}~1",
        ] {
            assert_eq!(check(text), Err(PathError::Git), "{text}");
        }
    }

    #[test]
    fn lengths_and_depth_are_bounded() {
        assert_eq!(check(&"x".repeat(255)), Ok(()));
        assert_eq!(
            check(&"x".repeat(256)),
            Err(PathError::ComponentTooLong(256))
        );
        assert_eq!(check(&["y"; 32].join("/")), Ok(()));
        assert_eq!(check(&["y"; 33].join("/")), Err(PathError::TooDeep(33)));
        let long = ["z".repeat(255).as_str(); 4].join("/");
        assert_eq!(check(&long), Ok(()));
        assert_eq!(check(&format!("{long}/zz")), Err(PathError::TooLong(1026)));
    }

    #[test]
    fn folding_equates_what_file_systems_equate() {
        let folded = |text: &str| text.parse::<RepoPath>().expect("valid").folded();
        assert_eq!(folded("README.md"), folded("readme.MD"));
        assert_eq!(folded("ΣΑΣ"), folded("σας"));
        assert_eq!(folded("Straße"), folded("STRASSE"));
        assert_ne!(folded("a"), folded("b"));
    }
}
