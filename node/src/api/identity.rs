//! Publisher identities and petnames.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The 24 words from which all root keys of an identity derive. Never logged: its `Debug` form hides them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityPhrase(String);

impl IdentityPhrase {
    /// Wraps words as they were typed.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// The words, to show or to derive from.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdentityPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityPhrase(hidden)")
    }
}

/// The answer to `GET identities`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitiesResponse {
    /// Identities whose keys are here; with `?publisher=…`, that one, ours or not.
    pub identities: Vec<IdentityView>,
}

/// A publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityView {
    /// The publisher, 52 characters.
    pub publisher: String,
    /// Its petname here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Whether it signs when no other is named.
    #[serde(default)]
    pub default: bool,
    /// Index of the newest event of its identity log: how often it was rotated.
    pub index: u64,
    /// Whether this node can sign releases for it.
    pub release_key: bool,
    /// Whether this node can sign freshness for it.
    pub freshness_key: bool,
    /// Whether two events stand at one position of its log.
    pub forked: bool,
    /// Names of its known repositories.
    #[serde(default)]
    pub repositories: Vec<String>,
}

/// Creates an identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewIdentityRequest {
    /// Petname to give it.
    pub alias: Option<String>,
}

/// An identity that was created just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewIdentity {
    /// It.
    pub identity: IdentityView,
    /// The one time that this is shown.
    pub recovery_phrase: IdentityPhrase,
}

/// Replaces all keys in use by the pre-committed next ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Which identity (id, prefix or petname); the default one if absent.
    #[serde(default)]
    pub publisher: Option<String>,
    /// Its recovery phrase.
    pub phrase: IdentityPhrase,
}

/// Takes an identity to this node from its recovery phrase: rotates it to fresh keys that live here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// Which identity, if it is known; else the one that the phrase's first root key began.
    #[serde(default)]
    pub publisher: Option<String>,
    /// Its recovery phrase.
    pub phrase: IdentityPhrase,
    /// Petname to give it.
    #[serde(default)]
    pub alias: Option<String>,
}

/// Sets or removes a petname.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasRequest {
    /// The petname.
    pub name: String,
    /// Whom it names (id or prefix); removes the petname if absent.
    #[serde(default)]
    pub publisher: Option<String>,
}

/// All petnames.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasesResponse {
    /// In name order.
    pub aliases: Vec<AliasView>,
}

/// One petname.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasView {
    /// The petname.
    pub name: String,
    /// Whom it names, 52 characters.
    pub publisher: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_phrase() {
        let request = RotateRequest {
            publisher: None,
            phrase: IdentityPhrase::new("abandon ability able"),
        };
        assert!(!format!("{request:?}").contains("ability"));
        assert!(serde_json::to_string(&request).unwrap().contains("ability"));
    }
}
