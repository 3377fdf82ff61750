"""How fast models are computed, against llama.cpp on the same files.

Usage: ENGINE=target/release/weft-engine python3 tests/bench/engine.py MODEL.gguf|FOLDER... [--threads N] [--rounds N] [--json]
The rival is llama-cpp-python, where it is installed; without it, only our own figures are printed, and that is said. Both measure
alike: one prompt of 512 random tokens, and 48 single tokens after an empty context; rounds of both take turns, the best of each
counts. With one thread, CPU seconds are compared, which others on the machine disturb least; with more, the clock.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time

PROMPT, ANSWER, REPEATS = 512, 48, 2


def ours(engine, path, threads, *more):
    command = [engine, "--bench", *more, "--threads", str(threads), path]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rival(path, threads):
    """Runs in a process of its own, as ours does."""
    import ctypes

    import llama_cpp as lib

    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, ctypes.c_void_p(0))
    clock = lambda: (time.perf_counter(), time.thread_time())
    took = lambda start: dict(zip(("wall", "cpu"), (now - then for now, then in zip(clock(), start))))
    lib.llama_backend_init()
    start = clock()
    params = lib.llama_model_default_params()
    params.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(path.encode(), params)
    settings = lib.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = PROMPT
    settings.n_threads = settings.n_threads_batch = threads
    context = lib.llama_init_from_model(model, settings)
    count = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))

    def decode(ids):
        array = (lib.llama_token * len(ids))(*ids)
        assert lib.llama_decode(context, lib.llama_batch_get_one(array, len(ids))) == 0
        lib.llama_get_logits_ith(context, -1)[0]

    load = took(start)
    decode([5])
    seen = {"load": load, "load_to_first_token": took(start)}
    draw = lambda number: [random.randrange(3, count) for _ in range(number)]
    best = {}
    for _ in range(REPEATS + 1):
        for what, batches in (("prompt", [draw(PROMPT)]), ("answer", [[one] for one in draw(ANSWER)])):
            lib.llama_memory_clear(lib.llama_get_memory(context), True)
            start = clock()
            for batch in batches:
                decode(batch)
            best[what] = least(best.get(what), took(start))
    print(json.dumps({**seen, **best}))


def least(one, other):
    return other if one is None else {key: min(one[key], other[key]) for key in one}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rival", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rival:
        return rival(arguments.models[0], arguments.threads)
    engine = os.environ.get("ENGINE", "target/release/weft-engine")
    installed = subprocess.run([sys.executable, "-c", "import llama_cpp"], capture_output=True).returncode == 0
    if not installed:
        print("SKIPPED: llama-cpp-python is not installed, so there is nothing to compare with", file=sys.stderr)
    key = "cpu" if arguments.threads == 1 else "wall"
    timed = ("load_to_first_token", "prompt", "answer", "answers")
    print(f"{arguments.threads} thread(s), {'CPU seconds' if key == 'cpu' else 'the clock'}; best of {arguments.rounds} rounds\n")
    print("| model | read, tokens/s | × llama.cpp | write, tokens/s | × llama.cpp | 8 at once ÷ one | first of 8, p95 ÷ fair | load, s | × llama.cpp |")
    print("|---|---|---|---|---|---|---|---|---|")
    for path in arguments.models:
        mine, theirs, raw = {}, {}, None
        for _ in range(arguments.rounds):
            raw = ours(engine, path, arguments.threads)
            for what in timed:
                mine[what] = least(mine.get(what), raw[what])
            if installed and path.endswith(".gguf"):
                command = [sys.executable, __file__, "--rival", "--threads", str(arguments.threads), path]
                seen = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                for what in timed[:3]:
                    theirs[what] = least(theirs.get(what), seen[what])
        ratio = lambda what: f"{theirs[what][key] / mine[what][key]:.2f}" if theirs else "–"
        slower = f"{mine['load_to_first_token'][key] / theirs['load_to_first_token'][key]:.2f}" if theirs else "–"
        many = raw["parallel"] * mine["answer"][key] / mine["answers"][key]
        firsts = sorted(first[key] for first in raw["first_tokens"])
        fair = raw["parallel"] * mine["prompt"][key]
        print(
            f"| {os.path.basename(path.rstrip('/'))} | {PROMPT / mine['prompt'][key]:.1f} | {ratio('prompt')} "
            f"| {ANSWER / mine['answer'][key]:.1f} | {ratio('answer')} | {many:.2f} | {firsts[int(0.95 * len(firsts))] / fair:.2f} "
            f"| {mine['load_to_first_token'][key]:.3f} | {slower} |",
            flush=True,
        )
        if arguments.json:
            print(json.dumps({"model": path, "ours": mine, "theirs": theirs}), file=sys.stderr)


if __name__ == "__main__":
    main()
