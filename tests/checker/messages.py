"""Requests, responses and announcements, as named values."""

from acceptance import (
    EQUIVOCATION,
    RECORD,
    REVISION,
    open_equivocation,
    open_record,
    open_revision,
)
from canonical import array, blob, decode, row, text, uint
from content import REPOSITORY
from crypto import HASH, hash_of
from identity import publisher_text, repository_name
from vectors import Refused, need

ADDRESSES = array(text(256), 16)
HELLO = row(ADDRESSES, text(64))
PEER = row(HASH, ADDRESSES)
REQUEST_LEN_MAX = 8 * 1024
RESPONSE_LEN_MAX = 16 * 1024 * 1024 + 64
ANNOUNCEMENT_LEN_MAX = 32 * 1024


def split(data, len_max):
    value = decode(data, len_max)
    need(isinstance(value, (list, tuple)) and value, "not a message")
    need(type(value[0]) is int, "no tag")
    return value[0], list(value[1:])


def repository_text(value):
    publisher, name = REPOSITORY(value)
    return f"{publisher_text(publisher)}/{name}"


def hello(value):
    addresses, agent = HELLO(value)
    return {"addresses": addresses, "agent": agent}


def request(data):
    tag, payload = split(data, REQUEST_LEN_MAX)
    match (tag, payload):
        case (0, [greeting]):
            return {"hello": hello(greeting)}
        case (1, [repository]):
            return {"repository": {"repository": repository_text(repository)}}
        case (1, [repository, have]):
            return {"repository": {"repository": repository_text(repository), "have": uint()(have)}}
        case (2, [repository, first]):
            return {"log": {"repository": repository_text(repository), "first": uint()(first)}}
        case (3, [publisher]):
            return {"publisher": {"publisher": publisher_text(HASH(publisher))}}
        case (3, [publisher, after]):
            after = repository_name(after)
            return {"publisher": {"publisher": publisher_text(HASH(publisher)), "after": after}}
        case (4, [object_id]):
            return {"object": {"id": HASH(object_id).hex()}}
        case (5, [repository, revision]):
            about = {"repository": repository_text(repository), "revision": HASH(revision).hex()}
            return {"revision": about}
        case (6, [revision]):
            return {"peers": {"revision": HASH(revision).hex()}}
    raise Refused("an unknown request")


def response(data, vector, meaning):
    """`meaning` says what was asked, which is what signed answers are verified against."""
    tag, payload = split(data, RESPONSE_LEN_MAX)
    match (tag, payload):
        case (0, [greeting]):
            return {"hello": hello(greeting)}
        case (1, [record]):
            return {"repository": about_record(RECORD(record), vector)}
        case (2, [ids]):
            return {"log": {"ids": [item.hex() for item in array(HASH, 4096)(ids)]}}
        case (3, [names]):
            return {"publisher": {"names": array(repository_name, 1000)(names)}}
        case (4, [preimage]):
            return {"object": {"id": hash_of(blob(preimage)).hex()}}
        case (5, [proof]):
            need("revision" in meaning, "another answer")
            asked = meaning["revision"]
            wanted = bytes.fromhex(asked["revision"])
            network = vector.number("network")
            head = open_revision(REVISION(proof), network, asked["repository"], wanted)
            revision = head.value["manifest"].hex()
            return {"revision": {"repository": head.repository, "revision": revision}}
        case (6, [peers]):
            peers = [
                {"peer": peer.hex(), "addresses": addresses}
                for peer, addresses in array(PEER, 50)(peers)
            ]
            return {"peers": {"peers": peers}}
        case (7, []):
            return {"not_found": {}}
        case (8, []):
            return {"refused": {}}
    raise Refused("an unknown response")


def announcement(data, vector):
    tag, payload = split(data, ANNOUNCEMENT_LEN_MAX)
    match (tag, payload):
        case (0, [record]):
            return {"head": about_record(RECORD(record), vector)}
        case (1, [proof]):
            _, about = open_equivocation(EQUIVOCATION(proof), vector.number("network"))
            need(about is not None, "not about heads")
            return {"equivocation": {"repository": about[0], "index": about[1]}}
    raise Refused("an unknown announcement")


def about_record(record, vector):
    _, head = open_record(record, vector.number("network"), vector.number("now"))
    return {"repository": head.repository, "index": head.index}
