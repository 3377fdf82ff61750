"""Receipts of answers, and complaints about them."""

import struct

from canonical import array, decode, record, row, text, uint
from content import repository_path
from crypto import HASH, envelope, object_id, verify_envelope
from vectors import need

RECEIPT_LEN_MAX = 256 * 1024
COMPLAINT_LEN_MAX = 1024
EVERY = 32
U32 = uint(0xFFFFFFFF)


def real(value):
    """The bits of a finite 32-bit float."""
    value = struct.unpack("<f", struct.pack("<I", U32(value)))[0]
    need(value - value == 0, "a number that is not finite")
    return value


NUMERICS = row(text(64), text(64))
SAMPLING = row(
    real, U32, real, real, real, U32, real, real, array(row(U32, real), 1024), uint()
)
FINGERPRINT = row(U32, array(row(U32, real), 8))
RECEIPT = record(
    (0, "node", HASH),
    (1, "asker", HASH),
    (2, "revision", HASH),
    (3, "file", repository_path, "optional"),
    (4, "engine", text(64)),
    (5, "numerics", NUMERICS),
    (6, "prompt_hash", HASH),
    (7, "prompt_tokens", U32),
    (8, "answer_hash", HASH),
    (9, "answer_tokens", U32),
    (10, "resumed_tokens", U32),
    (11, "sampling", SAMPLING),
    (12, "terms_hash", HASH),
    (13, "finish", uint(2)),
    (14, "fingerprints", array(FINGERPRINT, 2048)),
    (15, "prompt_millis", uint()),
    (16, "answer_millis", uint()),
    (17, "issued", uint()),
    (18, "text_hash", HASH),
)
COMPLAINT = record(
    (0, "complainant", HASH),
    (1, "node", HASH),
    (2, "receipt", HASH),
    (3, "revision", HASH),
    (4, "fault", uint(5)),
    (5, "position", U32),
    (6, "difference", real),
    (7, "tolerance", real),
    (8, "auditor", HASH),
    (9, "numerics", NUMERICS),
    (10, "issued", uint()),
)


def positions(answer):
    """The first token of the answer, and each 32nd."""
    return list(range(0, answer, EVERY))


def check_fingerprint(fingerprint):
    _, top = fingerprint
    need(top, "no logits")
    need(len({token for token, _ in top}) == len(top), "a token twice")
    logits = [logit for _, logit in top]
    need(all(a >= b for a, b in zip(logits, logits[1:])), "a rising logit")


def open_receipt(data, network):
    sealed = envelope(decode(data, RECEIPT_LEN_MAX + 1024))
    receipt = RECEIPT(decode(sealed[0], RECEIPT_LEN_MAX))
    need(receipt["resumed_tokens"] <= receipt["answer_tokens"], "more given than there is")
    wanted = positions(receipt["answer_tokens"])
    need([at for at, _ in receipt["fingerprints"]] == wanted, "fingerprints elsewhere")
    for fingerprint in receipt["fingerprints"]:
        check_fingerprint(fingerprint)
    verify_envelope("receipt", network, sealed, [receipt["node"]], 1)
    return object_id("receipt", sealed[0]), receipt


def open_complaint(data, network):
    sealed = envelope(decode(data, COMPLAINT_LEN_MAX + 1024))
    complaint = COMPLAINT(decode(sealed[0], COMPLAINT_LEN_MAX))
    need(complaint["node"] != complaint["complainant"], "about oneself")
    need(complaint["node"] != complaint["auditor"], "a witness against itself")
    verify_envelope("complaint", network, sealed, [complaint["complainant"]], 1)
    return complaint
