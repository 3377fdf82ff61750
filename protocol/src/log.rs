//! The repository log: an RFC 6962-style Merkle tree over head ids.
//!
//! Leaf hash: BLAKE3(`0x00` ‖ head id). Node hash: BLAKE3(`0x01` ‖ left ‖ right), where the left side
//! of a tree of `n` leaves holds the largest power of two below `n`. The empty tree's root is
//! BLAKE3 of nothing. Verifiers follow RFC 9162 §2.1.3.2 and §2.1.4.2.

use minicbor::{Decode, Encode};

use crate::{codec::bounded, id::ObjectId, limits};

/// Shows that a leaf is in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct InclusionProof {
    /// Sibling hashes, leaf to root.
    #[cbor(n(0), decode_with = "bounded::<{ limits::PROOF_LEN_MAX }, _, _>")]
    pub path: Vec<ObjectId>,
}

/// Shows that a smaller tree is a prefix of a larger one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct ConsistencyProof {
    /// Hashes in RFC 6962 order.
    #[cbor(n(0), decode_with = "bounded::<{ limits::PROOF_LEN_MAX }, _, _>")]
    pub path: Vec<ObjectId>,
}

/// What a follower of head `from` needs to believe a newer head: that `from` is a leaf of the newer head's
/// tree, and that its tree is a prefix of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Extension {
    /// Index of the head that the follower holds.
    #[n(0)]
    pub from: u64,
    /// Inclusion of that head's id (leaf `from`) in the newer tree.
    #[n(1)]
    pub inclusion: InclusionProof,
    /// Consistency of tree size `from` with the newer tree.
    #[n(2)]
    pub consistency: ConsistencyProof,
}

impl Extension {
    /// Whether this shows that the head `from` (its id and log root) is part of the log of `size` leaves with `root`.
    pub fn verify(
        &self,
        from_id: ObjectId,
        from_root: ObjectId,
        size: u64,
        root: ObjectId,
    ) -> bool {
        verify_inclusion(from_id, self.from, size, root, &self.inclusion)
            && verify_consistency(self.from, from_root, size, root, &self.consistency)
    }
}

/// Root over leaves.
pub fn root(leaves: &[ObjectId]) -> ObjectId {
    match leaves {
        [] => ObjectId::new(*blake3::hash(b"").as_bytes()),
        [leaf] => leaf_hash(*leaf),
        _ => {
            let (left, right) = split(leaves);
            node_hash(root(left), root(right))
        }
    }
}

/// Inclusion of leaf `index`.
pub fn prove_inclusion(leaves: &[ObjectId], index: u64) -> Option<InclusionProof> {
    let index = usize::try_from(index)
        .ok()
        .filter(|index| *index < leaves.len())?;
    let mut path = Vec::new();
    collect_inclusion(leaves, index, &mut path);
    Some(InclusionProof { path })
}

/// Consistency of the first `size` leaves with all.
pub fn prove_consistency(leaves: &[ObjectId], size: u64) -> Option<ConsistencyProof> {
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= leaves.len())?;
    let mut path = Vec::new();
    if size > 0 {
        collect_consistency(leaves, size, true, &mut path);
    }
    Some(ConsistencyProof { path })
}

/// The extension from head `from` to the head whose tree is `leaves`.
pub fn prove_extension(leaves: &[ObjectId], from: u64) -> Option<Extension> {
    Some(Extension {
        from,
        inclusion: prove_inclusion(leaves, from)?,
        consistency: prove_consistency(leaves, from)?,
    })
}

/// Checks an inclusion proof.
pub fn verify_inclusion(
    leaf: ObjectId,
    index: u64,
    size: u64,
    root: ObjectId,
    proof: &InclusionProof,
) -> bool {
    if index >= size {
        return false;
    }
    let mut walk = Walk {
        node: index,
        last: size.saturating_sub(1),
    };
    let mut hash = leaf_hash(leaf);
    for sibling in &proof.path {
        if walk.last == 0 {
            return false;
        }
        hash = if walk.is_right() {
            node_hash(*sibling, hash)
        } else {
            node_hash(hash, *sibling)
        };
        walk.up();
    }
    walk.last == 0 && hash == root
}

