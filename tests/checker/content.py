"""Manifests and references: preimages whose hash is their id."""

import re
import unicodedata

from blake3 import blake3

from canonical import array, ascending, blob, decode, fixed, is_plain_text, record, row, text, uint
from crypto import HASH, domain, hash_of
from identity import repository_name
from tree import root_of
from vectors import need

MANIFEST_LEN_MAX = 16 * 1024 * 1024
REFS_LEN_MAX = 64 * 1024
GIT_SHA1_SIZE_MAX = 10 * 1024 * 1024
EMPTY = blake3(b"").digest()
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}


def repository_path(value):
    need(type(value) is str and value, "an empty path")
    need(len(value.encode()) <= 1024, "a path of more than 1,024 bytes")
    need(not set(value) & set('\\:<>"|?*'), "a character with a meaning to some system")
    need(is_plain_text(value), "a hidden character")
    need(unicodedata.is_normalized("NFC", value), "not NFC")
    components = value.split("/")
    need(len(components) <= 32, "too deep")
    for name in components:
        need(name not in ("", ".", ".."), "an empty or dot component, or an absolute path")
        need(len(name.encode()) <= 255, "a component of more than 255 bytes")
        need(name[-1] not in ". ", "a trailing dot or space")
        stem = name.split(".")[0].rstrip(" ").upper()
        need(stem not in DEVICES, "a reserved name")
        need(not re.fullmatch("(COM|LPT)[0-9¹²³]", stem), "a reserved name")
        visible = re.sub("[\u200c\u200d\u206a-\u206f]", "", name).lower()
        need(visible not in (".git", "git~1"), "a git folder")
    return value


SPANS = record((0, "log2", uint(26)), (1, "hashes", blob))
CHUNKS = record((0, "log2", uint(26)), (1, "entries", blob))
FILE = record(
    (0, "path", repository_path),
    (1, "size", uint()),
    (2, "blake3", HASH),
    (3, "sha256", fixed(32)),
    (4, "git_sha1", fixed(20), "optional"),
    (5, "role", uint(6)),
    (6, "spans", SPANS, "optional"),
    (7, "chunks", CHUNKS, "optional"),
)
SHORT = text(256, 1)
CARD = record(
    (0, "license", SHORT, "optional"),
    (1, "tags", array(SHORT, 512)),
    (2, "pipeline_tag", SHORT, "optional"),
    (3, "library", SHORT, "optional"),
    (4, "languages", array(SHORT, 512)),
    (5, "base_models", array(row(HASH, uint(3)), 32)),
)
TENSOR = record(
    (0, "file", uint(0xFFFFFFFF)),
    (1, "name", text(512, 1)),
    (2, "dtype", text(32, 1)),
    (3, "shape", array(uint(), 8)),
    (4, "offset", uint()),
    (5, "len", uint()),
    (6, "blake3", HASH),
)
REPOSITORY = row(HASH, repository_name)
MANIFEST = record(
    (0, "repository", REPOSITORY),
    (1, "kind", uint(3)),
    (2, "parents", array(HASH, 8)),
    (3, "files", array(FILE, 100_000)),
    (4, "card", CARD),
    (5, "tensors", array(TENSOR, 131_072)),
    (6, "message", text(4096, lines=True)),
    (7, "created", uint()),
)


def fold(value):
    return unicodedata.normalize("NFC", value.lower().upper())


def check_spans(file):
    """The spans' hashes are one layer of the file's tree."""
    log2, hashes = file["spans"]["log2"], file["spans"]["hashes"]
    need(18 <= log2, "a span that is too short")
    count = -(-file["size"] >> log2) if file["size"] else 0
    need(count >= 2 and len(hashes) == 32 * count, "not as many spans as the size makes")
    nodes = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    need(root_of(nodes) == file["blake3"], "spans of another content")


def check_chunks(file):
    """The chunks have lengths that a chunk can have, and add up to the file."""
    log2, entries = file["chunks"]["log2"], file["chunks"]["entries"]
    need(16 <= log2, "a chunk that is too short")
    need(len(entries) % 12 == 0, "half an entry")
    lengths = [int.from_bytes(entries[at : at + 4], "little") for at in range(0, len(entries), 12)]
    need(sum(lengths) == file["size"], "chunks that do not add up")
    need(all(length <= 4 << log2 for length in lengths), "a chunk that is too long")
    need(all(length >= 1 << log2 - 2 for length in lengths[:-1]), "a chunk that is too short")


def check_files(files):
    ascending([file["path"].encode() for file in files], "files")
    blobs = {}
    for file in files:
        need((file["size"] == 0) == (file["blake3"] == EMPTY), "a size that does not fit its hash")
        need(file["git_sha1"] is None or file["size"] <= GIT_SHA1_SIZE_MAX, "a needless git hash")
        facts = (file["size"], file["sha256"], file["git_sha1"])
        if file["spans"] is not None:
            check_spans(file)
        if file["chunks"] is not None:
            check_chunks(file)
        need(blobs.setdefault(file["blake3"], facts) == facts, "one hash, two files")
    need(sum(file["size"] for file in files) <= 1 << 53, "sizes add up to too much")
    folded = {fold(file["path"]) for file in files}
    need(len(folded) == len(files), "two paths differ by case only")
    for path in folded:
        parts = path.split("/")
        for end in range(1, len(parts)):
            need("/".join(parts[:end]) not in folded, "a file is a folder too")


def check_manifest(manifest):
    parents = manifest["parents"]
    need(len(set(parents)) == len(parents), "a parent twice")
    check_files(manifest["files"])
    card = manifest["card"]
    ascending([tag.encode() for tag in card["tags"]], "tags")
    ascending([tag.encode() for tag in card["languages"]], "languages")
    ascending(card["base_models"], "base models")
    tensors = manifest["tensors"]
    ascending([(t["file"], t["offset"], t["name"].encode()) for t in tensors], "tensors")
    for tensor in tensors:
        need(tensor["file"] < len(manifest["files"]), "a tensor in no file")
        size = manifest["files"][tensor["file"]]["size"]
        need(tensor["offset"] + tensor["len"] <= size, "a tensor beyond its file")


def reference_name(value):
    need(type(value) is str, "not a text")
    need(re.fullmatch(r"[A-Za-z0-9._+/-]{1,128}", value), "not a reference name")
    parts = value.split("/")
    need(all(re.match("[A-Za-z0-9]", part) for part in parts), "not a reference name")
    need(".." not in value, "git would refuse the name")
    need(not any(part.endswith((".", ".lock")) for part in parts), "git would refuse the name")
    need(not re.fullmatch("[0-9a-fA-F]{8,64}", value), "the name looks like an id")
    need(value not in ("main", "heads/main"), "main belongs to the head")
    return value


REFS = record(
    (0, "names", array(row(reference_name, HASH), 2048)),
    (1, "withdrawn", array(row(HASH, text(200)), 2048)),
)


def check_refs(refs):
    ascending([name.encode() for name, _ in refs["names"]], "names")
    ascending([revision for revision, _ in refs["withdrawn"]], "withdrawn revisions")


def open_preimage(kind, data, expected_id):
    """Checks the id and the domain, then the object itself."""
    shape, check, len_max = {
        "manifest": (MANIFEST, check_manifest, MANIFEST_LEN_MAX),
        "refs": (REFS, check_refs, REFS_LEN_MAX),
    }[kind]
    need(hash_of(data) == expected_id, "the bytes do not hash to the id")
    prefix = domain(kind)
    need(data.startswith(prefix), "another domain")
    value = shape(decode(data[len(prefix) :], len_max))
    check(value)
    return value
