"""Writes what the fuzz targets begin with: the golden vectors, and headers of real weight files.

usage: seeds.py REPOSITORY CORPUS
"""

import hashlib
import json as jsons
import pathlib
import re
import struct
import sys


def bodies(path):
    """The bytes of every vector in a file, and every hex field."""
    lines = path.read_text().splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        field = re.fullmatch(r"[a-z0-9_ ]+ = ([0-9a-f]{64,})", line)
        if field and len(field[1]) % 2 == 0:
            yield bytes.fromhex(field[1])
        if line.startswith("--- "):
            digits = ""
            while at < len(lines) and lines[at].strip():
                digits += lines[at].split("#")[0].replace(" ", "")
                at += 1
            yield bytes.fromhex(digits)


def main():
    repository, corpus = map(pathlib.Path, sys.argv[1:])

    def seed(target, content):
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)

    for path in sorted((repository / "protocol/vectors").glob("*.txt")):
        for content in bodies(path):
            if len(content) > 64 * 1024:
                continue
            for target in ("objects", "messages", "records"):
                seed(target, content)
            # The bodies of envelopes: an array of two whose first item is a byte string.
            if content[:2] == b"\x82\x58":
                seed("objects", content[3 : 3 + content[2]])
            if content[:2] == b"\x82\x59":
                seed("objects", content[4 : 4 + int.from_bytes(content[2:4])])
        for line in path.read_text().splitlines():
            if line.startswith(("name = ", "text = ", "path = ", "repository = ", "reference = ")):
                seed("names", line.split(" = ", 1)[1].encode())
    for name in ("README.md", "a/b.safetensors", "weft:alice/tiny@v1.0/config.json", "con", "a//b", "a/../b"):
        seed("names", name.encode())

    weights = repository / "tests/data/wren-3m"
    file = (weights / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", file[:8])[0]
    seed("safetensors", file[: 8 + length])
    for json, data in (
        ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8),
        ('{"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":[{}]}}  ', 1),
        ('{"\\u0061":{"dtype":"F4","shape":[0,2],"data_offsets":[0,0]}}', 0),
    ):
        seed("safetensors", struct.pack("<Q", len(json)) + json.encode() + bytes(data))

    found = set()
    config = jsons.loads((weights / "tokenizer_config.json").read_text())
    found.add(config.get("chat_template") or "")
    found.update((
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content | trim }}{% endfor %}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ ns.n }}",
        "{% macro f(x) %}{{ x }}{% if x %}{{ f(x[1:]) }}{% endif %}{% endmacro %}{{ f('abc') }}",
        "{{ raise_exception('no') }}{{ strftime_now('%Y') }}{{ messages | tojson(indent=2) }}",
        "{{ messages | map(attribute='role') | join(', ') }}{{ range(3) | list }}{{ 'a' * 3 ~ 2 ** 8 // 3 }}",
        "{%- if messages[0]['role'] == 'system' -%}{{ messages[0].content.split(' ')[-1].strip() }}{%- endif -%}\0[]",
    ))
    cases = jsons.loads((repository / "engine/fixtures/templates.json").read_text())["cases"]
    found.update(case["source"] for case in cases)
    for template in found:
        seed("templates", template.encode())

    def text(content):
        return struct.pack("<Q", len(content)) + content

    def gguf(version, entries, tensors, data):
        head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
        head += b"".join(entries) + b"".join(tensors)
        return head + bytes(-len(head) % 32 + data)

    entries = [text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")]
    widths = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    for kind, width in widths.items():
        entries.append(text(b"k%d" % kind) + struct.pack("<I", kind) + bytes(width))
        entries.append(text(b"a%d" % kind) + struct.pack("<IIQ", 9, kind, 2) + bytes(2 * width))
    entries.append(text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"<s>") + text(b""))
    entries.append(text(b"nested") + struct.pack("<IIQIQ", 9, 9, 1, 0, 2) + bytes(2))
    entries.append(text(b"general.alignment") + struct.pack("<II", 4, 32))
    tensors = [
        text(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 32, 2, 8, 0),
        text(b"output_norm.weight") + struct.pack("<IQIQ", 1, 8, 0, 96),
    ]
    seed("gguf", gguf(3, entries, tensors, 128))
    seed("gguf", gguf(2, entries[:1], tensors[:1], 68))
    for entry in entries:
        seed("gguf", gguf(3, [entry], [], 0))


main()
