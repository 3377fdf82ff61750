"""huggingface_hub's InferenceClient, pointed at the node."""

import os
import unittest

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from references import EMBEDDER, SENTENCES, cosine, reference

MODEL = os.environ["ASK_MODEL"]
QUESTION = [{"role": "user", "content": "Tell me a story."}]


class Inference(unittest.TestCase):
    def test_chat_and_stream(self):
        for base in (os.environ["ASK_URL"], os.environ["ASK_URL"] + "/v1"):
            client = InferenceClient(base_url=base, api_key="none")
            options = {"model": MODEL, "messages": QUESTION, "max_tokens": 16, "temperature": 0, "seed": 1}
            whole = client.chat_completion(**options)
            self.assertTrue(whole.choices[0].message.content)
            self.assertGreater(whole.usage.total_tokens, 0)
            parts = list(client.chat_completion(**options, stream=True))
            text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
            self.assertEqual(text, whole.choices[0].message.content)

    def test_stop_and_seed(self):
        client = InferenceClient(base_url=os.environ["ASK_URL"], api_key="none")
        ask = lambda **more: client.chat_completion(QUESTION, model=MODEL, max_tokens=16, **more).choices[0]
        whole = ask(temperature=0).message.content
        word = whole.split()[3]
        cut = ask(temperature=0, stop=[word])
        self.assertEqual(cut.message.content, whole[: whole.index(word)])
        self.assertEqual(cut.finish_reason, "stop")
        draw = lambda seed: ask(temperature=1, seed=seed).message.content
        self.assertEqual(draw(7), draw(7))
        self.assertGreater(len({draw(seed) for seed in range(4)}), 1)

    def test_feature_extraction(self):
        # The client posts to the very address that it was given, and nowhere says which model it wants.
        client = InferenceClient(base_url=f"{os.environ['ASK_URL']}/?model={MODEL}", api_key="none")
        many = client.feature_extraction(["a dog", "a cat"])
        self.assertEqual(many.shape[0], 2)
        one = client.feature_extraction("a dog", normalize=True)
        self.assertEqual(one.shape, (1, many.shape[1]))
        self.assertAlmostEqual(float((one[0] ** 2).sum()), 1.0, places=4)
        self.assertEqual(client.feature_extraction("a dog", dimensions=16).shape, (1, 16))
        for wrong in ({"normalize": False}, {"prompt_name": "query"}):
            with self.assertRaises(HfHubHTTPError) as caught:
                client.feature_extraction("a dog", **wrong)
            self.assertEqual(caught.exception.response.status_code, 400)
        with self.assertRaises(HfHubHTTPError) as caught:
            InferenceClient(base_url=os.environ["ASK_URL"] + "/?model=zz/zz").feature_extraction("a dog")
        self.assertEqual(caught.exception.response.status_code, 404)
        with self.assertRaises(HfHubHTTPError) as caught:
            client.text_generation("a dog", max_new_tokens=4)
        self.assertEqual(caught.exception.response.status_code, 400)

    @unittest.skipUnless(EMBEDDER, "all-MiniLM-L6-v2 is not here")
    def test_feature_extraction_of_an_encoder(self):
        client = InferenceClient(base_url=f"{os.environ['ASK_URL']}/?model={EMBEDDER}")
        for vector, sentence in zip(client.feature_extraction(SENTENCES), SENTENCES, strict=True):
            self.assertGreater(cosine(vector.tolist(), reference(sentence)), 0.99999)

    def test_errors(self):
        client = InferenceClient(base_url=os.environ["ASK_URL"], api_key="none")
        with self.assertRaises(HfHubHTTPError) as caught:
            client.chat_completion(QUESTION, model="zz/zz", max_tokens=4)
        self.assertEqual(caught.exception.response.status_code, 404)


if __name__ == "__main__":
    unittest.main()
