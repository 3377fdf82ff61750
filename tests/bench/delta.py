"""What a revision costs that shares weights with one that is here, and what all views of it take on disk.

Usage: WEFT_BIN=target/release/weft python3 tests/bench/delta.py [--work DIR] [--pair NAME BEFORE AFTER]...
Makes a model of 512 MiB, a fine-tune of it with a longer header, and shards of it; further pairs are folders.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20


def write(path, tensors, note):
    """A safetensors file of pseudo-random tensors: name, seed, length."""
    header, end = {"__metadata__": {"note": note}}, 0
    for name, _, length in tensors:
        header[name] = {"dtype": "U8", "shape": [length], "data_offsets": [end, end + length]}
        end += length
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, seed, length in tensors:
            out.write(random.Random(seed).randbytes(length))


def index(folder):
    """Lengths of the tensors in a folder's safetensors files, by hash."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as weights:
            (length,) = struct.unpack("<Q", weights.read(8))
            header = json.loads(weights.read(length))
            header.pop("__metadata__", None)
            for entry in header.values():
                start, end = entry["data_offsets"]
                weights.seek(8 + length + start)
                found[hashlib.sha256(weights.read(end - start)).digest()] = end - start
    return found


class Node:
    """One `weft serve` process."""

    def __init__(self, weft, work, name, known=None):
        self.weft, self.home = weft, os.path.join(work, name)
        ready, log = os.path.join(work, f"{name}.ready"), os.path.join(work, f"{name}.log")
        command = [weft, "serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--no-mdns", "--ready-file", ready]
        command += ["--bootstrap", known] if known else []
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, env=self.environment(), stdout=out, stderr=out)
        while not os.path.exists(ready):
            if self.process.poll() is not None:
                sys.exit(f"node {name} ended, see {log}")
            time.sleep(0.05)

    def environment(self, **more):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("WEFT_")}
        return {**clean, "WEFT_HOME": self.home, **more}

    def run(self, *arguments, **more):
        command = [self.weft, *arguments, "--json"]
        done = subprocess.run(command, env=self.environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"{command}: {done.stderr.decode()}{done.stdout.decode()}")
        return json.loads(done.stdout.splitlines()[-1])

    def end(self):
        self.process.terminate()
        self.process.wait()


def usage(*folders):
    """Bytes of disk, each file counted once however many names it has."""
    seen, total = set(), 0
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                about = os.lstat(os.path.join(root, name))
                if (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    total += about.st_blocks * 512
    return total


def made(work):
    base = []
    for layer in range(64):
        base += [(f"layers.{layer}.w", layer, 8 * MIB - 4096), (f"layers.{layer}.norm", 1000 + layer, 4096)]
    changed = {f"layers.{layer}.w" for layer in range(3, 64, 11)}
    tuned = [(name, seed + 5000 if name in changed else seed, length) for name, seed, length in base]
    write(f"{work}/base/model.safetensors", base, "")
    write(f"{work}/tuned/model.safetensors", [*tuned, ("head", 9999, 4096)], "a longer header moves every tensor")
    for shard in range(4):
        part = base[shard * 32 : shard * 32 + 32]
        write(f"{work}/shards/model-{shard + 1:05}-of-00004.safetensors", part, "")
    return [
        ("512 MiB: 6 of 128 tensors changed, one added, all shifted", f"{work}/base", f"{work}/tuned"),
        ("512 MiB: one file, then 4 shards", f"{work}/base", f"{work}/shards"),
    ]


def compare(alice, bob, pairs):
    print("| what | bytes | changed tensors | over the network | copied here |\n|---|---|---|---|---|")
    for number, (name, before, after) in enumerate(pairs):
        for folder in (before, after):
            title = f"{number}-{os.path.basename(folder)}".lower()
            published = alice.run("publish", folder, "--name", title)
            fetched = bob.run("fetch", published["reference"])
        known = index(before)
        new = sum(length for content, length in index(after).items() if content not in known)
        figures = (fetched["bytes_total"], new, fetched["bytes_fetched"], fetched["bytes_reused"])
        print(f"| {name} | " + " | ".join(f"{figure:,}" for figure in figures) + " |")


def show(alice, carol, work):
    published = alice.run("publish", f"{work}/base", "--name", "0-base")
    plain, cache = f"{work}/plain", f"{work}/hf"
    carol.run("fetch", published["reference"], "--to", plain)
    carol.run("fetch", published["reference"], "--into", "hf-cache", HF_HUB_CACHE=cache)
    size, taken = os.path.getsize(f"{work}/base/model.safetensors"), usage(carol.home, plain, cache)
    print(f"\ndata directory, plain folder and Hugging Face cache: {taken:,} bytes, {taken / size:.3f} × the model")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default=None)
    parser.add_argument("--pair", nargs=3, action="append", default=[])
    options = parser.parse_args()
    weft = os.path.abspath(os.environ["WEFT_BIN"])
    work = tempfile.mkdtemp(prefix="weft-delta-", dir=options.work)
    nodes = []
    try:
        nodes.append(Node(weft, work, "alice"))
        address = nodes[0].run("status")["listen"][0]
        nodes += [Node(weft, work, name, address) for name in ("bob", "carol")]
        alice, bob, carol = nodes
        compare(alice, bob, [*made(work), *(tuple(pair) for pair in options.pair)])
        show(alice, carol, work)
    finally:
        for node in nodes:
            node.end()
        shutil.rmtree(work)


main()
