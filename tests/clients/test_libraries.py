"""Libraries on top of the hub's client, where they are installed."""

import importlib.util
import unittest


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
