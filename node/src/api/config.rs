//! The effective configuration and where each value came from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a value came from; later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigSource {
    /// Built in.
    Default,
    /// `config.toml` in the data directory.
    File,
    /// A `WEFT_…` variable.
    Environment,
    /// A flag.
    Flag,
}

/// The answer to `GET config`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigResponse {
    /// The file, whether it exists or not.
    pub path: String,
    /// All keys, in order.
    pub entries: Vec<ConfigEntry>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Dotted, as in the file.
    pub key: String,
    /// The effective value; null if unset.
    pub value: Value,
    /// Where it came from.
    pub source: ConfigSource,
    /// What it is for, one sentence.
    #[serde(default)]
    pub description: String,
}

/// Writes one key to the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetConfigRequest {
    /// Dotted.
    pub key: String,
    /// As TOML or as plain text; removes the key from the file if absent.
    #[serde(default)]
    pub value: Option<String>,
}

/// What is in force after a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetConfigResponse {
    /// The key.
    pub entry: ConfigEntry,
    /// Whether a running node takes it only after a restart.
    pub restart_required: bool,
    /// What the user should know who set this: who can read prompts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}
