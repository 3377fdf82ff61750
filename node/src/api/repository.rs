//! What a node knows about repositories.

use serde::{Deserialize, Serialize};
use weft_protocol::{op, service};

/// How sure it is that the head held is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The publisher confirmed it within two days.
    Fresh,
    /// Not confirmed lately: there may be something newer.
    Stale,
    /// The head itself is past its expiry.
    Expired,
    /// The publisher contradicted itself.
    Forked,
}

impl From<service::Freshness> for Freshness {
    fn from(freshness: service::Freshness) -> Self {
        match freshness {
            service::Freshness::Fresh => Self::Fresh,
            service::Freshness::Stale => Self::Stale,
            service::Freshness::Expired => Self::Expired,
            service::Freshness::Forked => Self::Forked,
        }
    }
}

/// How far a revision is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionState {
    /// Known, but no file was asked for.
    Known,
    /// A download was asked for and is not finished.
    Wanted,
    /// Every file is here and verified.
    Complete,
}

impl From<op::RevisionState> for RevisionState {
    fn from(state: op::RevisionState) -> Self {
        match state {
            op::RevisionState::Wanted => Self::Wanted,
            op::RevisionState::Complete => Self::Complete,
        }
    }
}

/// Why a revision is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// Nothing keeps it: it goes when space is needed.
    None,
    /// A mirror order keeps it, within its quota.
    Mirror,
    /// The user keeps it.
    User,
}

impl From<op::Pin> for Pin {
    fn from(pin: op::Pin) -> Self {
        match pin {
            op::Pin::None => Self::None,
            op::Pin::Mirror => Self::Mirror,
            op::Pin::User => Self::User,
        }
    }
}

/// The answer to `GET repositories`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoriesResponse {
    /// All known repositories, in id order.
    pub repositories: Vec<RepositorySummary>,
}

/// One repository in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySummary {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// `<petname>/<name>`, if the publisher has a petname here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The tip's index.
    pub index: u64,
    /// The tip's revision, 64 hex.
    pub revision: String,
    /// How sure it is that this is the newest.
    pub freshness: Freshness,
    /// Whether an equivocation froze it.
    pub frozen: bool,
    /// Revisions held or wanted.
    pub revisions: Vec<RevisionView>,
}

/// One revision that is here or on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionView {
    /// Which, 64 hex.
    pub revision: String,
    /// How far it is here.
    pub state: RevisionState,
    /// Why it is kept.
    pub pin: Pin,
    /// Whether it is announced and served.
    pub seed: bool,
    /// Sum of its files' sizes in bytes.
    pub bytes_total: u64,
    /// When it was last asked for, Unix seconds.
    #[serde(default)]
    pub used: u64,
    /// Folder with its files, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The answer to `GET repository`: one revision with everything known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryInfo {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// `<petname>/<name>`, if the publisher has a petname here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// `weft:<publisher>/<name>@<revision>`.
    pub reference: String,
    /// The publisher, 52 characters.
    pub publisher: String,
    /// The revision shown, 64 hex.
    pub revision: String,
    /// The tip's index.
    pub index: u64,
    /// How sure it is that the tip is the newest.
    pub freshness: Freshness,
    /// Whether an equivocation froze it.
    pub frozen: bool,
    /// `model`, `dataset`, `space` or `adapter`.
    pub kind: String,
    /// What changed, in the publisher's words.
    #[serde(default)]
    pub message: String,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// Revisions it follows.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Branches and tags.
    #[serde(default)]
    pub references: Vec<NamedRevision>,
    /// Licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Free tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// e.g. `text-generation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_tag: Option<String>,
    /// e.g. `transformers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// Language codes.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Files, sorted by path.
    pub files: Vec<FileView>,
    /// Number of indexed tensors.
    #[serde(default)]
    pub tensor_count: u64,
    /// The tensor index, if it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorView>,
    /// Sum of the files' sizes in bytes.
    pub bytes_total: u64,
    /// How far it is here.
    pub state: RevisionState,
    /// Why it is kept.
    pub pin: Pin,
    /// Whether it is announced and served.
    pub seed: bool,
    /// Folder with its files, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A branch or tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRevision {
    /// Its name.
    pub name: String,
    /// The revision it points to, 64 hex.
    pub revision: String,
}

/// One file of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Where, inside the repository.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3, 64 hex.
    pub blake3: String,
    /// SHA-256, 64 hex.
    pub sha256: String,
}

/// One tensor of a weight file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorView {
    /// The file it lies in.
    pub path: String,
    /// Name.
    pub name: String,
    /// Element type as the file's format spells it.
    pub dtype: String,
    /// Shape, in the order in which the file has it.
    pub shape: Vec<u64>,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// BLAKE3 of those bytes, 64 hex.
    pub blake3: String,
}

/// The answer to `GET log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogResponse {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// Whether an equivocation froze it.
    pub frozen: bool,
    /// Heads that are held, newest first.
    pub entries: Vec<LogEntry>,
    /// What froze it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivocation: Option<Equivocation>,
}

/// Two heads that their publisher should never both have signed. Each verifies on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equivocation {
    /// The index at which both stand.
    pub index: u64,
    /// Both, in the order of their ids.
    pub heads: Vec<ContradictingHead>,
}

/// One of two heads at one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContradictingHead {
    /// Its object id, 64 hex.
    pub head: String,
    /// The revision it names, 64 hex.
    pub revision: String,
    /// When it was signed, Unix seconds.
    pub issued: u64,
}

/// One head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Its object id, 64 hex.
    pub head: String,
    /// The revision it names, 64 hex.
    pub revision: String,
    /// When it was signed, Unix seconds.
    pub issued: u64,
    /// Until when it is valid, Unix seconds.
    pub expires: u64,
    /// What changed, if the manifest is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Number of files, if the manifest is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Sum of the files' sizes, if the manifest is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// How far its files are here.
    pub state: RevisionState,
}
