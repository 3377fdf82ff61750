"""Heads, freshness, records, equivocation proofs and proofs of old revisions."""

import cbor2

import merkle
from canonical import array, decode, record, row, uint
from crypto import HASH, envelope, object_id, open_body, verify_envelope
from identity import EVENTS_MAX, Log, folded_name, publisher_text
from vectors import need

HEAD_LEN_MAX = 1000
HEADS_MAX = 65_536
HEAD_LIFETIME_MAX = 400 * 86_400
FRESHNESS_LIFETIME_MAX = 48 * 3_600
CLOCK_SKEW_MAX = 600

HEAD = record(
    (0, "publisher", HASH),
    (1, "name", folded_name),
    (2, "index", uint()),
    (3, "manifest", HASH),
    (4, "refs", HASH, "optional"),
    (5, "previous", HASH, "optional"),
    (6, "log_root", HASH),
    (7, "identity", HASH),
    (8, "identity_index", uint()),
    (9, "issued", uint()),
    (10, "expires", uint()),
    (11, "ttl", uint(0xFFFFFFFF)),
)
FRESHNESS = record(
    (0, "publisher", HASH),
    (1, "name", folded_name),
    (2, "head", HASH),
    (3, "index", uint()),
    (4, "issued", uint()),
    (5, "expires", uint()),
)
IDENTITY = array(envelope, EVENTS_MAX)
PATH = array(HASH, merkle.PROOF_LEN_MAX)
EXTENSION = row(uint(), PATH, PATH)
RECORD = record(
    (0, "identity", IDENTITY),
    (1, "head", envelope),
    (2, "freshness", envelope, "optional"),
    (3, "extension", EXTENSION, "optional"),
)
EQUIVOCATION = record(
    (0, "identity", IDENTITY),
    (1, "subject", uint(1)),
    (2, "first", envelope),
    (3, "second", envelope),
)
REVISION = record(
    (0, "identity", IDENTITY),
    (1, "head", envelope),
    (2, "tip", envelope, "optional"),
    (3, "inclusion", PATH, "optional"),
)


def encoded_len(sealed):
    body, signatures = sealed
    return len(cbor2.dumps([body, [list(entry) for entry in signatures]], canonical=True))


def check_lifetime(item, lifetime_max):
    need(0 < item["expires"] - item["issued"] <= lifetime_max, "a wrong lifetime")


class Head:
    """A head that is well formed; nothing about its signatures is known yet."""

    def __init__(self, sealed):
        need(encoded_len(sealed) <= HEAD_LEN_MAX, "a head of more than 1,000 bytes")
        self.sealed = sealed
        self.value = open_body(sealed, HEAD, HEAD_LEN_MAX)
        self.id = object_id("head", sealed[0])
        self.index = self.value["index"]
        need(self.index < HEADS_MAX, "index too high")
        need((self.index == 0) == (self.value["previous"] is None), "previous does not fit index")
        need(self.index > 0 or self.value["log_root"] == merkle.root([]), "a first head with a past")
        check_lifetime(self.value, HEAD_LIFETIME_MAX)

    @property
    def repository(self):
        return f"{publisher_text(self.value['publisher'])}/{self.value['name']}"

    def named_event(self, log):
        index = self.value["identity_index"]
        need(index < len(log.ids), "an identity event that is not in the log")
        need(log.ids[index] == self.value["identity"], "another identity event")
        need(log.publisher == self.value["publisher"], "another publisher")
        return log.events[index]

    def verify_today(self, log):
        """Keys count if the newest event still has them and nothing revoked them."""
        event, tip = self.named_event(log), log.tip
        threshold = max(event["release_threshold"], tip["release_threshold"])

        def counts(key):
            return key in tip["release_keys"] and key not in log.revoked

        keys = event["release_keys"]
        verify_envelope("head", log.network, self.sealed, keys, threshold, counts)

    def verify_in_its_day(self, log):
        event = self.named_event(log)
        keys, threshold = event["release_keys"], event["release_threshold"]
        verify_envelope("head", log.network, self.sealed, keys, threshold)

    def check_times(self, now):
        need(self.value["issued"] <= now + CLOCK_SKEW_MAX, "issued in the future")
        need(self.value["expires"] > now, "expired")


