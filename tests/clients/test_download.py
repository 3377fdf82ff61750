"""Files come out as they went in, under the names and with the hashes that the clients' cache wants."""

import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import content
from huggingface_hub import HfApi, hf_hub_download, snapshot_download


class Download(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"])
        self.addCleanup(folder.cleanup)
        self.cache = folder.name

    def file(self, name, **more):
        return pathlib.Path(hf_hub_download("alice/model", name, cache_dir=self.cache, **more)).read_bytes()

    def test_every_file_of_a_snapshot_is_the_same_byte_for_byte(self):
        folder = pathlib.Path(snapshot_download("alice/model", cache_dir=self.cache))
        found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        self.assertEqual(found, content.model(11))

    def test_tags_branches_and_commits_name_the_revision_they_should(self):
        old = content.model(10)["config.json"]
        commit = HfApi().model_info("alice/model", revision="v1").sha
        self.assertRegex(commit, "^[0-9a-f]{40}$")
        for revision in ("v1", "side/line", commit, commit[:10], "refs/tags/v1"):
            self.assertEqual(self.file("config.json", revision=revision), old, revision)
        self.assertEqual(self.file("config.json"), content.model(11)["config.json"])

    def test_blobs_in_the_cache_have_their_true_hashes_as_names(self):
        def blob(name):
            return os.path.basename(os.path.realpath(hf_hub_download("alice/model", name, cache_dir=self.cache)))

        files = content.model(11)
        self.assertEqual(blob("weights/large.bin"), hashlib.sha256(files["weights/large.bin"]).hexdigest())
        small = files["README.md"]
        self.assertEqual(blob("README.md"), hashlib.sha1(b"blob %d\0" % len(small) + small).hexdigest())

    def test_patterns_choose_files(self):
        folder = snapshot_download(
            "alice/model", cache_dir=self.cache, allow_patterns=["*.json", "sub/**"], ignore_patterns="tokenizer*"
        )
        found = sorted(p.name for p in pathlib.Path(folder).rglob("*") if p.is_file())
        self.assertEqual(found, ["config.json", "leaf.txt"])

    def test_a_dataset_is_found_among_datasets(self):
        path = hf_hub_download("alice/rows", "data/test.jsonl", repo_type="dataset", cache_dir=self.cache)
        self.assertEqual(pathlib.Path(path).read_bytes(), content.dataset()["data/test.jsonl"])

    def test_the_command_line_program_downloads_and_works_offline_afterwards(self):
        program = pathlib.Path(sys.executable).with_name("hf")
        env = dict(os.environ, HF_HOME=self.cache)
        subprocess.run([program, "download", "alice/model"], check=True, env=env, stdout=subprocess.DEVNULL)
        code = "from huggingface_hub import snapshot_download as s; s('alice/model')"
        subprocess.run([sys.executable, "-c", code], check=True, env=dict(env, HF_HUB_OFFLINE="1"))
        target = pathlib.Path(self.cache, "plain")
        command = [program, "download", "alice/model", "config.json", "--local-dir", target]
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
        self.assertEqual((target / "config.json").read_bytes(), content.model(11)["config.json"])

    def test_an_interrupted_download_goes_on_where_it_stopped(self):
        from huggingface_hub import file_download

        whole = content.model(11)["weights/large.bin"]
        url = file_download.hf_hub_url("alice/model", "weights/large.bin")
        with tempfile.TemporaryFile(dir=self.cache) as file:
            half = len(whole) // 2
            file.write(whole[:half])
            file_download.http_get(url, file, resume_size=half, headers={}, expected_size=len(whole))
            file.seek(0)
            self.assertEqual(file.read(), whole)
