"""A client, and the node behind it, are killed in the middle of a download: what had come is not fetched again."""

import os
import pathlib
import random
import tempfile
import unittest

from nodes import Node, done, hf, wait_for

MIB = 1024 * 1024
SIZE = 24 * MIB
# A piece for each open stream of a provider; pieces of such files have 256 KiB.
AGAIN = 2 * MIB
# `make clients LONG=1` takes fifty.
ROUNDS = int(os.environ.get("CLIENTS_ROUNDS") or 4)


class Killed(unittest.TestCase):
    def test_what_had_come_is_not_fetched_again(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"])
        self.addCleanup(folder.cleanup)
        folder = pathlib.Path(folder.name)
        draw = random.Random(4)
        # Slow enough to be caught in the middle.
        alice = Node(folder, "alice", options=["--limit-up", "30MB"]).start()
        self.addCleanup(alice.stop)
        bob = Node(folder, "bob", [alice]).start()
        self.addCleanup(bob.stop)

        def publish(number):
            """A repository for each kill, because pieces are the larger, the more there is to fetch."""
            model = folder / f"m{number}"
            model.mkdir()
            (model / "w.bin").write_bytes(draw.randbytes(SIZE))
            reference = alice.weft("publish", model)["reference"]
            return reference.removeprefix("weft:").partition("@")[0], model / "w.bin"

        def download(repository):
            return hf("download", repository, "w.bin", endpoint=bob.endpoint, home=folder / "hf")

        def came():
            return bob.status()["downloaded_bytes"]

        again = []
        for number in range(ROUNDS):
            repository, file = publish(number)
            before, point = came(), draw.randrange(SIZE // 20, SIZE * 19 // 20)
            client = download(repository)
            wait_for(f"{point} bytes in round {number}", 120, lambda: came() - before >= point)
            client.kill()
            client.communicate()
            if number % 2 == 1:
                # It counts anew from its start.
                before -= came()
                bob.kill()
                bob.start()
            done(download(repository))
            name = repository.replace("/", "--")
            found = list((folder / "hf").glob(f"hub/models--{name}/snapshots/*/w.bin"))
            self.assertEqual(len(found), 1)
            self.assertTrue(found[0].read_bytes() == file.read_bytes(), "other bytes")
            again.append(came() - before - SIZE)
            self.assertLessEqual(again[-1], AGAIN, f"round {number}, killed at {point}")
        print(f"killed {ROUNDS} times: {max(again)} bytes at most and {sum(again)} in all were fetched again", flush=True)
