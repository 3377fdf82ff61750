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
        (folder / "m").mkdir()
        draw = random.Random(4)
        for number in range(ROUNDS):
            (folder / "m" / f"{number}.bin").write_bytes(draw.randbytes(SIZE))
        # Slow enough to be caught in the middle.
        alice = Node(folder, "alice", options=["--limit-up", "30MB"]).start()
        self.addCleanup(alice.stop)
        repository = alice.weft("publish", folder / "m")["reference"].removeprefix("weft:").partition("@")[0]
        bob = Node(folder, "bob", [alice]).start()
        self.addCleanup(bob.stop)

        def download(number):
            return hf("download", repository, f"{number}.bin", endpoint=bob.endpoint, home=folder / "hf")

        def sent():
            return alice.status()["uploaded_bytes"]

        again = []
        for number in range(ROUNDS):
            before, point = sent(), draw.randrange(SIZE // 20, SIZE * 19 // 20)
            client = download(number)
            wait_for(f"{point} bytes in round {number}", 120, lambda: sent() - before >= point)
            client.kill()
            client.communicate()
            if number % 2 == 1:
                bob.kill()
                bob.start()
            done(download(number))
            found = list((folder / "hf").glob(f"hub/*/snapshots/*/{number}.bin"))
            self.assertEqual(len(found), 1)
            same = found[0].read_bytes() == (folder / "m" / f"{number}.bin").read_bytes()
            self.assertTrue(same, "other bytes")
            again.append(sent() - before - SIZE)
            self.assertLessEqual(again[-1], AGAIN, f"round {number}, killed at {point}")
        print(f"killed {ROUNDS} times: {max(again)} bytes at most and {sum(again)} in all were fetched again", flush=True)
