"""An independent check of weft's golden vectors: python check.py [--mutate] [FOLDER]

Written from protocol/SPEC.md; shares no code with weft. Accepts every valid vector, refuses every
invalid one, and with --mutate changes every byte of every valid vector, in two ways, and demands
that each change is refused.
"""

import argparse
import base64
import json
import pathlib
import sys

import messages
import merkle
from acceptance import (
    REVISION,
    decode_equivocation,
    decode_record,
    open_equivocation,
    open_freshness,
    open_head,
    open_record,
    open_revision,
)
from canonical import array, decode
from content import open_preimage
from crypto import HASH, envelope, hash_of, object_id
from identity import Log, next_digest, publisher_text
from receipts import open_complaint, open_receipt
from vectors import Refused, default_folder, need, read_file, read_sums

LOG_LEN_MAX = 1 << 20


def same(vector, key, value):
    """What the vector states must be what was found."""
    if key in vector.fields:
        need(vector.text(key) == str(value), f"`{key}` is {value}, not {vector.text(key)}")


def identity_log(data, network):
    return Log(network, array(envelope, 1024)(decode(data, LOG_LEN_MAX)))


def check_identity(vector, data):
    log = identity_log(data, vector.number("network"))
    same(vector, "publisher", publisher_text(log.publisher))
    same(vector, "events", len(log.events))
    same(vector, "tip", log.ids[-1].hex())


def check_manifest(vector, data):
    manifest = open_preimage("manifest", data, vector.hex("id"))
    publisher, name = manifest["repository"]
    same(vector, "repository", f"{publisher_text(publisher)}/{name}")
    same(vector, "files", len(manifest["files"]))
    same(vector, "bytes_total", sum(file["size"] for file in manifest["files"]))


def check_refs(vector, data):
    refs = open_preimage("refs", data, vector.hex("id"))
    same(vector, "names", len(refs["names"]))
    same(vector, "withdrawn", len(refs["withdrawn"]))


def check_head(vector, data):
    log = identity_log(vector.hex("identity"), vector.number("network"))
    sealed = envelope(decode(data, LOG_LEN_MAX))
    head = open_head(sealed, log, vector.number("now"), vector.text("repository"))
    same(vector, "id", head.id.hex())
    same(vector, "index", head.index)


def check_freshness(vector, data):
    log = identity_log(vector.hex("identity"), vector.number("network"))
    now = vector.number("now")
    sealed = envelope(decode(vector.hex("head"), LOG_LEN_MAX))
    head = open_head(sealed, log, now, vector.text("repository"))
    freshness = open_freshness(envelope(decode(data, LOG_LEN_MAX)), log, head, now)
    same(vector, "index", freshness["index"])


def check_record(vector, data):
    network, now = vector.number("network"), vector.number("now")
    known = None
    if "known" in vector.fields:
        known = decode_record(vector.hex("known"))
        open_record(known, network, now, vector.text("repository"))
    record = decode_record(data)
    _, head = open_record(record, network, now, vector.text("repository"), known)
    same(vector, "id", head.id.hex())
    same(vector, "index", head.index)
    same(vector, "fresh", str(record["freshness"] is not None).lower())


def check_equivocation(vector, data):
    publisher, about = open_equivocation(decode_equivocation(data), vector.number("network"))
    same(vector, "publisher", publisher)
    need((about is not None) == ("repository" in vector.fields), "about something else")
    if about is not None:
        same(vector, "repository", about[0])
        same(vector, "index", about[1])


def check_revision(vector, data):
    proof = REVISION(decode(data, LOG_LEN_MAX))
    repository, revision = vector.text("repository"), vector.hex("revision")
    open_revision(proof, vector.number("network"), repository, revision)


def check_receipt(vector, data):
    found, receipt = open_receipt(data, vector.number("network"))
    same(vector, "id", found.hex())
    same(vector, "node", receipt["node"].hex())
    same(vector, "fingerprints", len(receipt["fingerprints"]))


def check_complaint(vector, data):
    complaint = open_complaint(data, vector.number("network"))
    same(vector, "complainant", complaint["complainant"].hex())
    same(vector, "node", complaint["node"].hex())


def check_root(vector, data):
    leaves = [bytes([index]) * 32 for index in range(vector.number("size"))]
    need(HASH(decode(data, 64)) == merkle.root(leaves), "another root")


def proof_path(data):
    return array(HASH, merkle.PROOF_LEN_MAX)(decode(data, 4096))


