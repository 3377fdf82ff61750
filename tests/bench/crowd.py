#!/usr/bin/env python3
"""Flash crowds of real processes: everybody wants one file at the same moment, and uploads are limited.

    tests/bench/bench.sh crowd                # installs the rival, then runs this
    tests/bench/crowd.py --weft target/release/weft --only one-seed --repeat 3

Each member has a loopback address of its own. The figure is when the last one has everything, as a multiple
of what no scheme can beat: F/us, F/dmin and (number × F)/(us + Σ ui) (Kumar and Ross, "Peer-Assisted File
Distribution: The Minimum Distribution Time", 2006). With --simulations the simulator is asked about the
same crowd.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import measure
import report
import weft
from measure import Failure

MIB = 1 << 20
HERE = os.path.dirname(os.path.abspath(__file__))
# What a loopback link carries at most, for the bound where nothing is limited.
UNLIMITED = 0


@dataclass
class Scenario:
    """Rates in bytes per second; 0 is unlimited."""

    name: str
    title: str
    size: int
    seeds: list
    fetchers: list

    def bound(self):
        """Seconds that the last fetcher needs at least. Downloads are not limited in any scenario."""
        seeds = sum(self.seeds)
        bounds = [self.size / seeds]
        if all(self.fetchers):
            bounds.append(len(self.fetchers) * self.size / (seeds + sum(self.fetchers)))
        return max(bounds)


def mb(rate):
    return rate * 1_000_000


SCENARIOS = [
    Scenario("one-seed", "1 seed at 20 MB/s, 8 fetchers unlimited, 128 MiB", 128 * MIB, [mb(20)], [UNLIMITED] * 8),
    Scenario("all-limited", "1 seed at 20 MB/s, 8 fetchers at 20 MB/s, 128 MiB", 128 * MIB, [mb(20)], [mb(20)] * 8),
    Scenario("slow-seed", "1 seed at 4 MB/s, 8 fetchers at 20 MB/s, 32 MiB", 32 * MIB, [mb(4)], [mb(20)] * 8),
    Scenario("two-seeds", "2 seeds at 10 MB/s, 6 fetchers at 20 MB/s, 128 MiB", 128 * MIB, [mb(10)] * 2, [mb(20)] * 6),
    Scenario("mixed", "1 seed at 20 MB/s, 8 fetchers at 5, 5, 10, 10, 20, 20, 40 and 40 MB/s, 128 MiB", 128 * MIB,
             [mb(20)], [mb(rate) for rate in (5, 5, 10, 10, 20, 20, 40, 40)]),
    Scenario("weak-crowd", "1 seed at 20 MB/s, 8 fetchers at 5 MB/s, 64 MiB", 64 * MIB, [mb(20)], [mb(5)] * 8),
    Scenario("four-to-one", "4 seeds at 25 MB/s, 1 fetcher, 512 MiB", 512 * MIB, [mb(25)] * 4, [UNLIMITED]),
]


class Crowd:
    """One scenario with one kind of client: set up, let go, torn down."""

    def __init__(self, scenario, work, source):
        self.scenario, self.work, self.source = scenario, work, source

    def host(self, number):
        return f"127.0.1.{number + 1}"

    def check(self, folder):
        path = os.path.join(folder, os.path.basename(self.source))
        if subprocess.run(["cmp", "-s", self.source, path]).returncode:
            raise Failure(f"{path} is not the source")


class Weft(Crowd):
    name, title = "weft", "**weft**"

    def __init__(self, scenario, work, source, binary):
        super().__init__(scenario, work, source)
        self.binary = binary
        # What a node needs of the benchmark it is part of.
        self.bench = argparse.Namespace(weft=binary, work=work)
        self.nodes = []

    def node(self, name, rate):
        options = ["--limit-up", str(rate)] if rate else []
        node = weft.Node(self.bench, name, self.host(len(self.nodes)), options)
        self.nodes.append(node)
        return node

    def run(self):
        seeds = [self.node(f"seed-{i}", rate) for i, rate in enumerate(self.scenario.seeds)]
        first = seeds[0]
        first.start()
        # The others learn it by fetching; that must not be slowed by what is measured later.
        _, facts = first.command("publish", os.path.dirname(self.source), "--name", "crowd")
        reference = facts["reference"]
        for seed in seeds[1:]:
            seed.start(first.addresses())
            seed.command("fetch", reference)
        known = [address for seed in seeds for address in seed.addresses()]
        fetchers = [self.node(f"fetcher-{i}", rate) for i, rate in enumerate(self.scenario.fetchers)]
        for fetcher in fetchers:
            fetcher.start(known)
        for fetcher in fetchers:
            measure.wait_until(lambda f=fetcher: weft.peers(f) >= len(seeds), "the fetchers to know the seeds")
        sent = sum(seed.status()["uploaded_bytes"] for seed in seeds)
        start = time.monotonic()
        running = {
            subprocess.Popen([self.binary, "fetch", reference, "--json"], env=fetcher.environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL): fetcher
            for fetcher in fetchers
        }
        times, outputs = [], []
        for process in running:
            outputs.append(weft.last_json(process.communicate()[0].decode()))
            if process.returncode:
                raise Failure(f"a fetch ended with {process.returncode}")
        times = [facts["seconds"] for facts in outputs]
        last = time.monotonic() - start
        for facts in outputs:
            self.check(facts["path"])
        sent = sum(seed.status()["uploaded_bytes"] for seed in seeds) - sent
        return last, statistics.median(times), sent / self.scenario.size

    def stop(self):
        for node in self.nodes:
            node.forget()


class Libtorrent(Crowd):
    name, title = "libtorrent", "libtorrent, TCP, 64 requests a peer"

    def __init__(self, scenario, work, source):
        super().__init__(scenario, work, source)
        self.members = []

    def member(self, folder, rate, torrent, part):
        arguments = [sys.executable, os.path.join(HERE, "roles.py"), "torrent-member", folder,
                     self.host(len(self.members)), str(rate), torrent, part]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.members.append(process)
        port = measure.read_line_json(process, "libtorrent")["port"]
        return process, [self.host(len(self.members) - 1), port]

    def run(self):
        torrent = os.path.join(self.work, "crowd.torrent")
        subprocess.run([sys.executable, os.path.join(HERE, "roles.py"), "torrent-make", self.source, torrent], check=True)
        seeds = [self.member(os.path.dirname(self.source), rate, torrent, "seed") for rate in self.scenario.seeds]
        fetchers, folders = [], []
        for number, rate in enumerate(self.scenario.fetchers):
            folders.append(os.path.join(self.work, f"torrent-{number}"))
            os.makedirs(folders[-1])
            fetchers.append(self.member(folders[-1], rate, torrent, "fetcher"))
        everybody = [address for _, address in seeds + fetchers]

        def go(process):
            process.stdin.write(json.dumps(everybody) + "\n")
            process.stdin.flush()

        for process, _ in seeds:
            go(process)
            measure.read_line_json(process, "libtorrent")
        start = time.monotonic()
        for process, _ in fetchers:
            go(process)
        times = [measure.read_line_json(process, "libtorrent")["seconds"] for process, _ in fetchers]
        last = time.monotonic() - start
        # What it says it has may still be on its way to the disk until it ends.
        self.end()
        for folder in folders:
            self.check(folder)
        return last, statistics.median(times), None

    def end(self):
        for process in self.members:
            process.stdin.close()
        for process in self.members:
            process.wait(20)
            process.stdout.close()
        self.members = []

    def stop(self):
        for process in self.members:
            measure.stop(process)
        for number in range(len(self.scenario.fetchers)):
            shutil.rmtree(os.path.join(self.work, f"torrent-{number}"), ignore_errors=True)


def simulated(binary, scenario):
    """What the simulator says of the same crowd, as a multiple of the bound: the median of three seeds."""
    rates = lambda values: ",".join(str(value) for value in values)  # noqa: E731
    arguments = ["--bytes", str(scenario.size), "--peers", str(len(scenario.fetchers)), "--json", "--quiet",
                 "--seed-ups", rates(scenario.seeds), "--one-machine", rates(scenario.fetchers)]
    last = []
    for seed in (1, 2, 3):
        said = subprocess.run([binary, "flash-crowd", *arguments, "--seed", str(seed)],
                              capture_output=True, text=True, check=True)
        last.append(json.loads(said.stdout)["last_seconds"])
    return statistics.median(last) / scenario.bound()


def say(message):
    print(message, file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--weft", default=os.environ.get("WEFT_BIN"), help="the release binary (or WEFT_BIN)")
    add("--simulations", help="the release binary of the simulator, to compare with")
    add("--only", nargs="+", metavar="NAME", choices=[scenario.name for scenario in SCENARIOS])
    add("--client", nargs="+", default=["weft", "libtorrent"], choices=["weft", "libtorrent"])
    add("--repeat", type=int, default=1)
    add("--json", default="target/crowd.json", help="where to write all figures")
    add("--markdown", default="target/crowd.md", help="where to write the table")
    return parser.parse_args()


def attempt(crowd):
    try:
        return crowd.run()
    finally:
        crowd.stop()


def main():
    arguments = parse()
    rows, record = [], []
    for scenario in SCENARIOS:
        if arguments.only and scenario.name not in arguments.only:
            continue
        results = {}
        for client in arguments.client:
            samples = []
            for _ in range(arguments.repeat):
                with tempfile.TemporaryDirectory(prefix="weft-crowd-") as work:
                    folder = os.path.join(work, "source")
                    os.makedirs(folder)
                    source = os.path.join(folder, "random.bin")
                    with open(source, "wb") as target:
                        target.write(os.urandom(scenario.size))
                    crowd = (Weft(scenario, work, source, os.path.abspath(arguments.weft)) if client == "weft"
                             else Libtorrent(scenario, work, source))
                    samples.append(attempt(crowd))
                say(f"{scenario.name}: {client}: last after {samples[-1][0]:.2f} s = "
                    f"{samples[-1][0] / scenario.bound():.2f} × bound"
                    + (f", the seeds sent {samples[-1][2]:.2f} copies" if samples[-1][2] else ""))
            results[client] = sorted(samples)[len(samples) // 2]
        ratio = lambda client: (  # noqa: E731
            f"{results[client][0] / scenario.bound():.2f}" if client in results else "–")
        told = simulated(arguments.simulations, scenario) if arguments.simulations else None
        copies = results.get("weft", (0, 0, None))[2]
        rows.append([scenario.title, f"{scenario.bound():.1f}", ratio("weft"), f"{told:.2f}" if told else "–",
                     f"{copies:.2f}" if copies else "–", ratio("libtorrent")])
        record.append({"scenario": scenario.name, "bound_seconds": scenario.bound(), "simulated_ratio": told,
                       "results": {name: dict(zip(("last_seconds", "median_seconds", "seed_copies"), result))
                                   for name, result in results.items()}})
    header = ["scenario", "bound, s", "weft, × bound", "simulated, × bound", "copies sent by seeds", "libtorrent, × bound"]
    print(report.text(header, rows))
    for path, content in [(arguments.json, json.dumps(record, indent=2) + "\n"),
                          (arguments.markdown, report.markdown(header, rows) + "\n")]:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w") as target:
            target.write(content)


if __name__ == "__main__":
    main()
