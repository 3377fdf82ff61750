"""Files that the client takes in chunks only, and one copy for the node and the client's cache.

The client refuses bodies of more than 50 GB. Here it is told that the limit is 10 MB, and the node that it is 9.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest
import urllib.request

from nodes import Node, done, hf, wait_for

# Two bundles of chunks, and a part of a chunk.
SIZE = 70_000_001
REFUSING = """
import sys
from huggingface_hub import constants, hf_hub_download
constants.MAX_HTTP_DOWNLOAD_SIZE = 10_000_000
print(hf_hub_download(*sys.argv[1:]))
"""


class Large(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"])
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def node(self, name, known=(), **settings):
        node = Node(self.folder, name, known)
        for key, value in settings.items():
            node.weft("config", "set", f"gateway.{key}", value)
        self.addCleanup(node.stop)
        return node.start()

    def publish(self, node, size=SIZE):
        """A repository of one large file; its id, and the file."""
        (self.folder / "m").mkdir()
        file = self.folder / "m" / "w.bin"
        file.write_bytes(random.Random(size).randbytes(size))
        reference = node.weft("publish", self.folder / "m")["reference"]
        return reference.removeprefix("weft:").partition("@")[0], file

    def download(self, node, repository, **more):
        environment = {
            **os.environ, "HF_ENDPOINT": node.endpoint, "HF_HOME": str(self.folder / "hf"), **more}
        command = [sys.executable, "-c", REFUSING, repository, "w.bin"]
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_what_the_client_refuses_whole_comes_in_chunks(self):
        alice = self.node("alice")
        repository, file = self.publish(alice)
        refused = self.download(alice, repository)
        self.assertIn("too large to be downloaded", refused.stderr)
        # From a node that does not have it either, so that it is fetched while it is read in chunks.
        bob = self.node("bob", [alice], chunks_above=9_000_000)
        got = self.download(bob, repository)
        self.assertEqual(got.returncode, 0, got.stderr + bob.log.read_text()[-3000:])
        self.assertTrue(pathlib.Path(got.stdout.strip()).read_bytes() == file.read_bytes(), "other bytes")
        self.assertGreaterEqual(bob.status()["downloaded_bytes"], SIZE)

    def test_the_client_and_the_node_share_one_copy(self):
        alice = self.node("alice")
        repository, file = self.publish(alice)
        cache = self.folder / "hf" / "hub"
        bob = self.node("bob", [alice], hf_cache=cache)
        whole = file.read_bytes()
        blobs = cache / f"models--{repository.replace('/', '--')}" / "blobs"

        def copies():
            """How many files of this size there are; names of one file count once."""
            roots = [bob.home, cache]
            found = [p.lstat() for root in roots for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
            return len({stat.st_ino for stat in found if stat.st_size == SIZE})

        # Fetched while the client reads it: the client's copy gives way to the node's.
        path = done(hf("download", repository, "w.bin", endpoint=bob.endpoint, home=self.folder / "hf"))
        self.assertEqual(len(list(blobs.iterdir())), 1)
        wait_for("one copy", 120, lambda: copies() == 1)
        # The newer `hf` puts it in words.
        path = pathlib.Path(path.splitlines()[-1].split()[-1])
        self.assertTrue(path.read_bytes() == whole, "other bytes")
        # Already here: the client finds it in its cache before it has asked for a byte.
        subprocess.run(["rm", "-rf", cache])
        done(hf("download", repository, "w.bin", endpoint=bob.endpoint, home=self.folder / "hf"))
        # A copy of its own would be here still.
        self.assertEqual(copies(), 1)
        self.assertTrue(path.read_bytes() == whole, "other bytes")
        # The publisher's own file is shared too, by a link, whatever its size.
        third = self.node("carol", [], hf_cache=self.folder / "carol" / "hub", chunks_above=9_000_000)
        own = self.folder / "own"
        own.mkdir()
        with open(own / "w.bin", "wb") as sparse:
            sparse.truncate(200_000_000)
        reference = third.weft("publish", own)["reference"].removeprefix("weft:").partition("@")[0]
        done(hf("download", reference, "w.bin", endpoint=third.endpoint, home=self.folder / "carol"))
        links = list((self.folder / "carol" / "hub").glob("*/snapshots/*/w.bin"))
        self.assertTrue(links and links[0].samefile(own / "w.bin"), links)

    @unittest.skipUnless(os.environ.get("CLIENTS_LONG"), "takes minutes: CLIENTS_LONG=1")
    def test_more_than_fifty_gigabytes(self):
        # Nothing is patched: one byte more than the client takes whole. It takes no space, and hashing takes a while.
        size = 50_000_000_001
        node = self.node("alice", hf_cache=self.folder / "hf" / "hub")
        (self.folder / "m").mkdir()
        file = self.folder / "m" / "w.bin"
        with open(file, "wb") as sparse:
            sparse.truncate(size)
            sparse.seek(size - 4)
            sparse.write(b"last")
        repository = node.weft("publish", self.folder / "m")["reference"].removeprefix("weft:").partition("@")[0]
        done(hf("download", repository, endpoint=node.endpoint, home=self.folder / "hf"))
        links = list((self.folder / "hf" / "hub").glob("*/snapshots/*/w.bin"))
        self.assertTrue(links and links[0].samefile(file), links)
        # And in chunks, as far as there is room for it: its end, through the same lists.
        commit = links[0].parent.name
        head = ask(f"{node.endpoint}/{repository}/resolve/{commit}/w.bin", "HEAD")[0]
        given = json.loads(ask(head["x-xet-refresh-route"])[1])
        listed = json.loads(ask(
            f"{given['casUrl']}/v2/reconstructions/{head['x-xet-hash']}",
            Authorization=f"Bearer {given['accessToken']}", Range=f"bytes={size - 10}-{size + 10}")[1])
        ((fetch,),) = listed["xorbs"].values()
        sent = fetch["ranges"][0]["bytes"]
        chunk = ask(fetch["url"], Range=f"bytes={sent['start']}-{sent['end']}")[1]
        self.assertEqual(chunk[8:][listed["offset_into_first_range"]:], bytes(6) + b"last")


def ask(url, method="GET", **headers):
    """The headers of an answer, and its body."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers)) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}, answer.read()
