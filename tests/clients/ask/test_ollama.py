"""The Ollama client, and LangChain on top of it."""

import os
import unittest
import urllib.request

import ollama
from langchain_ollama import ChatOllama, OllamaEmbeddings

from references import EMBEDDER, SENTENCES, cosine, reference

MODEL = os.environ["ASK_MODEL"]
LONG_NAME = os.environ["ASK_LONG_NAME"]
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
        self.assertEqual(names[QUANTIZED].details.family, "llama")
        self.assertIn(LONG_NAME + ":latest", names)
        self.assertEqual(ollama.show(LONG_NAME).details.family, "llama")
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
        parts = list(ollama.pull(QUANTIZED, stream=True))
        self.assertEqual(parts[-1].status, "success")
        listed = {model.model: model.digest for model in ollama.list().models}
        [whole] = [part for part in parts if part.digest]
        self.assertEqual(whole.digest, "sha256:" + listed[QUANTIZED])
        self.assertEqual(whole.completed, whole.total)

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

    def test_langchain_stop_seed_and_usage(self):
        chat = ChatOllama(model=MODEL, temperature=0, num_predict=16)
        answer = chat.invoke("Tell me a story.")
        usage = answer.usage_metadata
        self.assertGreater(usage["input_tokens"], 5)
        self.assertLessEqual(usage["output_tokens"], 16)
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
        streamed = [part.usage_metadata for part in chat.stream("Tell me a story.") if part.usage_metadata]
        self.assertEqual([one["output_tokens"] for one in streamed], [usage["output_tokens"]])
        word = answer.content.split()[3]
        cut = chat.invoke("Tell me a story.", stop=[word])
        self.assertEqual(cut.content, answer.content[: answer.content.index(word)])
        self.assertEqual(cut.response_metadata["done_reason"], "stop")
        draw = lambda seed: ChatOllama(model=MODEL, temperature=1, seed=seed, num_predict=16).invoke("Tell me a story.").content
        self.assertEqual(draw(7), draw(7))
        self.assertGreater(len({draw(seed) for seed in range(4)}), 1)

    def test_langchain_errors(self):
        for call in (lambda: ChatOllama(model="zz/zz").invoke("Hi"), lambda: list(ChatOllama(model="zz/zz").stream("Hi")),
                     lambda: OllamaEmbeddings(model="zz/zz").embed_query("a")):
            with self.assertRaises(ollama.ResponseError) as caught:
                call()
            self.assertEqual(caught.exception.status_code, 404)
        with self.assertRaises(ollama.ResponseError) as caught:
            ChatOllama(model=MODEL).invoke("word " * 5_000)
        self.assertEqual(caught.exception.status_code, 400)


@unittest.skipUnless(EMBEDDER, "all-MiniLM-L6-v2 is not here")
class Encoder(unittest.TestCase):
    def test_embed(self):
        made = ollama.embed(EMBEDDER, input=SENTENCES)
        for vector, sentence in zip(made.embeddings, SENTENCES, strict=True):
            self.assertGreater(cosine(vector, reference(sentence)), 0.99999)
        self.assertEqual(ollama.show(EMBEDDER).capabilities, ["embedding"])
        by_langchain = OllamaEmbeddings(model=EMBEDDER).embed_query(SENTENCES[0])
        self.assertGreater(cosine(by_langchain, reference(SENTENCES[0])), 0.99999)


if __name__ == "__main__":
    unittest.main()
