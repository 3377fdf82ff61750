#!/usr/bin/env python3
"""Measures weft against other ways to move the same file on the same machine, in one run.

    tests/bench/bench.sh                      # installs the rivals, then runs this
    tests/bench/bench.py --weft target/release/weft --size 2G --repeat 3

Everything runs on loopback. The measurements are taken in rounds (each contender once, then all again), so
that a machine which grows slower or faster meanwhile does so for all of them. Every fetched file is compared
with the source, outside the measured time. Only ratios inside one run mean anything.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile

import measure
import report
import rivals
import weft


# Files that the same bytes are in once more, for what is done with many files.
PARTS = 64


class Bench:
    """What all contenders share."""

    def __init__(self, arguments, work):
        self.work = work
        self.size = arguments.size
        self.weft = os.path.abspath(arguments.weft) if arguments.weft else None
        self.folder = os.path.join(work, "source")
        self.source = os.path.join(self.folder, "random.bin")
        self.parts = os.path.join(work, "parts")
        self.swarm = weft.Swarm(self)

    def make_source(self):
        os.makedirs(self.folder)
        with open(self.source, "wb") as target:
            left = self.size
            while left:
                block = os.urandom(min(left, 1 << 24))
                target.write(block)
                left -= len(block)
        os.makedirs(self.parts)
        with open(self.source, "rb") as source:
            for number in range(PARTS):
                with open(os.path.join(self.parts, f"part-{number:02}.bin"), "wb") as target:
                    target.write(source.read(self.size // PARTS))

    def settle(self):
        """The sources in page cache, and no write of the measurement before still under way."""
        os.sync()
        buffer = bytearray(1 << 22)
        for path in [self.source, *(entry.path for entry in os.scandir(self.parts))]:
            with open(path, "rb", buffering=0) as source:
                while source.readinto(buffer):
                    pass

    def measure(self, contender):
        self.settle()
        try:
            contender.start()
            before = measure.cpu_of_machine()
            sample = contender.run()
            sample.cpu_machine = measure.cpu_of_machine() - before
            result = contender.result()
            if result and subprocess.run(["cmp", "-s", self.source, result]).returncode:
                raise measure.Failure(f"{result} is not the source")
            return sample
        finally:
            contender.stop()


def take_part(contenders, only):
    """Those that can be measured here. Says why the others cannot."""
    able = []
    for contender in contenders:
        if only and contender.name not in only:
            continue
        reason = contender.missing()
        if reason:
            say(f"without {contender.name}: {reason}")
        else:
            able.append(contender)
    return able


def run(bench, arguments):
    kinds = [*rivals.FETCH, *weft.FETCH, *rivals.HASH, *weft.PUBLISH]
    contenders = take_part([kind(bench) for kind in kinds], arguments.only)
    failures = {}
    samples = {contender.name: [] for contender in contenders}

    def attempt(contender, what):
        if contender.name in failures:
            return
        try:
            what()
        except (measure.Failure, OSError, KeyError, ValueError) as error:
            failures[contender.name] = f"{type(error).__name__}: {error}"
            say(f"{contender.name} failed: {failures[contender.name]}")

    for contender in contenders:
        attempt(contender, contender.prepare)
    for number in range(arguments.repeat):
        for contender in contenders:

            def once(contender=contender):
                sample = bench.measure(contender)
                samples[contender.name].append(sample)
                rate = bench.size / 1e6 / sample.seconds
                say(f"round {number + 1}: {contender.name}: {sample.seconds:.2f} s, {rate:,.0f} MB/s")

            attempt(contender, once)

    def results(group):
        return [
            report.summarise(contender, samples[contender.name], bench.size)
            for contender in contenders
            if type(contender) in group and contender.name not in failures
        ]

    return results(rivals.FETCH + weft.FETCH), results(rivals.HASH + weft.PUBLISH), failures


def render(record):
    """The text for the terminal and the Markdown for the page."""
    fetch, publish, size = record["fetch"], record["publish"], record["size_bytes"]
    against = ["tcp", "cp", "curl", "aria2c", "hf", "libtorrent"]
    sentences = report.ratios(fetch, ["weft-1", "weft-2"], against)
    sentences += report.ratios(fetch, ["weft-hf"], ["hf"])
    sentences += report.ratios(publish, ["weft-publish"], ["b3sum", "blake3", "blake3-all", "sha256"])
    sentences += report.ratios(publish, ["weft-publish-many"], ["sha256-all"])
    sentences += report.disk(fetch + publish, size)
    text, page = [], [report.about(record)]
    for rows in (report.fetch_rows(fetch), report.publish_rows(publish)):
        if rows[1]:
            text.append(report.text(*rows))
            page.append(report.markdown(*rows))
    if sentences:
        text.append("\n".join(sentences))
        page.append("\n".join(f"- {sentence}" for sentence in sentences))
    return "\n\n".join(text), "\n\n".join(page) + "\n"


def size(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number = text.upper().removesuffix("IB").removesuffix("B")
    unit = units.get(number[-1:], 1)
    return int(number.rstrip("KMG")) * unit


def say(message):
    print(message, file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--weft", default=os.environ.get("WEFT_BIN"), help="the release binary (or WEFT_BIN)")
    add("--size", type=size, default=size("2G"), help="of the file, like 512M (default 2G)")
    add("--repeat", type=int, default=3, help="measurements of each contender (default 3)")
    add("--only", nargs="+", metavar="NAME", help="measure only these contenders")
    add("--work", help="where to put the files; needs six times the size (default a temporary directory)")
    add("--json", default="target/bench.json", help="where to write all figures")
    add("--markdown", default="target/bench.md", help="where to write the tables")
    add("--keep", action="store_true", help="leave the working directory for a look at it")
    return parser.parse_args()


def main():
    arguments = parse()
    work = tempfile.mkdtemp(prefix="weft-bench-", dir=arguments.work)
    try:
        bench = Bench(arguments, work)
        if shutil.disk_usage(work).free < 6 * bench.size:
            sys.exit(f"error: {work} has less than six times {bench.size} bytes free\n"
                     "hint: --work DIR or a smaller --size")
        record = {
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "size_bytes": bench.size,
            "repeat": arguments.repeat,
            "machine": report.machine(work),
            "versions": {
                program: report.version(path, *flags)
                for program, path, *flags in [
                    ("weft", bench.weft or "weft", "--version"),
                    ("nginx", rivals.find("nginx") or "nginx", "-v"),
                    ("curl", "curl", "--version"),
                    ("aria2c", "aria2c", "--version"),
                    ("openssl", "openssl", "version"),
                    ("libtorrent", sys.executable, "-c", "import libtorrent as l; print(l.__version__)"),
                ]
            },
        }
        if record["machine"]["load_before"] > 0.5:
            say(f"the machine is busy (load {record['machine']['load_before']:.1f}): figures will be noisy")
        bench.make_source()
        record["fetch"], record["publish"], record["failures"] = run(bench, arguments)
        text, page = render(record)
        print(text)
        for path, content in [(arguments.json, json.dumps(record, indent=2) + "\n"), (arguments.markdown, page)]:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            with open(path, "w") as target:
                target.write(content)
        say(f"written: {arguments.json} {arguments.markdown}")
        return 1 if record["failures"] else 0
    finally:
        if arguments.keep:
            say(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
