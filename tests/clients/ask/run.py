"""Runs the checks of this folder: clients of OpenAI and Ollama against a node with a small model.

Usage: run.py [WORD...], with WEFT_BIN in the environment; words choose checks by name."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).parent
WREN = HERE.parent.parent / "data" / "wren-3m"
WEFT = os.environ["WEFT_BIN"]


def weft(*arguments):
    out = subprocess.run([WEFT, "--json", *arguments], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


def start(scratch):
    """Starts a node and waits until it says that it is ready."""
    os.environ["WEFT_HOME"] = str(scratch / "home")
    ready = scratch / "ready"
    log = open(scratch / "node.log", "wb")
    command = [WEFT, "serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--no-mdns", "-v",
               "--ready-file", str(ready)]
    node = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    while not ready.exists():
        if node.poll() is not None:
            sys.exit("the node ended: " + (scratch / "node.log").read_text())
        time.sleep(0.05)
    return node, json.loads(ready.read_text())


def publish(scratch):
    """The model as safetensors and in two quantizations."""
    folder = scratch / "wren"
    shutil.copytree(WREN, folder, ignore=shutil.ignore_patterns("*_outputs.json", "*_scores.json", "*_check.json"))
    published = weft("publish", str(folder), "--name", "wren")
    weft("alias", "alice", published["publisher"])
    os.environ["ASK_LONG_NAME"] = published["publisher"] + "/wren"


def publish_encoder():
    """A sentence encoder, if the folder of shared models is here; it is too large for the repository."""
    shared = pathlib.Path(os.environ.get("WEFT_SHARED_MODELS") or HERE.parents[3] / "shared" / "models")
    folder = shared / "all-MiniLM-L6-v2"
    os.environ.update(ASK_EMBEDDER="", ASK_EMBEDDER_FOLDER=str(folder))
    if folder.is_dir():
        weft("publish", str(folder), "--name", "minilm")
        os.environ["ASK_EMBEDDER"] = "alice/minilm"
        return
    line = "*** SKIPPED: clients were NOT tried with a sentence encoder: WEFT_SHARED_MODELS names no folder with one ***"
    print(line, file=sys.stderr)
    if os.environ.get("WEFT_SKIPPED"):
        with open(os.environ["WEFT_SKIPPED"], "a") as skipped:
            skipped.write(line + "\n")


def main():
    with tempfile.TemporaryDirectory(prefix="weft-ask-") as name:
        scratch = pathlib.Path(name)
        node, ready = start(scratch)
        try:
            publish(scratch)
            publish_encoder()
            url = ready["gateway"]
            # What a user sets, and nothing else. The key is somebody else's and looked at by nobody.
            os.environ.update(
                OPENAI_BASE_URL=url + "/v1",
                OPENAI_API_KEY="sk-none",
                OLLAMA_HOST=url,
                ASK_URL=url,
                ASK_MODEL="alice/wren",
                ASK_QUANTIZED="alice/wren:Q8_0",
                HF_HOME=str(scratch / "hf"),
                HF_HUB_DISABLE_TELEMETRY="1",
            )
            for variable in ("HF_TOKEN", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                os.environ.pop(variable, None)
            from importlib.metadata import version

            names = ("openai", "langchain-openai", "ollama", "langchain-ollama", "huggingface_hub")
            print(", ".join(f"{name} {version(name)}" for name in names), flush=True)
            loader = unittest.TestLoader()
            loader.testNamePatterns = [f"*{word}*" for word in sys.argv[1:]] or None
            suite = loader.discover(str(HERE))
            result = unittest.TextTestRunner(verbosity=1).run(suite)
            if not result.wasSuccessful():
                print("--- the node's log ends so:")
                print((scratch / "node.log").read_text()[-4000:])
                sys.exit(1)
        finally:
            node.terminate()
            node.wait()


if __name__ == "__main__":
    main()
