"""Libraries on top of the hub's client, where they are installed."""

import importlib.util
import os
import pathlib
import subprocess
import tempfile
import unittest

import content


def needs(name):
    return unittest.skipUnless(importlib.util.find_spec(name), f"{name} is not installed")


class Libraries(unittest.TestCase):
    @needs("tokenizers")
    def test_tokenizers(self):
        from tokenizers import Tokenizer

        self.assertEqual(Tokenizer.from_pretrained("alice/model").encode("warp weft").ids, [1, 2])

    @needs("transformers")
    def test_transformers(self):
        from transformers import AutoConfig, AutoTokenizer

        self.assertEqual(AutoConfig.from_pretrained("alice/model").vocab_size, 11)
        self.assertEqual(AutoConfig.from_pretrained("alice/model", revision="v1").vocab_size, 10)
        self.assertEqual(AutoTokenizer.from_pretrained("alice/model")("weft")["input_ids"], [2])

    @needs("datasets")
    def test_datasets_stream(self):
        from datasets import load_dataset

        rows = load_dataset("alice/rows", streaming=True)
        self.assertEqual(next(iter(rows["train"]))["text"], "row 0")
        self.assertEqual(sum(1 for _ in rows["train"]), 3000)
        self.assertEqual([row["text"] for row in rows["test"]], ["only"])

    @unittest.skipUnless(os.environ.get("CLIENTS_RUST"), "not built")
    def test_clients_in_rust(self):
        with tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"]) as folder:
            files = content.write(content.model(11), pathlib.Path(folder, "files"))
            environment = dict(os.environ, HF_HOME=str(pathlib.Path(folder, "hf")))
            command = [os.environ["CLIENTS_RUST"], "alice/model", str(files)]
            said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(said.returncode, 0, said.stdout)
            self.assertIn("hf-hub 0.5.0: well", said.stdout)
            if os.environ.get("CLIENTS_LONG"):
                self.assertIn("hf-hub 1.0.0: well", said.stdout)
