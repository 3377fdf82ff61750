"""The OpenAI client, and LangChain on top of it."""

import os
import struct
import unittest

import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from references import EMBEDDER, SENTENCES, cosine, reference

MODEL = os.environ["ASK_MODEL"]
LONG_NAME = os.environ["ASK_LONG_NAME"]
QUANTIZED = os.environ["ASK_QUANTIZED"]
QUESTION = [{"role": "user", "content": "Tell me a story."}]


class OpenAI(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(max_retries=0)

    def chat(self, **more):
        options = {"model": MODEL, "messages": QUESTION, "max_tokens": 24, "temperature": 0}
        return self.client.chat.completions.create(**(options | more))

    def test_models(self):
        ids = [model.id for model in self.client.models.list()]
        self.assertIn(MODEL, ids)
        self.assertIn(QUANTIZED, ids)
        for name in (MODEL, QUANTIZED, LONG_NAME, MODEL + ":latest", QUANTIZED.lower()):
            self.assertEqual(self.client.models.retrieve(name).id, name)
        self.assertIn(LONG_NAME, ids)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve(MODEL + ":Q2_K")

    def test_chat(self):
        answer = self.chat()
        self.assertTrue(answer.choices[0].message.content)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertGreater(usage.prompt_tokens, 5)
        self.assertLessEqual(usage.completion_tokens, 24)

    def test_stream_is_the_same_text_and_ends_with_usage(self):
        whole = self.chat()
        parts = list(self.chat(stream=True, stream_options={"include_usage": True}))
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(parts[-1].choices, [])
        self.assertEqual(parts[-1].usage.completion_tokens, whole.usage.completion_tokens)
        reasons = [part.choices[0].finish_reason for part in parts if part.choices]
        self.assertEqual([reason for reason in reasons if reason], [whole.choices[0].finish_reason])
        self.assertEqual(parts[0].choices[0].delta.role, "assistant")

    def test_seed(self):
        draw = lambda seed: self.chat(temperature=1, seed=seed).choices[0].message.content
        self.assertEqual(draw(7), draw(7))
        self.assertGreater(len({draw(seed) for seed in range(4)}), 1)

    def test_stop(self):
        whole = self.chat().choices[0].message.content
        word = whole.split()[3]
        cut = self.chat(stop=[word]).choices[0]
        self.assertEqual(cut.message.content, whole[: whole.index(word)])
        self.assertEqual(cut.finish_reason, "stop")

    def test_several_answers_and_logprobs(self):
        answer = self.chat(n=3, temperature=1, seed=1, logprobs=True, top_logprobs=4, max_tokens=5)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        for choice in answer.choices:
            tokens = choice.logprobs.content
            self.assertEqual(bytes(b for token in tokens for b in token.bytes).decode(errors="replace"),
                             "".join(token.token for token in tokens))
            self.assertTrue(all(token.logprob <= 0 and len(token.top_logprobs) == 4 for token in tokens))

    def test_logit_bias(self):
        token = self.chat(logprobs=True, max_tokens=1).choices[0].logprobs.content[0].token
        # The likeliest token is found by its text; a bias forbids its neighbours in the vocabulary too.
        bias = {str(token_id): -100 for token_id in range(3, 1000)}
        other = self.chat(logprobs=True, max_tokens=1, logit_bias=bias).choices[0].logprobs.content[0].token
        self.assertNotEqual(token, other)

    def test_json_mode(self):
        import json

        answer = self.chat(response_format={"type": "json_object"}, max_tokens=200).choices[0]
        if answer.finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.message.content), dict)
        self.assertTrue(answer.message.content.lstrip().startswith("{"))

    def test_completions(self):
        answer = self.client.completions.create(model=MODEL, prompt="Once upon a time", temperature=0, max_tokens=16)
        self.assertTrue(answer.choices[0].text.startswith(", there was a"), answer.choices[0].text)
        parts = list(self.client.completions.create(
            model=MODEL, prompt="Once upon a time", temperature=0, max_tokens=16, stream=True))
        self.assertEqual("".join(part.choices[0].text for part in parts), answer.choices[0].text)

    def test_embeddings(self):
        # The client asks for base64 by itself and undoes it.
        by_base64 = self.client.embeddings.create(model=MODEL, input=["a dog", "a cat"])
        by_float = self.client.embeddings.create(model=MODEL, input=["a dog", "a cat"], encoding_format="float")
        self.assertEqual(len(by_base64.data), 2)
        for one, other in zip(by_base64.data, by_float.data):
            self.assertEqual(struct.pack(f"{len(one.embedding)}f", *one.embedding),
                             struct.pack(f"{len(other.embedding)}f", *other.embedding))

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat(model="zz/zz")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(messages=[{"role": "user", "content": "word " * 5_000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        for wrong in ({"temperature": 9}, {"n": 0}, {"messages": []}, {"stop": 5},
                      {"response_format": {"type": "yaml"}},
                      {"tools": [{"type": "function", "function": {"name": "x"}}]},
                      {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}):
            with self.subTest(wrong), self.assertRaises(openai.BadRequestError) as caught:
                self.chat(**wrong)
            self.assertEqual(caught.exception.type, "invalid_request_error")

    def test_langchain(self):
        chat = ChatOpenAI(model=MODEL, temperature=0, max_tokens=16)
        answer = chat.invoke("Tell me a story.")
        self.assertTrue(answer.content)
        self.assertGreater(answer.usage_metadata["total_tokens"], 0)
        streamed = "".join(part.content for part in chat.stream("Tell me a story."))
        self.assertEqual(streamed, answer.content)
        # Otherwise it fetches a tokenizer of OpenAI's.
        embeddings = OpenAIEmbeddings(model=MODEL, check_embedding_ctx_length=False)
        self.assertEqual(len(embeddings.embed_documents(["a", "b"])), 2)

    def test_langchain_stop_and_seed(self):
        chat = ChatOpenAI(model=MODEL, temperature=0, max_tokens=16)
        whole = chat.invoke("Tell me a story.").content
        word = whole.split()[3]
        cut = chat.invoke("Tell me a story.", stop=[word])
        self.assertEqual(cut.content, whole[: whole.index(word)])
        self.assertEqual(cut.response_metadata["finish_reason"], "stop")
        parts = list(chat.stream("Tell me a story.", stop=[word]))
        self.assertEqual("".join(part.content for part in parts), cut.content)
        draw = lambda seed: ChatOpenAI(model=MODEL, temperature=1, seed=seed, max_tokens=16).invoke("Tell me a story.").content
        self.assertEqual(draw(7), draw(7))
        self.assertGreater(len({draw(seed) for seed in range(4)}), 1)

    def test_langchain_usage_in_streams(self):
        chat = ChatOpenAI(model=MODEL, temperature=0, max_tokens=16, stream_usage=True)
        usages = [part.usage_metadata for part in chat.stream("Tell me a story.") if part.usage_metadata]
        whole = chat.invoke("Tell me a story.").usage_metadata
        self.assertEqual(sum(usage["output_tokens"] for usage in usages), whole["output_tokens"])

    def test_langchain_errors(self):
        options = {"temperature": 0, "max_tokens": 16, "max_retries": 0}
        with self.assertRaises(openai.NotFoundError) as caught:
            ChatOpenAI(model="zz/zz", **options).invoke("Hi")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.NotFoundError):
            list(ChatOpenAI(model="zz/zz", **options).stream("Hi"))
        # The client's own class for this one is below langchain's.
        with self.assertRaises(openai.BadRequestError) as caught:
            ChatOpenAI(model=MODEL, **options).invoke("word " * 5_000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError):
            ChatOpenAI(model=MODEL, **(options | {"temperature": 9})).invoke("Hi")
        with self.assertRaises(openai.NotFoundError):
            OpenAIEmbeddings(model="zz/zz", check_embedding_ctx_length=False, max_retries=0).embed_query("a")


@unittest.skipUnless(EMBEDDER, "all-MiniLM-L6-v2 is not here")
class Encoder(unittest.TestCase):
    def test_embeddings(self):
        client = openai.OpenAI(max_retries=0)
        made = client.embeddings.create(model=EMBEDDER, input=SENTENCES)
        self.assertEqual([one.index for one in made.data], list(range(len(SENTENCES))))
        for one, sentence in zip(made.data, SENTENCES):
            self.assertEqual(len(one.embedding), 384)
            self.assertGreater(cosine(one.embedding, reference(sentence)), 0.99999)
        short = client.embeddings.create(model=EMBEDDER, input=SENTENCES[0], dimensions=64).data[0].embedding
        self.assertEqual(len(short), 64)
        by_langchain = OpenAIEmbeddings(model=EMBEDDER, check_embedding_ctx_length=False)
        self.assertGreater(cosine(by_langchain.embed_query(SENTENCES[0]), reference(SENTENCES[0])), 0.99999)

    def test_an_encoder_says_that_it_does_not_chat(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            openai.OpenAI(max_retries=0).chat.completions.create(
                model=EMBEDDER, messages=QUESTION, max_tokens=4)
        self.assertEqual(caught.exception.code, "unsupported")


if __name__ == "__main__":
    unittest.main()
