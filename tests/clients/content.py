"""The files of the published repositories: small, but with everything that clients trip over."""

import json
import random
import struct

LARGE = 12 * 1024 * 1024 + 345


def safetensors():
    header = {"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(range(24))


def tokenizer():
    vocabulary = {"[UNK]": 0, "warp": 1, "weft": 2}
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }).encode()


def model(width):
    """One revision of the model; they differ in `config.json` alone."""
    config = {
        "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 8, "vocab_size": width,
    }
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    return {
        "README.md": b"---\nlicense: apache-2.0\ntags: [loom]\nlanguage: en\n---\n# A model\n",
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": json.dumps(names).encode(),
        "model.safetensors": safetensors(),
        "weights/large.bin": random.Random(7).randbytes(LARGE),
        "nothing.txt": b"",
        "sub/folder/of/folders/leaf.txt": b"leaf\n",
        "naïve 名 #1 & 100%25.txt": "größer\n".encode(),
    }


def dataset():
    rows = "".join(f'{{"id": {i}, "text": "row {i}"}}\n' for i in range(3000))
    return {
        "README.md": b"---\nlicense: cc0-1.0\n---\n# Rows\n",
        "data/train.jsonl": rows.encode(),
        "data/test.jsonl": b'{"id": 0, "text": "only"}\n',
    }


def write(files, folder):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