/// Checks a consistency proof.
pub fn verify_consistency(
    size_old: u64,
    root_old: ObjectId,
    size: u64,
    root: ObjectId,
    proof: &ConsistencyProof,
) -> bool {
    if size_old > size {
        return false;
    }
    if size_old == size {
        return proof.path.is_empty() && root_old == root;
    }
    if size_old == 0 {
        return proof.path.is_empty() && root_old == self::root(&[]);
    }
    // A complete old tree is itself a node of the new one, so its root is not repeated in the proof.
    let mut hashes = proof.path.iter().copied();
    let first = if size_old.is_power_of_two() {
        Some(root_old)
    } else {
        hashes.next()
    };
    let Some(first) = first else { return false };
    let mut walk = Walk {
        node: size_old.saturating_sub(1),
        last: size.saturating_sub(1),
    };
    while walk.node & 1 == 1 {
        walk.step();
    }
    let (mut old, mut new) = (first, first);
    for hash in hashes {
        if walk.last == 0 {
            return false;
        }
        if walk.is_right() {
            old = node_hash(hash, old);
            new = node_hash(hash, new);
        } else {
            new = node_hash(new, hash);
        }
        walk.up();
    }
    walk.last == 0 && old == root_old && new == root
}

/// A position on one level of the tree, and the last position of that level.
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    /// Whether the sibling stands to the left. The last node of a level without a partner is carried up to one that has.
    fn is_right(&self) -> bool {
        self.node & 1 == 1 || self.node == self.last
    }
    fn step(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }
    fn up(&mut self) {
        if self.is_right() {
            while self.node & 1 == 0 && self.node != 0 {
                self.step();
            }
        }
        self.step();
    }
}

fn split(leaves: &[ObjectId]) -> (&[ObjectId], &[ObjectId]) {
    let half = leaves.len().next_power_of_two() / 2;
    leaves.split_at(half.min(leaves.len()))
}

fn collect_inclusion(leaves: &[ObjectId], index: usize, path: &mut Vec<ObjectId>) {
    if leaves.len() <= 1 {
        return;
    }
    let (left, right) = split(leaves);
    if index < left.len() {
        collect_inclusion(left, index, path);
        path.push(root(right));
    } else {
        collect_inclusion(right, index.saturating_sub(left.len()), path);
        path.push(root(left));
    }
}

fn collect_consistency(leaves: &[ObjectId], size: usize, whole: bool, path: &mut Vec<ObjectId>) {
    if size == leaves.len() {
        if !whole {
            path.push(root(leaves));
        }
        return;
    }
    let (left, right) = split(leaves);
    if size <= left.len() {
        collect_consistency(left, size, whole, path);
        path.push(root(right));
    } else {
        collect_consistency(right, size.saturating_sub(left.len()), false, path);
        path.push(root(left));
    }
}

fn leaf_hash(id: ObjectId) -> ObjectId {
    hash(&[&[0], id.as_bytes()])
}

fn node_hash(left: ObjectId, right: ObjectId) -> ObjectId {
    hash(&[&[1], left.as_bytes(), right.as_bytes()])
}

