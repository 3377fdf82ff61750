//! The repository log: an RFC 6962-style Merkle tree over head ids (BLAKE3, leaf prefix 0, node prefix 1).
use crate::id::ObjectId;
/// Shows that a leaf is in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof { /// Sibling hashes, leaf to root.
    pub path: Vec<ObjectId> }
/// Shows that a smaller tree is a prefix of a larger one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof { /// Hashes in RFC 6962 order.
    pub path: Vec<ObjectId> }
/// What a follower of head `from` needs to believe a newer head: that `from` is a leaf of the newer head's
/// tree, and that its tree is a prefix of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Index of the head that the follower holds.
    pub from: u64,
    /// Inclusion of that head's id (leaf `from`) in the newer tree.
    pub inclusion: InclusionProof,
    /// Consistency of tree size `from` with the newer tree.
    pub consistency: ConsistencyProof,
}
/// Root over leaves.
pub fn root(_leaves: &[ObjectId]) -> ObjectId { todo!() }
/// Inclusion of leaf `index`.
pub fn prove_inclusion(_leaves: &[ObjectId], _index: u64) -> Option<InclusionProof> { todo!() }
/// Consistency of the first `size` leaves with all.
pub fn prove_consistency(_leaves: &[ObjectId], _size: u64) -> Option<ConsistencyProof> { todo!() }
/// The extension from head `from` to the head whose tree is `leaves`.
pub fn prove_extension(_leaves: &[ObjectId], _from: u64) -> Option<Extension> { todo!() }
/// Checks an inclusion proof.
pub fn verify_inclusion(_leaf: ObjectId, _index: u64, _size: u64, _root: ObjectId, _proof: &InclusionProof) -> bool { todo!() }
/// Checks a consistency proof.
pub fn verify_consistency(_size_old: u64, _root_old: ObjectId, _size: u64, _root: ObjectId, _proof: &ConsistencyProof) -> bool { todo!() }
