"""Strict deterministic CBOR and the shapes that weft's types have.

A shape is a function that takes a decoded value and returns the checked one. Maps with integer keys
become dicts with names; optional keys are absent, never null.
"""

import io

import cbor2

from vectors import Refused, need


def decode(data, len_max):
    """Decodes one item and refuses every spelling but the canonical one."""
    need(len(data) <= len_max, f"{len(data)} bytes are more than {len_max}")
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except Exception as error:  # cbor2 raises many kinds, all of which mean the same here
        raise Refused(f"not CBOR: {error}") from error
    check_plain(value, 0)
    # Whatever was read beyond the item, whatever was spelled otherwise: the bytes differ.
    need(cbor2.dumps(value, canonical=True) == data, "not canonical, or something follows")
    return value


def check_plain(value, depth):
    """Only unsigned integers, byte strings, texts, arrays and maps with unsigned integer keys."""
    need(depth < 32, "too deep")
    kind = type(value)
    if kind is int:
        need(0 <= value < 1 << 64, "an integer out of range")
    elif kind in (bytes, str):
        pass
    elif kind in (list, tuple):
        for item in value:
            check_plain(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            need(type(key) is int and 0 <= key < 24, "a map key that is not a small integer")
            check_plain(item, depth + 1)
    else:
        raise Refused(f"a value of type {kind.__name__}")


def uint(max_value=(1 << 64) - 1):
    def shape(value):
        need(type(value) is int and 0 <= value <= max_value, "not an integer in range")
        return value

    return shape


def fixed(length):
    def shape(value):
        need(type(value) is bytes and len(value) == length, f"not {length} bytes")
        return value

    return shape


def blob(value):
    need(type(value) is bytes, "not a byte string")
    return value


def text(len_max, len_min=0, lines=False):
    def shape(value):
        need(type(value) is str, "not a text")
        need(len_min <= len(value.encode()) <= len_max, "a text is too short or too long")
        need(is_plain_text(value, lines), "a text holds characters that could fool a reader")
        return value

    return shape


def is_plain_text(value, lines=False):
    for char in value:
        code = ord(char)
        if char in "\n\t":
            if not lines:
                return False
        elif code < 0x20 or 0x7F <= code <= 0x9F:
            return False
        elif code in (0x61C, 0x200B, 0x200E, 0x200F, 0xFEFF):
            return False
        elif 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069:
            return False
    return True


def array(item, count_max):
    def shape(value):
        need(isinstance(value, (list, tuple)), "not an array")
        need(len(value) <= count_max, "too many items")
        return [item(entry) for entry in value]

    return shape


def row(*shapes):
    """An array of a fixed number of items."""

    def shape(value):
        need(isinstance(value, (list, tuple)) and len(value) == len(shapes), "wrong array")
        return tuple(check(entry) for check, entry in zip(shapes, value))

    return shape


def record(*fields):
    """A map. Each field is (key, name, shape) or (key, name, shape, "optional")."""

    def shape(value):
        need(isinstance(value, dict), "not a map")
        known = {key for key, *_ in fields}
        need(set(value) <= known, "an unknown map key")
        result = {}
        for key, name, check, *optional in fields:
            if key in value:
                result[name] = check(value[key])
            else:
                need(optional, f"`{name}` is missing")
                result[name] = None
        return result

    return shape


def ascending(items, what):
    """Refuses anything but a strictly ascending order."""
    need(all(a < b for a, b in zip(items, items[1:])), f"{what}: not sorted, or twice")
