"""The Ollama client, and LangChain on top of it."""

import os
import unittest
import urllib.request

import ollama
from langchain_ollama import ChatOllama, OllamaEmbeddings

MODEL = os.environ["ASK_MODEL"]
QUANTIZED = os.environ["ASK_QUANTIZED"]
QUESTION = [{"role": "user", "content": "Tell me a story."}]
FIXED = {"temperature": 0, "num_predict": 16}


class Ollama(unittest.TestCase):
    def test_heartbeat(self):
        for method in ("HEAD", "GET"):
            request = urllib.request.Request(os.environ["OLLAMA_HOST"] + "/", method=method)
            with urllib.request.urlopen(request) as reply:
                self.assertEqual(reply.status, 200)

    def test_list_and_show(self):
        names = {model.model: model for model in ollama.list().models}
        self.assertIn(MODEL + ":latest", names)
        self.assertEqual(names[QUANTIZED].details.quantization_level, "Q8_0")
        self.assertEqual(len(names[QUANTIZED].digest), 64)
        shown = ollama.show(MODEL)
        self.assertEqual(shown.modelinfo["general.architecture"], "llama")
        self.assertIn("completion", shown.capabilities)
        self.assertIn("im_start", shown.template)

    def test_chat_and_stream(self):
        whole = ollama.chat(MODEL, messages=QUESTION, options=FIXED)
        self.assertTrue(whole.message.content)
        self.assertTrue(whole.done)
        self.assertGreater(whole.eval_count, 0)
        self.assertGreater(whole.prompt_eval_count, 0)
        parts = list(ollama.chat(MODEL + ":latest", messages=QUESTION, options=FIXED, stream=True))
        self.assertEqual("".join(part.message.content for part in parts), whole.message.content)
        self.assertTrue(parts[-1].done and not parts[0].done)
        self.assertEqual(parts[-1].done_reason, whole.done_reason)

    def test_generate(self):
        answer = ollama.generate(MODEL, prompt="Once upon a time", raw=True, options=FIXED)
        self.assertTrue(answer.response.startswith(", there was a"), answer.response)
        parts = list(ollama.generate(MODEL, prompt="Once upon a time", raw=True, options=FIXED, stream=True))
        self.assertEqual("".join(part.response for part in parts), answer.response)

    def test_seed_and_stop(self):
        draw = lambda seed: ollama.chat(MODEL, messages=QUESTION, options={"seed": seed, "num_predict": 16}).message.content
        self.assertEqual(draw(3), draw(3))
        whole = ollama.chat(MODEL, messages=QUESTION, options=FIXED).message.content
        word = whole.split()[3]
        cut = ollama.chat(MODEL, messages=QUESTION, options=FIXED | {"stop": [word]})
        self.assertEqual(cut.message.content, whole[: whole.index(word)])

    def test_load_ps_and_unload(self):
        loaded = ollama.generate(MODEL, prompt="", keep_alive="1h")
        self.assertEqual(loaded.done_reason, "load")
        self.assertIn(MODEL + ":latest", [model.model for model in ollama.ps().models])
        gone = ollama.generate(MODEL, prompt="", keep_alive=0)
        self.assertEqual(gone.done_reason, "unload")
        self.assertNotIn(MODEL + ":latest", [model.model for model in ollama.ps().models])

    def test_json_format(self):
        answer = ollama.chat(MODEL, messages=QUESTION, format="json", options={"temperature": 0, "num_predict": 64})
        self.assertTrue(answer.message.content.lstrip().startswith("{"))

    def test_embed(self):
        many = ollama.embed(MODEL, input=["a dog", "a cat"])
        self.assertEqual(len(many.embeddings), 2)
        one = ollama.embeddings(MODEL, prompt="a dog")
        self.assertEqual(list(one.embedding), list(many.embeddings[0]))

    def test_pull(self):
        self.assertEqual(ollama.pull(MODEL).status, "success")
        self.assertEqual([part.status for part in ollama.pull(QUANTIZED, stream=True)][-1], "success")

    def test_errors(self):
        for call in (lambda: ollama.chat("zz/zz", messages=QUESTION), lambda: ollama.show("zz/zz"),
                     lambda: ollama.generate("zz/zz", prompt="x"), lambda: ollama.pull("zz/zz"),
                     lambda: list(ollama.chat("zz/zz", messages=QUESTION, stream=True))):
            with self.assertRaises(ollama.ResponseError) as caught:
                call()
            self.assertEqual(caught.exception.status_code, 404)
            self.assertIn("not found", caught.exception.error)
        with self.assertRaises(ollama.ResponseError) as caught:
            ollama.chat(MODEL, messages=QUESTION, tools=[{"type": "function", "function": {"name": "x"}}])
        self.assertEqual(caught.exception.status_code, 400)

    def test_langchain(self):
        chat = ChatOllama(model=MODEL, temperature=0, num_predict=16)
        answer = chat.invoke("Tell me a story.")
        self.assertTrue(answer.content)
        self.assertEqual("".join(part.content for part in chat.stream("Tell me a story.")), answer.content)
        self.assertEqual(len(OllamaEmbeddings(model=MODEL).embed_documents(["a", "b"])), 2)


if __name__ == "__main__":
    unittest.main()