def check_inclusion(vector, data):
    leaf, index, size = vector.hex("leaf"), vector.number("index"), vector.number("size")
    holds = merkle.verify_inclusion(leaf, index, size, vector.hex("root"), proof_path(data))
    need(holds, "the proof does not hold")


def check_consistency(vector, data):
    old, size = vector.number("old_size"), vector.number("size")
    old_root, root = vector.hex("old_root"), vector.hex("root")
    holds = merkle.verify_consistency(old, old_root, size, root, proof_path(data))
    need(holds, "the proof does not hold")


def meaning_of(vector):
    return json.loads(vector.fields.get("meaning", "{}"))


def check_request(vector, data):
    said = messages.request(data)
    need("meaning" not in vector.fields or said == meaning_of(vector), f"it says {said}")


def check_response(vector, data):
    meaning = meaning_of(vector)
    said = messages.response(data, vector, meaning)
    need("meaning" not in vector.fields or said == meaning, f"it says {said}")


def check_announcement(vector, data):
    said = messages.announcement(data, vector)
    need("meaning" not in vector.fields or said == meaning_of(vector), f"it says {said}")


def repository_key(vector):
    publisher, name = vector.text("repository").split("/")
    return hash_of(b"weft/dht/repository/v1\0", unbase32(publisher), name.lower().encode())


def unbase32(value):
    return base64.b32decode(value.upper() + "====")


COMPUTED = {
    "dht_repository": repository_key,
    "dht_publisher": lambda v: hash_of(b"weft/dht/publisher/v1\0", unbase32(v.text("publisher"))),
    "dht_revision": lambda v: hash_of(b"weft/dht/revision/v1\0", v.hex("revision")),
    "dht_host": lambda v: hash_of(b"weft/dht/host/v1\0", v.hex("revision")),
    "next_digest": lambda v: next_digest(v.hex("key")),
    "object_id": lambda v: object_id(v.text("type"), v.hex("body")),
}

CHECKS = {
    "identity": check_identity,
    "manifest": check_manifest,
    "refs": check_refs,
    "head": check_head,
    "freshness": check_freshness,
    "record": check_record,
    "equivocation": check_equivocation,
    "revision": check_revision,
    "receipt": check_receipt,
    "complaint": check_complaint,
    "root": check_root,
    "inclusion": check_inclusion,
    "consistency": check_consistency,
    "request": check_request,
    "response": check_response,
    "announcement": check_announcement,
}


def check(vector, data):
    """Raises Refused unless the bytes are what the vector's kind and fields demand."""
    kind = vector.text("kind")
    if kind in COMPUTED:
        need(data == COMPUTED[kind](vector), "another hash")
    else:
        CHECKS[kind](vector, data)


def refusal(vector, data):
    """Why the bytes are refused, or None if they are accepted."""
    try:
        check(vector, data)
    except Refused as reason:
        return str(reason) or "refused"
    return None


def mutations(data):
    for at in range(len(data)):
        for mask in (0x01, 0x80):
            changed = bytearray(data)
            changed[at] ^= mask
            yield at, mask, bytes(changed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=default_folder())
    parser.add_argument("--mutate", action="store_true", help="change every byte of every valid vector")
    parser.add_argument("-v", "--verbose", action="store_true", help="say why each invalid one is refused")
    options = parser.parse_args()
    passed = failed = 0

    def report(good, text):
        nonlocal passed, failed
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"FAILED  {text}")

    try:
        names = read_sums(options.folder)
    except (OSError, ValueError, Refused) as error:
        print(f"FAILED  {error}")
        names = sorted(path.name for path in options.folder.glob("*.txt"))
        failed += 1
    vectors = []
    for name in names:
        try:
            vectors += read_file(options.folder / name)
        except (OSError, ValueError, KeyError, AttributeError, Refused) as error:
            report(False, f"{name} cannot be read: {error}")
    for vector in vectors:
        reason = refusal(vector, vector.data)
        if vector.valid:
            report(reason is None, f"{vector.title}: valid, but refused: {reason}")
        else:
            report(reason is not None, f"{vector.title}: invalid, but accepted")
            if options.verbose:
                print(f"refused  {vector.title}: {reason}")
    if options.mutate:
        for vector in vectors:
            if not vector.valid:
                continue
            for at, mask, changed in mutations(vector.data):
                reason = refusal(vector, changed)
                report(reason is not None, f"{vector.title}: byte {at} ^ {mask:#04x} accepted")
    print(f"checker: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
