"""What another implementation says of the texts that the encoder is asked about."""

import json
import math
import os
import pathlib

EMBEDDER = os.environ["ASK_EMBEDDER"]
REFERENCES = {}
if EMBEDDER:
    file = pathlib.Path(os.environ["ASK_EMBEDDER_FOLDER"], "reference_embeddings.json")
    REFERENCES = {case["text"]: case["embedding"] for case in json.loads(file.read_text())["sentences"]}
# The last ones are longer than the model reads.
SENTENCES = list(REFERENCES)[:7]


def reference(text):
    return REFERENCES[text]


def cosine(one, other):
    product = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))
    return product(one, other) / math.sqrt(product(one, one) * product(other, other))
