"""huggingface_hub's InferenceClient, pointed at the node."""

import os
import unittest

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

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

    def test_errors(self):
        client = InferenceClient(base_url=os.environ["ASK_URL"], api_key="none")
        with self.assertRaises(HfHubHTTPError) as caught:
            client.chat_completion(QUESTION, model="zz/zz", max_tokens=4)
        self.assertEqual(caught.exception.response.status_code, 404)


if __name__ == "__main__":
    unittest.main()
