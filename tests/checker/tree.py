"""The inner nodes of a BLAKE3 tree, from the BLAKE3 paper: the library at hand only hashes whole inputs."""

IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip
PARENT, ROOT = 4, 8
MASK = 0xFFFFFFFF


def rotate(word, by):
    return (word >> by | word << (32 - by)) & MASK


def mix(state, places, first, second):
    a, b, c, d = places
    for message, by_d, by_b in ((first, 16, 12), (second, 8, 7)):
        state[a] = (state[a] + state[b] + message) & MASK
        state[d] = rotate(state[d] ^ state[a], by_d)
        state[c] = (state[c] + state[d]) & MASK
        state[b] = rotate(state[b] ^ state[c], by_b)


def parent(left, right, flags=0):
    """The node over two others."""
    block = left + right
    message = [int.from_bytes(block[at : at + 4], "little") for at in range(0, 64, 4)]
    state = list(IV) + list(IV[:4]) + [0, 0, 64, PARENT | flags]
    for _ in range(7):
        for n, places in enumerate(COLUMNS_AND_DIAGONALS):
            mix(state, places, message[2 * n], message[2 * n + 1])
        message = [message[at] for at in PERMUTATION]
    words = (state[n] ^ state[n + 8] for n in range(8))
    return b"".join(word.to_bytes(4, "little") for word in words)


def root_of(nodes, flags=ROOT):
    """The root over a layer of nodes: the left side of each parent is as large a power of two as fits."""
    if len(nodes) == 1:
        return nodes[0]
    left = 1 << (len(nodes) - 1).bit_length() - 1
    return parent(root_of(nodes[:left], 0), root_of(nodes[left:], 0), flags)
