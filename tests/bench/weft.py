"""weft itself, driven only through its command line, with one data directory for each node."""

import json
import os
import shutil
import subprocess

import measure
import rivals
from measure import Failure
from rivals import Contender


class Node:
    """One `weft serve` process."""

    def __init__(self, bench, name, host="127.0.0.1", options=()):
        self.bench = bench
        self.name = name
        self.host = host
        self.options = list(options)
        self.home = os.path.join(bench.work, f"weft-{name}")
        self.ready = os.path.join(bench.work, f"weft-{name}.ready")
        self.log = os.path.join(bench.work, f"weft-{name}.log")
        self.process = None

    def environment(self):
        """Nothing of the caller's own weft may leak in."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("WEFT_")}
        return {**clean, "WEFT_HOME": self.home}

    def start(self, bootstrap=()):
        os.makedirs(self.home, mode=0o700, exist_ok=True)
        if os.path.exists(self.ready):
            os.unlink(self.ready)
        arguments = [self.bench.weft, "serve", "--listen", f"{self.host}:0", "--gateway", "127.0.0.1:0",
                     "--no-mdns", "--ready-file", self.ready, *self.options]
        for address in bootstrap:
            arguments += ["--bootstrap", address]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=log, env=self.environment()
            )
        measure.wait_until(self.is_ready, f"node {self.name} to be ready")

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failure(f"node {self.name} ended with {self.process.returncode}, see {self.log}")
        return os.path.exists(self.ready)

    @property
    def pid(self):
        return self.process.pid

    def command(self, *arguments, **more):
        """Runs a command against this node; gives back a sample and its last line of JSON."""
        sample, output = measure.command(
            [self.bench.weft, *arguments, "--json"], env=self.environment(), **more
        )
        return sample, last_json(output)

    def status(self):
        return self.command("status")[1]

    def addresses(self):
        return self.status()["listen"]

    def stop(self):
        measure.stop(self.process)
        self.process = None

    def forget(self):
        """Stops the node and removes all it has."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def last_json(output):
    """The final JSON value of a command: the whole output, or its last line."""
    try:
        return json.loads(output)
    except json.JSONDecodeError:
        lines = [line for line in output.splitlines() if line.strip()]
        if not lines:
            raise Failure("no JSON on stdout") from None
        return json.loads(lines[-1])


class Publish(Contender):
    """A repository of one file: hashed, signed and offered, without a second copy of it on disk."""

    name, title = "weft-publish", "**`weft publish`**"
    verifies = True

    def source(self):
        return self.bench.folder

    def __init__(self, bench):
        super().__init__(bench)
        self.node = Node(bench, self.name)

    def missing(self):
        return weft_missing(self.bench)

    def start(self):
        self.node.start()

    def run(self):
        sample, facts = self.node.command(
            "publish", self.source(), "--name", "bench", fetchers=[self.node.pid]
        )
        check_bytes(self.bench, facts)
        sample.facts["disk_bytes"] = measure.disk_usage(self.node.home)
        sample.facts["memory_peak_bytes"] = measure.memory_peak_of(self.node.pid)
        return sample

    def result(self):
        return None

    def stop(self):
        self.node.forget()


class PublishMany(Publish):
    name, title = "weft-publish-many", "**`weft publish`** of many files"

    def source(self):
        return self.bench.parts


class HfDownload(Contender):
    """The client of the Hub, with this node as its endpoint, of what the node has."""

    name, title = "weft-hf", "**`hf download`**, from the local weft node"
    verifies = True

    def missing(self):
        return weft_missing(self.bench) or rivals.hf_missing()

    def prepare(self):
        self.bench.swarm.prepare(1)

    def start(self):
        (self.node,) = self.bench.swarm.start(1)
        self.endpoint = self.node.status()["gateway"]
        if "://" not in self.endpoint:
            self.endpoint = f"http://{self.endpoint}"

    def run(self):
        # Its names know no scheme.
        repository = self.bench.swarm.reference.removeprefix("weft:").partition("@")[0]
        sample, self.file = rivals.hf_download(
            self.endpoint, repository, os.path.basename(self.bench.source), self.out, servers=[self.node.pid])
        return sample

    def result(self):
        return self.file

    def stop(self):
        self.bench.swarm.stop()
        super().stop()


