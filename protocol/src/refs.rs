//! References: branches and tags of a repository, and withdrawn revisions.
//!
//! `main` is never in here: the head itself names its revision.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    codec::{Object, bounded, is_plain_text},
    id::RevisionId,
    limits,
};

/// A branch or tag name: 1 to 128 of `A-Z a-z 0-9 . _ + -`, starting with a letter or digit, and not
/// something that could be read as a revision id or a shortened one (8 to 64 hex digits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// The branch that the head itself names.
pub const MAIN: &str = "main";
/// What branches other than `main` begin with in [`Refs::names`]; everything else there is a tag.
pub const BRANCHES: &str = "heads/";

impl RefName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let valid =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-' | b'/');
        let starts = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
        let shown: String = text.chars().take(80).collect();
        let len_max = limits::REF_NAME_LEN_MAX;
        if text.len() > len_max || !text.bytes().all(valid) || !text.split('/').all(starts) {
            return Err(format!(
                "`{shown}` is not a reference name: use 1 to {len_max} of A-Z, a-z, 0-9, `.`, `_`, `+`, `-`, in parts between `/` that start with a letter or digit",
            ));
        }
        let refused = |part: &str| part.ends_with('.') || part.ends_with(".lock");
        if text.contains("..") || text.split('/').any(refused) {
            return Err(format!(
                "`{shown}` is not a reference name that git would take"
            ));
        }
        if (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("`{shown}` could be mistaken for a revision id"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C> Encode<C> for RefName {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RefName {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        d.str()?.parse().map_err(decode::Error::message)
    }
}

/// All references of a repository; moves with the head that names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Refs {
    /// Names and what they point to, sorted by name, `main` excluded.
    #[cbor(n(0), decode_with = "bounded::<{ limits::REFS_MAX }, _, _>")]
    pub names: Vec<(RefName, RevisionId)>,
    /// Revisions that the publisher takes back, with a reason of at most 200 bytes, sorted.
    #[cbor(n(1), decode_with = "bounded::<{ limits::REFS_MAX }, _, _>")]
    pub withdrawn: Vec<(RevisionId, String)>,
}

impl Refs {
    /// What `name` points to.
    pub fn get(&self, name: &RefName) -> Option<RevisionId> {
        let look = |name: &str| {
            let at = self.names.binary_search_by(|(n, _)| n.as_str().cmp(name));
            let (_, revision) = self.names.get(at.ok()?)?;
            Some(*revision)
        };
        look(name.as_str()).or_else(|| look(&format!("{BRANCHES}{name}")))
    }
    /// Why `revision` was taken back, if it was.
    pub fn withdrawal(&self, revision: &RevisionId) -> Option<&str> {
        let at = self
            .withdrawn
            .binary_search_by(|(r, _)| r.cmp(revision))
            .ok()?;
        self.withdrawn.get(at).map(|(_, reason)| reason.as_str())
    }
}

impl Object for Refs {
    const TYPE: &'static str = "refs";
    const LEN_MAX: usize = limits::REFS_LEN_MAX;

    fn validate(&self) -> Result<(), String> {
        if !self.names.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err("names are not sorted, or one stands twice".to_owned());
        }
        let main = |name: &str| name.strip_prefix(BRANCHES).unwrap_or(name) == MAIN;
        if self.names.iter().any(|(name, _)| main(name.as_str())) {
            return Err("`main` belongs to the head".to_owned());
        }
        if !self.withdrawn.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err("withdrawn revisions are not sorted, or one stands twice".to_owned());
        }
        for (_, reason) in &self.withdrawn {
            if reason.len() > limits::WITHDRAWAL_REASON_LEN_MAX || !is_plain_text(reason, false) {
                return Err("a reason is too long or holds control characters".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{DecodeError, decode_object, encode},
        id::ObjectId,
    };

    fn name(text: &str) -> RefName {
        text.parse().expect("a valid name")
    }
    fn revision(n: u8) -> RevisionId {
        ObjectId::new([n; 32])
    }
    fn refs(names: &[&str]) -> Refs {
        let names = names.iter().map(|n| (name(n), revision(1))).collect();
        Refs {
            names,
            withdrawn: vec![(revision(2), "wrong tokenizer".to_owned())],
        }
    }

    #[test]
    fn refs_round_trip_and_answer() {
        let refs = refs(&["heads/dev", "v1.0"]);
        assert_eq!(decode_object::<Refs>(&encode(&refs)), Ok(refs.clone()));
        assert_eq!(refs.get(&name("v1.0")), Some(revision(1)));
        assert_eq!(refs.get(&name("v2")), None);
        assert_eq!(refs.get(&name("dev")), Some(revision(1)));
        assert_eq!(refs.get(&name("heads/dev")), Some(revision(1)));
        assert_eq!(refs.withdrawal(&revision(2)), Some("wrong tokenizer"));
    }

    #[test]
    fn names_that_git_or_an_id_would_contradict_are_refused() {
        for text in [
            "", ".a", "-a", "a..b", "a.lock", "a.", "a b", "deadbeef", "Ä", "/a", "a/", "a//b",
            "a/.b", "a.lock/b", "a./b",
        ] {
            assert!(text.parse::<RefName>().is_err(), "{text}");
        }
        for text in [
            "v1.0",
            "q4_K_M",
            "abc",
            "2026-03-01",
            "deadbeefs",
            "1.0+cpu",
            "feature/x",
            "heads/a/b.c",
        ] {
            assert!(text.parse::<RefName>().is_ok(), "{text}");
        }
    }

    #[test]
    fn unsorted_doubled_and_main_are_refused() {
        for names in [&["b", "a"][..], &["a", "a"], &["main"], &["heads/main"]] {
            let bytes = encode(&refs(names));
            assert!(matches!(
                decode_object::<Refs>(&bytes),
                Err(DecodeError::Invalid(_))
            ));
        }
        let mut long = refs(&[]);
        long.withdrawn[0].1 = "r".repeat(201);
        assert!(matches!(
            decode_object::<Refs>(&encode(&long)),
            Err(DecodeError::Invalid(_))
        ));
    }
}
