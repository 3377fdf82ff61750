//! References: branches and tags of a repository, and withdrawn revisions.
use crate::id::RevisionId;
/// A branch or tag name, as git allows it but stricter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);
impl RefName { /// The name.
    pub fn as_str(&self) -> &str { &self.0 } }
impl std::str::FromStr for RefName { type Err = String; fn from_str(_s: &str) -> Result<Self, String> { todo!() } }
impl std::fmt::Display for RefName { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(&self.0) } }
/// All references of a repository; moves with the head that names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refs {
    /// Names and what they point to, sorted by name, `main` excluded.
    pub names: Vec<(RefName, RevisionId)>,
    /// Revisions that the publisher takes back, with a reason of at most 200 bytes, sorted.
    pub withdrawn: Vec<(RevisionId, String)>,
}
