"""Runs the checks of this folder against nodes of their own. Usage: run.py [WORD..], with WEFT_BIN in the environment."""

import os
import pathlib
import sys
import tempfile
import unittest

import content
from nodes import Node

HERE = pathlib.Path(__file__).parent


def publish(scratch):
    """Two revisions of a model and one of a dataset, all through the client's own upload."""
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ["CLIENTS_TOKEN"])
    first = content.write(content.model(10), scratch / "first")
    second = content.write(content.model(11), scratch / "second")
    rows = content.write(content.dataset(), scratch / "rows")
    api.create_repo("alice/model")
    api.upload_folder(repo_id="alice/model", folder_path=first, commit_message="first")
    api.create_tag("alice/model", tag="v1")
    api.create_branch("alice/model", branch="side/line")
    api.upload_folder(repo_id="alice/model", folder_path=second, commit_message="second")
    api.create_repo("alice/rows", repo_type="dataset")
    api.upload_folder(repo_id="alice/rows", folder_path=rows, repo_type="dataset", commit_message="rows")


def main():
    with tempfile.TemporaryDirectory(prefix="weft-clients-") as name:
        scratch = pathlib.Path(name)
        node = Node(scratch, "node").start()
        try:
            node.weft("id", "new", "--alias", "alice")
            variables = node.weft("env", "--hf")
            os.environ.update(
                HF_ENDPOINT=variables["HF_ENDPOINT"],
                CLIENTS_TOKEN=variables["HF_TOKEN"],
                CLIENTS_SCRATCH=name,
                HF_HOME=str(scratch / "hf"),
                HF_HUB_DISABLE_PROGRESS_BARS="1",
                HF_HUB_DISABLE_UPDATE_CHECK="1",
                HF_HUB_DISABLE_TELEMETRY="1",
                # Ten seconds are not enough on a machine that builds something else meanwhile.
                HF_HUB_ETAG_TIMEOUT="120",
                HF_HUB_DOWNLOAD_TIMEOUT="120",
            )
            # A token of somebody else's hub, as most users have one.
            (scratch / "hf").mkdir()
            (scratch / "hf" / "token").write_text("hf_" + "x" * 34)
            for variable in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_XET_HIGH_PERFORMANCE",
                             "HF_HUB_DISABLE_XET"):
                os.environ.pop(variable, None)
            import huggingface_hub

            print(f"huggingface_hub {huggingface_hub.__version__}", flush=True)
            publish(scratch)
            # All checks, or those whose name holds a word.
            loader = unittest.defaultTestLoader
            loader.testNamePatterns = [f"*{word}*" for word in sys.argv[1:]] or None
            suite = loader.discover(str(HERE))
            result = unittest.TextTestRunner(verbosity=1).run(suite)
            if not result.wasSuccessful():
                print("--- the node's log ends so:")
                print(node.log.read_text()[-4000:])
                sys.exit(1)
        finally:
            node.stop()


if __name__ == "__main__":
    main()