class Fetch(Contender):
    """From one or more nodes that seed to one that has nothing."""

    verifies = True
    encrypts = True
    seeds_count = 1

    def __init__(self, bench):
        super().__init__(bench)
        self.fetcher = Node(bench, "fetcher")
        self.folder = None

    def missing(self):
        return weft_missing(self.bench)

    def prepare(self):
        self.bench.swarm.prepare(self.seeds_count)

    def start(self):
        self.seeds = self.bench.swarm.start(self.seeds_count)
        self.fetcher.start(self.bench.swarm.addresses(self.seeds))
        count = len(self.seeds)
        measure.wait_until(
            lambda: peers(self.fetcher) >= count, f"the fetcher to know {count} peers"
        )

    def run(self):
        sample, facts = self.fetcher.command(
            "fetch", self.bench.swarm.reference, "--to", self.out,
            servers=[seed.pid for seed in self.seeds], fetchers=[self.fetcher.pid],
        )
        check_bytes(self.bench, facts)
        if facts["verified"] is not True:
            raise Failure("the fetch is not verified")
        if facts["bytes_fetched"] < self.bench.size:
            raise Failure(f"only {facts['bytes_fetched']} bytes came from peers")
        self.folder = facts["path"]
        sample.facts["sources"] = sorted(source["bytes"] for source in facts["sources"])
        sample.facts["disk_bytes"] = measure.disk_usage(self.fetcher.home, self.out)
        sample.facts["memory_peak_bytes"] = measure.memory_peak_of(self.fetcher.pid)
        return sample

    def result(self):
        return os.path.join(self.folder, os.path.basename(self.bench.source))

    def stop(self):
        self.fetcher.forget()
        self.bench.swarm.stop()
        super().stop()


class FetchOne(Fetch):
    name, title, seeds_count = "weft-1", "**`weft fetch`, 1 → 1**", 1


class FetchTwo(Fetch):
    name, title, seeds_count = "weft-2", "**`weft fetch`, 2 → 1**", 2


class Swarm:
    """The nodes that seed: the publisher, and others that have fetched from it. Their data directories live
    for the whole run, the processes only while they are measured."""

    def __init__(self, bench):
        self.bench = bench
        self.nodes = [Node(bench, "seed-0")]
        self.running = []
        self.reference = None

    def prepare(self, count):
        """Gives `count` nodes the repository."""
        first = self.nodes[0]
        if self.reference is None:
            try:
                first.start()
                _, facts = first.command("publish", self.bench.folder, "--name", "bench")
            finally:
                first.stop()
            self.reference = facts["reference"]
        while len(self.nodes) < count:
            node = Node(self.bench, f"seed-{len(self.nodes)}")
            try:
                first.start()
                node.start(first.addresses())
                node.command("fetch", self.reference)
                node.command("seed", self.reference)
            finally:
                node.stop()
                first.stop()
            self.nodes.append(node)

    def start(self, count):
        for node in self.nodes[:count]:
            known = self.addresses(self.running)
            self.running.append(node)
            node.start(known)
        return self.running

    def addresses(self, nodes):
        return [address for node in nodes for address in node.addresses()]

    def stop(self):
        for node in self.running:
            node.stop()
        self.running = []


def peers(node):
    """How many peers a node is connected to; `peers` in its status is a number or a list of them."""
    found = node.status()["peers"]
    return found if isinstance(found, int) else len(found)


def check_bytes(bench, facts):
    if facts["bytes_total"] < bench.size:
        raise Failure(f"{facts['bytes_total']} bytes instead of {bench.size}")


def weft_missing(bench):
    if bench.weft is None:
        return "no weft binary was given (--weft or WEFT_BIN)"
    return None


FETCH = [FetchOne, FetchTwo, HfDownload]
PUBLISH = [Publish, PublishMany]
