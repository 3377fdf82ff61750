//! Paths inside a repository: refused, never repaired.
/// A path that is safe on every file system we know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);
/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError { }
impl RepoPath { /// `/`-separated.
    pub fn as_str(&self) -> &str { &self.0 } }
impl std::str::FromStr for RepoPath { type Err = PathError; fn from_str(_s: &str) -> Result<Self, PathError> { todo!() } }
impl std::fmt::Display for RepoPath { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(&self.0) } }