def open_head(sealed, log, now, repository=None):
    """A head with nothing else known, as a DHT node judges it."""
    head = Head(sealed)
    need(repository is None or head.repository == repository.lower(), "another repository")
    head.verify_today(log)
    head.check_times(now)
    return head


def open_freshness(sealed, log, head, now):
    """A statement that counts today."""
    value = open_body(sealed, FRESHNESS, 256)
    check_lifetime(value, FRESHNESS_LIFETIME_MAX)
    about = (value["publisher"], value["name"], value["head"], value["index"])
    this = (head.value["publisher"], head.value["name"], head.id, head.index)
    need(about == this, "about another head")
    need(value["issued"] <= now + CLOCK_SKEW_MAX, "issued in the future")
    need(value["expires"] > now, "expired")
    key = log.tip["freshness_key"]
    need(key is not None and key not in log.revoked, "no freshness key")
    verify_envelope("fresh", log.network, sealed, [key], 1)
    return value


def open_record(value, network, now, repository=None, known=None):
    """A record: the head must be newer than `known` (a record verified before) and extend it."""
    log = Log(network, value["identity"])
    head = open_head(value["head"], log, now, repository)
    if value["freshness"] is not None:
        # A node drops a statement that merely lapsed; no record among the vectors carries one.
        open_freshness(value["freshness"], log, head, now)
    if known is not None:
        held = Head(known["head"])
        need(head.index > held.index, "not newer than what is known")
        need(value["extension"] is not None, "no extension")
        start, inclusion, consistency = value["extension"]
        new_root = head.value["log_root"]
        need(start == held.index, "an extension from elsewhere")
        inside = merkle.verify_inclusion(held.id, start, head.index, new_root, inclusion)
        need(inside, "the known head is not in the log")
        old_root = held.value["log_root"]
        steady = merkle.verify_consistency(start, old_root, head.index, new_root, consistency)
        need(steady, "the log was rewritten")
        if head.index == held.index + 1:
            need(head.value["previous"] == held.id, "another head before it")
    else:
        need(value["extension"] is None, "an extension that nobody can check")
    return log, head


def open_equivocation(value, network):
    """Returns (publisher, repository and index or None)."""
    log = Log(network, value["identity"])
    first, second = value["first"], value["second"]
    if value["subject"] == 1:
        need(object_id("ident", first[0]) < object_id("ident", second[0]), "no contradiction")
        for sealed in (first, second):
            Log(network, value["identity"] + [sealed])
        return publisher_text(log.publisher), None
    one, two = Head(first), Head(second)
    need(one.repository == two.repository, "two repositories")
    need(one.index == two.index and one.id < two.id, "no contradiction")
    one.verify_today(log)
    two.verify_today(log)
    return publisher_text(log.publisher), (one.repository, one.index)


def open_revision(value, network, repository, revision):
    log = Log(network, value["identity"])
    head = Head(value["head"])
    need(head.repository == repository.lower(), "another repository")
    need(head.value["manifest"] == revision, "another revision")
    need((value["tip"] is None) == (value["inclusion"] is None), "half a proof")
    if value["tip"] is None:
        head.verify_today(log)
        return head
    tip = Head(value["tip"])
    need(tip.repository == head.repository, "another repository")
    tip.verify_today(log)
    head.verify_in_its_day(log)
    inside = merkle.verify_inclusion(
        head.id, head.index, tip.index, tip.value["log_root"], value["inclusion"]
    )
    need(inside, "the head is not in the log of the tip")
    return head


def decode_record(data):
    return RECORD(decode(data, 12 * 1024))


def decode_equivocation(data):
    return EQUIVOCATION(decode(data, 32 * 1024))
