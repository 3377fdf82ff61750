"""The repository log: RFC 6962 with BLAKE3."""

from crypto import hash_of

PROOF_LEN_MAX = 40


def leaf_hash(leaf):
    return hash_of(b"\0", leaf)


def node_hash(left, right):
    return hash_of(b"\1", left, right)


def root(leaves):
    if not leaves:
        return hash_of(b"")
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(root(leaves[:half]), root(leaves[half:]))


def root_from_inclusion(index, size, hash_, path):
    """The root that a path leads to, by walking down the shape of the tree; None if it does not fit."""
    if size == 1:
        return hash_ if not path else None
    if not path:
        return None
    half = 1
    while half * 2 < size:
        half *= 2
    if index < half:
        left = root_from_inclusion(index, half, hash_, path[:-1])
        return left and node_hash(left, path[-1])
    right = root_from_inclusion(index - half, size - half, hash_, path[:-1])
    return right and node_hash(path[-1], right)


def verify_inclusion(leaf, index, size, expected, path):
    if index >= size:
        return False
    return root_from_inclusion(index, size, leaf_hash(leaf), path) == expected


def roots_from_consistency(old, size, whole, old_root, path):
    """(old root, new root) of a subtree from the proof, or None. `whole`: the old root is known, not sent."""
    if old == size:
        if whole:
            return (old_root, old_root) if not path else None
        return (path[0], path[0]) if len(path) == 1 else None
    if not path:
        return None
    half = 1
    while half * 2 < size:
        half *= 2
    if old <= half:
        below = roots_from_consistency(old, half, whole, old_root, path[:-1])
        return below and (below[0], node_hash(below[1], path[-1]))
    below = roots_from_consistency(old - half, size - half, False, old_root, path[:-1])
    return below and (node_hash(path[-1], below[0]), node_hash(path[-1], below[1]))


def verify_consistency(old, old_root, size, new_root, path):
    if old > size:
        return False
    if old == 0 and size > 0:
        return not path and old_root == root([])
    if old == size:
        return not path and old_root == new_root
    return roots_from_consistency(old, size, True, old_root, path) == (old_root, new_root)