fn hash(parts: &[&[u8]]) -> ObjectId {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    ObjectId::new(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<ObjectId> {
        (0..count)
            .map(|i| hash(&[b"leaf", &i.to_le_bytes()]))
            .collect()
    }
    fn size(leaves: &[ObjectId]) -> u64 {
        leaves.len() as u64
    }

    #[test]
    fn every_leaf_of_every_tree_up_to_64_is_provable_and_only_there() {
        for n in 1..=64 {
            let leaves = leaves(n);
            let (n, root) = (size(&leaves), root(&leaves));
            for index in 0..n {
                let proof = prove_inclusion(&leaves, index).expect("inside");
                let leaf = leaves[index as usize];
                assert!(
                    verify_inclusion(leaf, index, n, root, &proof),
                    "{index} of {n}"
                );
                assert!(!verify_inclusion(leaf, (index + 1) % n, n, root, &proof) || n == 1);
                assert!(!verify_inclusion(leaf, index, n, leaf, &proof));
                let mut long = proof.clone();
                long.path.push(root);
                assert!(!verify_inclusion(leaf, index, n, root, &long));
                let mut short = proof;
                if short.path.pop().is_some() {
                    assert!(!verify_inclusion(leaf, index, n, root, &short));
                }
            }
            assert_eq!(prove_inclusion(&leaves, n), None);
        }
    }

    #[test]
    fn every_prefix_of_every_tree_up_to_64_is_consistent() {
        let all = leaves(64);
        for n in 0..=64_usize {
            let new = &all[..n];
            for m in 0..=n {
                let old = &all[..m];
                let proof = prove_consistency(new, m as u64).expect("a prefix");
                let check =
                    |m: u64, old: ObjectId, new_root: ObjectId, proof: &ConsistencyProof| {
                        verify_consistency(m, old, n as u64, new_root, proof)
                    };
                assert!(check(m as u64, root(old), root(new), &proof), "{m} of {n}");
                let mut other = leaves(64);
                other[0] = hash(&[b"rewritten"]);
                if m > 0 {
                    assert!(!check(m as u64, root(&other[..m]), root(new), &proof));
                }
                let mut long = proof.clone();
                long.path.push(root(new));
                assert!(!check(m as u64, root(old), root(new), &long));
            }
            assert_eq!(prove_consistency(new, n as u64 + 1), None);
        }
    }

    #[test]
    fn every_extension_up_to_64_verifies_and_a_rewritten_past_does_not() {
        let all = leaves(64);
        for n in 1..=64_usize {
            let new = &all[..n];
            for from in 0..n {
                let extension = prove_extension(new, from as u64).expect("inside");
                let (id, old) = (all[from], root(&all[..from]));
                assert!(
                    extension.verify(id, old, n as u64, root(new)),
                    "{from} of {n}"
                );
                assert!(!extension.verify(hash(&[b"fork"]), old, n as u64, root(new)));
                if from > 0 {
                    assert!(!extension.verify(id, hash(&[b"past"]), n as u64, root(new)));
                }
            }
        }
    }

    #[test]
    fn longest_log_keeps_its_proofs_inside_the_bound() {
        let leaves = leaves(4_095);
        let longest = (0..4_095)
            .step_by(7)
            .filter_map(|m| prove_consistency(&leaves, m))
            .map(|proof| proof.path.len())
            .max();
        // 12 levels here, 16 in the longest log.
        assert!(longest.expect("some") + 4 <= limits::PROOF_LEN_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn changed_proof_never_verifies(n in 2_usize..64, at in any::<prop::sample::Index>(), bit in 0_usize..256) {
            let leaves = leaves(n);
            let index = at.index(n);
            let mut proof = prove_inclusion(&leaves, index as u64).expect("inside");
            let place = at.index(proof.path.len());
            let mut bytes = *proof.path[place].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            proof.path[place] = ObjectId::new(bytes);
            prop_assert!(!verify_inclusion(leaves[index], index as u64, n as u64, root(&leaves), &proof));
        }

        #[test]
        fn arbitrary_proofs_never_panic(
            index: u64, size: u64, old: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..70)
        ) {
            let path: Vec<_> = path.into_iter().map(ObjectId::new).collect();
            let zero = ObjectId::new([0; 32]);
            let inclusion = InclusionProof { path: path.clone() };
            prop_assert!(!verify_inclusion(zero, index, size, zero, &inclusion));
            let _ = verify_consistency(old, zero, size, zero, &ConsistencyProof { path });
        }
    }
}
