"""What clients upload is published, and only for who holds this node's token."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError


def run(command, env):
    """Runs a program, and says what it said if it fails."""
    ended = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode != 0:
        raise AssertionError(f"{command} ended with {ended.returncode}: {ended.stdout}")


class Upload(unittest.TestCase):
    def setUp(self):
        self.api = HfApi(token=os.environ["CLIENTS_TOKEN"])
        self.repo = f"alice/{self._testMethodName[5:40].strip('_')}"
        self.api.create_repo(self.repo)
        self.addCleanup(self.api.delete_repo, self.repo)

    def read(self, name, **more):
        with tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"]) as cache:
            return pathlib.Path(self.api.hf_hub_download(self.repo, name, cache_dir=cache, **more)).read_bytes()

    def test_small_and_large_files_come_back(self):
        small, large = b"small", os.urandom(11_000_000)
        for name, data in (("a/small.txt", small), ("large.bin", large)):
            self.api.upload_file(path_or_fileobj=data, path_in_repo=name, repo_id=self.repo)
            self.assertEqual(self.read(name), data)
        self.api.delete_file("a/small.txt", self.repo)
        self.assertEqual([f for f in self.api.list_repo_files(self.repo) if f != ".gitattributes"], ["large.bin"])

    def test_large_files_go_the_plain_way_too(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"])
        self.addCleanup(folder.cleanup)
        data = os.urandom(11_000_000)
        pathlib.Path(folder.name, "w.bin").write_bytes(data)
        env = dict(os.environ, HF_HUB_DISABLE_XET="1", HF_TOKEN=os.environ["CLIENTS_TOKEN"])
        program = pathlib.Path(sys.executable).with_name("hf")
        for _ in range(2):
            run([program, "upload", self.repo, folder.name, "."], env)
        self.assertEqual(self.read("w.bin"), data)

    def test_large_files_go_in_chunks_where_the_client_wants_it(self):
        # Without the switch: newer versions send chunks, older ones what they did before.
        folder = tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"])
        self.addCleanup(folder.cleanup)
        noise = os.urandom(8_000_000)
        numbers = b"".join(i.to_bytes(4, "little") for i in range(1_500_000))
        text = b"".join(b"line %d of a text\n" % i for i in range(200_000))
        env = dict(os.environ, HF_TOKEN=os.environ["CLIENTS_TOKEN"], HF_HOME=folder.name + "-home")
        env.pop("HF_HUB_DISABLE_XET", None)
        program = pathlib.Path(sys.executable).with_name("hf")
        # The second shares chunks with the first, which are not sent again.
        for data in (noise + numbers + text, noise + text + numbers + b"more"):
            pathlib.Path(folder.name, "w.bin").write_bytes(data)
            run([program, "upload", self.repo, folder.name, "."], env)
            self.assertEqual(self.read("w.bin"), data)

    def test_a_commit_changes_several_files_at_once(self):
        add = [CommitOperationAdd(f"f{i}.txt", str(i).encode()) for i in range(20)]
        first = self.api.create_commit(self.repo, operations=add, commit_message="twenty").oid
        change = [CommitOperationDelete("f0.txt"), CommitOperationAdd("f1.txt", b"new")]
        self.api.create_commit(self.repo, operations=change, commit_message="two", parent_commit=first)
        self.assertEqual(self.read("f1.txt"), b"new")
        self.assertEqual(self.read("f1.txt", revision=first), b"1")
        with self.assertRaises(HfHubHTTPError) as caught:
            self.api.create_commit(
                self.repo, operations=[CommitOperationAdd("x", b"x")], commit_message="late", parent_commit=first
            )
        self.assertEqual(caught.exception.response.status_code, 412)

    def test_branches_and_tags_come_and_go(self):
        self.api.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=self.repo)
        self.api.create_branch(self.repo, branch="next")
        self.api.upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id=self.repo, revision="next")
        self.api.create_tag(self.repo, tag="v2", revision="next")
        self.assertEqual((self.read("a"), self.read("a", revision="v2")), (b"1", b"2"))
        self.api.delete_branch(self.repo, branch="next")
        self.assertEqual(self.read("a", revision="v2"), b"2")
        self.api.delete_tag(self.repo, tag="v2")
        self.assertFalse(self.api.revision_exists(self.repo, "v2"))

    def test_strangers_cannot_write(self):
        self.assertEqual(self.api.whoami()["name"], "alice")
        for token in (False, "hf_" + "y" * 34):
            with self.assertRaises(HfHubHTTPError) as caught:
                HfApi(token=token).create_branch(self.repo, branch="theirs")
            self.assertEqual(caught.exception.response.status_code, 401)
        with self.assertRaises(HfHubHTTPError):
            self.api.create_repo("alice/hidden", private=True)
