//! Commands that move, keep or drop models.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{IdentityPhrase, Source};

/// Somebody's token for a hub: sent along, shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HubToken(pub String);

impl fmt::Debug for HubToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubToken(hidden)")
    }
}

/// Signs a folder as a new revision and starts seeding it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishRequest {
    /// Absolute path of a folder, or of one file. Empty if `from` says where the files come from.
    pub directory: String,
    /// `hf:…`: a revision of the hub behind the node, whose files are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Repository name; the folder's name if absent.
    pub name: Option<String>,
    /// Which local identity signs (id, prefix or petname); the default one if absent. When there is none
    /// at all, one is created.
    pub publisher: Option<String>,
    /// `model` (if absent), `dataset`, `space` or `adapter`.
    pub kind: Option<String>,
    /// What changed.
    pub message: Option<String>,
    /// Tags that shall point to the new revision.
    pub references: Vec<String>,
    /// Licence; else what the card says.
    pub license: Option<String>,
    /// Free tags, beside those of the card.
    pub tags: Vec<String>,
}

/// What was published. Fields up to `bytes_total` are promises to scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishResult {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// The new revision, 64 hex.
    pub revision: String,
    /// `weft:<publisher>/<name>@<revision>`: what to hand to others.
    pub reference: String,
    /// The publisher, 52 characters.
    pub publisher: String,
    /// Number of files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes_total: u64,
    /// The new head's index.
    pub index: u64,
    /// Present if an identity was created just now: the one time that this is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_phrase: Option<IdentityPhrase>,
}

/// Gets a revision, keeps it and, if asked, offers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchRequest {
    /// Which.
    pub reference: String,
    /// Absolute path of the folder that shall hold the files; inside the data directory if absent.
    pub to: Option<String>,
    /// Absolute path of the cache of Hugging Face clients that shall show the files instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// Absolute path of Ollama's folder of models that shall show the GGUF files instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ollama: Option<String>,
    /// Whether others may fetch it from here.
    pub seed: bool,
    /// Gives up after so many seconds without success; what arrived is kept. `None` waits for peers as long
    /// as there is hope.
    pub timeout_seconds: Option<u64>,
    /// Folders on web servers that hold the files too: HTTP or HTTPS URLs.
    pub web_seeds: Vec<String>,
    /// For `hf:` references: shown to the hub behind the node with these requests, and kept nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<HubToken>,
}

impl Default for FetchRequest {
    fn default() -> Self {
        Self {
            reference: String::new(),
            to: None,
            cache: None,
            ollama: None,
            seed: true,
            timeout_seconds: None,
            web_seeds: Vec::new(),
            token: None,
        }
    }
}

/// What was fetched. Fields up to `sources` are promises to scripts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FetchResult {
    /// Folder with the files (or the one file that the reference named).
    pub path: String,
    /// `<publisher>/<name>`.
    pub repository: String,
    /// The revision, 64 hex.
    pub revision: String,
    /// Number of files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes_total: u64,
    /// Bytes that came over the network, repeats included.
    pub bytes_fetched: u64,
    /// Bytes that were here already.
    pub bytes_reused: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether signatures and every byte were verified; a fetch that could not is an error.
    pub verified: bool,
    /// Who sent how much, most first.
    pub sources: Vec<Source>,
    /// How sure it is that this is the newest, when the reference named no revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<super::Freshness>,
}

/// Keeps and offers a revision; fetches it first if it is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRequest {
    /// Which.
    pub reference: String,
}

/// What is seeded now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedResult {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// The revision, 64 hex.
    pub revision: String,
    /// Sum of its files' sizes in bytes.
    pub bytes_total: u64,
}

/// Stops keeping and offering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnseedRequest {
    /// Which; all revisions if it names none.
    pub reference: String,
}

/// Re-reads every file of a revision and compares it with the signed manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// Which.
    pub reference: String,
    /// Absolute path of a copy to check instead of what the node holds.
    #[serde(default)]
    pub directory: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyResult {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// The revision, 64 hex.
    pub revision: String,
    /// Files checked.
    pub files: u64,
    /// Bytes checked.
    pub bytes_total: u64,
    /// Whether signatures and every byte are right.
    pub verified: bool,
    /// What is wrong, if anything.
    pub damaged: Vec<DamagedFile>,
}

/// One file that is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedFile {
    /// Where, inside the repository.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Follows a publisher or a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorRequest {
    /// A publisher (id, prefix, petname) or a repository.
    pub target: String,
    /// Disk quota in bytes; no limit if absent.
    #[serde(default)]
    pub bytes_max: Option<u64>,
    /// Whether to answer only when what is published now is complete here.
    #[serde(default)]
    pub wait: bool,
}

/// Stops following; what is held loses its pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnmirrorRequest {
    /// What was followed, as [`MirrorView::target`] or as anything that resolves to it.
    pub target: String,
}

/// A standing order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorView {
    /// A publisher id or `<publisher>/<name>`.
    pub target: String,
    /// Its petname form, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Disk quota in bytes.
    pub bytes_max: Option<u64>,
    /// Bytes of complete revisions that this order holds.
    #[serde(default)]
    pub bytes_used: u64,
    /// Repositories that it covers and that are known.
    #[serde(default)]
    pub repositories: u64,
    /// When it was given, Unix seconds.
    #[serde(default)]
    pub created: u64,
}

/// The answer to `GET mirrors`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorsResponse {
    /// All orders.
    pub mirrors: Vec<MirrorView>,
}

/// Forgets revisions at once, pinned or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// Which; all revisions if it names none.
    pub reference: String,
    /// Only tells what would go.
    #[serde(default)]
    pub dry_run: bool,
}

/// Collects everything that nothing pins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PruneRequest {
    /// Only tells what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedResponse {
    /// The revisions.
    pub revisions: Vec<RemovedRevision>,
    /// Sum of their sizes; less is freed where they share files with others.
    pub bytes: u64,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// One revision that went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedRevision {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// The revision, 64 hex.
    pub revision: String,
    /// Sum of its files' sizes in bytes.
    pub bytes: u64,
}
