//! Full references as people write them: `weft:<publisher>/<name>[@<tag | revision>][/path]`.
use crate::{path::RepoPath, service::Selector};
/// A parsed reference. The publisher part may still be a petname or id prefix that the node resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Publisher id, petname, id prefix or claimed DNS name, as written.
    pub publisher: String,
    /// Repository name.
    pub name: crate::id::RepositoryName,
    /// Which revision.
    pub selector: Selector,
    /// A file inside.
    pub path: Option<RepoPath>,
}
/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError { }
impl std::str::FromStr for Reference { type Err = ReferenceError; fn from_str(_s: &str) -> Result<Self, ReferenceError> { todo!() } }
