"""Object ids, envelopes and signatures."""

from blake3 import blake3
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from canonical import array, blob, decode, fixed, row, uint
from vectors import need

HASH = fixed(32)
SIGNATURES_MAX = 9


def hash_of(*parts):
    return blake3(b"".join(parts)).digest()


def domain(kind):
    return b"weft/" + kind.encode() + b"/v1\0"


def object_id(kind, body):
    return hash_of(domain(kind), body)


def envelope(value):
    """[body, [[key index, signature], …]], sorted, no key twice."""
    body, signatures = row(blob, array(row(uint(0xFFFF), fixed(64)), SIGNATURES_MAX))(value)
    indices = [index for index, _ in signatures]
    need(all(a < b for a, b in zip(indices, indices[1:])), "signatures are not sorted")
    return body, signatures


def verify_envelope(kind, network, sealed, keys, threshold, counts=lambda key: True):
    """Every signature must be right; at least `threshold` by keys that count."""
    body, signatures = sealed
    message = domain(kind) + bytes([network]) + body
    got = 0
    for index, signature in signatures:
        need(index < len(keys), "a key index that the role does not have")
        key = keys[index]
        try:
            VerifyKey(key).verify(message, signature)
        except (BadSignatureError, ValueError) as error:
            need(False, f"signature {index} is wrong: {error}")
        got += bool(counts(key))
    need(got >= max(threshold, 1), f"{got} of {threshold} signatures")


def open_body(sealed, shape, len_max):
    return shape(decode(sealed[0], len_max))
