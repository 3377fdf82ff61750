"""Reads protocol/vectors: the files, their fields and their hex."""

import pathlib
from dataclasses import dataclass, field

from blake3 import blake3


class Refused(Exception):
    """A rule of the contract is broken."""


def need(condition, reason):
    """Raises Refused unless the condition holds."""
    if not condition:
        raise Refused(reason)


@dataclass
class Vector:
    """One vector of a file."""

    file: str
    name: str
    valid: bool
    fields: dict = field(default_factory=dict)
    data: bytes = b""

    @property
    def title(self):
        return f"{self.file}: {self.name}"

    def text(self, key):
        return self.fields[key]

    def number(self, key):
        return int(self.fields[key])

    def hex(self, key):
        return bytes.fromhex(self.fields[key])


def read_sums(folder):
    """Checks B3SUMS, so that not even a comment can change unnoticed; returns the names of the files."""
    names = []
    for line in (folder / "B3SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        content = (folder / name).read_bytes()
        need(blake3(content).hexdigest() == digest, f"{name} differs from B3SUMS")
        names.append(name)
    present = sorted(path.name for path in folder.iterdir() if path.name != "B3SUMS")
    need(sorted(names) == present, "B3SUMS does not list exactly the files that are here")
    return names


def read_file(path):
    """All vectors of one file."""
    vectors, current, in_bytes, expected, digits = [], None, False, 0, []

    def close():
        if current is not None:
            current.data = bytes.fromhex("".join(digits))
            need(len(current.data) == expected, f"{current.title}: wrong number of bytes")
            vectors.append(current)

    for raw in path.read_text(encoding="utf-8").split("\n"):
        # A value never holds " #"; a comment always does, or begins the line.
        line = raw.split(" #", 1)[0].strip()
        if line.startswith("#") or not line:
            continue
        if line.startswith("=== "):
            close()
            verdict, name = line[4:].split(" ", 1)
            need(verdict in ("valid", "invalid"), f"{path.name}: `{line}`")
            current = Vector(path.stem, name, verdict == "valid")
            in_bytes, expected, digits = False, 0, []
        elif line.startswith("--- "):
            in_bytes, expected = True, int(line[4:].split(" ")[0])
        elif in_bytes:
            digits.append(line)
        else:
            key, value = line.split(" = ", 1)
            current.fields[key] = value
    close()
    return vectors


def default_folder():
    return pathlib.Path(__file__).resolve().parents[2] / "protocol" / "vectors"
