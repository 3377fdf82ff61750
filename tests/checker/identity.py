"""Publisher identities: text forms and the pre-rotated log."""

import base64
import re

from canonical import array, fixed, is_plain_text, record, text, uint
from crypto import HASH, hash_of, object_id, open_body, verify_envelope
from vectors import need

KEY = fixed(32)
EVENTS_MAX = 1024
EVENT_LEN_MAX = 4096

EVENT = record(
    (0, "index", uint()),
    (1, "previous", HASH, "optional"),
    (2, "root_keys", array(KEY, 9)),
    (3, "root_threshold", uint(0xFFFF)),
    (4, "next_digests", array(HASH, 9)),
    (5, "next_threshold", uint(0xFFFF)),
    (6, "release_keys", array(KEY, 9)),
    (7, "release_threshold", uint(0xFFFF)),
    (8, "freshness_key", KEY, "optional"),
    (9, "label_key", KEY, "optional"),
    (10, "serving_keys", array(KEY, 32)),
    (11, "aliases", array(text(263), 16)),
    (12, "revocations", array(KEY, 32)),
    (13, "created", uint()),
)


def publisher_text(publisher):
    return base64.b32encode(publisher).decode().rstrip("=").lower()


def repository_name(value):
    need(type(value) is str, "not a text")
    need(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value), "not a repository name")
    return value


def folded_name(value):
    name = repository_name(value)
    need(name == name.lower(), "the name is not folded")
    return name


def next_digest(key):
    return hash_of(b"weft/next-key/v1\0", key)


def check_role(keys, threshold):
    need(1 <= len(keys) and len(set(keys)) == len(keys), "a role without keys, or a key twice")
    need(1 <= threshold <= len(keys), "a threshold that cannot be met")


def check_event(event):
    need((event["index"] == 0) == (event["previous"] is None), "previous does not fit index")
    need(event["index"] < EVENTS_MAX, "index too high")
    check_role(event["root_keys"], event["root_threshold"])
    check_role(event["next_digests"], event["next_threshold"])
    check_role(event["release_keys"], event["release_threshold"])
    for name in ("serving_keys", "aliases", "revocations"):
        need(len(set(event[name])) == len(event[name]), f"{name}: one twice")
    for alias in event["aliases"]:
        need(re.match(r"(dns:|did:web:).", alias) and is_plain_text(alias), "not an alias")


class Log:
    """A verified identity log."""

    def __init__(self, network, envelopes):
        need(envelopes, "no events")
        need(len(envelopes) <= EVENTS_MAX, "too many events")
        self.network, self.events, self.ids, self.revoked = network, [], [], set()
        for sealed in envelopes:
            self.append(sealed)

    def append(self, sealed):
        event = open_body(sealed, EVENT, EVENT_LEN_MAX)
        check_event(event)
        need(event["index"] == len(self.events), "a position is skipped or taken")
        need(event["previous"] == (self.ids[-1] if self.ids else None), "wrong event before it")
        threshold = event["root_threshold"]
        if self.events:
            before = self.events[-1]
            for key in event["root_keys"]:
                need(next_digest(key) in before["next_digests"], "an uncommitted root key")
            threshold = max(threshold, before["next_threshold"])
        verify_envelope("ident", self.network, sealed, event["root_keys"], threshold)
        revoked = self.revoked | set(event["revocations"])
        used = event["release_keys"] + event["serving_keys"]
        used += [key for key in (event["freshness_key"], event["label_key"]) if key]
        need(not revoked & set(used), "a revoked key is used")
        self.revoked = revoked
        self.events.append(event)
        self.ids.append(object_id("ident", sealed[0]))

    @property
    def publisher(self):
        return self.ids[0]

    @property
    def tip(self):
        return self.events[-1]
