#!/usr/bin/env python3
"""The local hub endpoint: how soon the first byte of a file comes, and what a client gets through a node that has nothing yet.

    tests/bench/bench.sh hub --weft target/release/weft

First byte: clients on one machine, each on its own connection, ask for a whole file that is here, at random moments; measured from the
request to the first byte of the body, beside nginx with the same file and the same clients. Cold: three nodes have a file, a fourth has
nothing; `weft fetch` on it against `hf download` through it, a fresh node each time, with unlimited and with limited lines.
"""

import argparse
import json
import os
import random
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import measure
import rivals
import weft
from measure import Failure

MIB = 1 << 20


class Work:
    """What nodes want to know of a benchmark."""

    def __init__(self, binary, work):
        self.weft, self.work = os.path.abspath(binary), work


def first_bytes(address, path, clients, seconds, rate):
    """Times from a request to the first byte of its body, in ms: `clients` at once, `rate` requests per second of all."""
    host, _, port = address.partition("://")[2].rpartition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
    waiting, found, draw = selectors.DefaultSelector(), [], random.Random(1)
    begin = time.monotonic()
    due = sorted(begin + draw.uniform(0, clients / rate) for _ in range(clients))
    while due or waiting.get_map():
        now = time.monotonic()
        while due and due[0] <= now and now < begin + seconds:
            due.pop(0)
            made = socket.socket()
            # It goes away after the first byte: what the server has sent by then is work for nobody.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            made.connect((host, int(port)))
            made.setblocking(False)
            sent = time.monotonic()
            made.send(request)
            waiting.register(made, selectors.EVENT_READ, [sent, b""])
        if now >= begin + seconds:
            due = []
        pause = max(0, due[0] - time.monotonic()) if due else 1
        for key, _ in waiting.select(pause):
            part = key.fileobj.recv(65536)
            key.data[1] += part
            head, end, body = key.data[1].partition(b"\r\n\r\n")
            if not part and not end:
                raise Failure("a connection ended without an answer")
            if end and (body or not part):
                if not head.startswith(b"HTTP/1.1 200"):
                    raise Failure(head.decode(errors="replace"))
                now = time.monotonic()
                found.append((now - key.data[0]) * 1000)
                waiting.unregister(key.fileobj)
                key.fileobj.close()
                due.append(now + draw.expovariate(rate / clients))
                due.sort()
    return found


def quantile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def publish(node, folder):
    _, facts = node.command("publish", folder, "--name", "bench")
    return facts["reference"]


def endpoint(node):
    found = node.status()["gateway"]
    return found if "://" in found else f"http://{found}"


def measure_first_byte(work, arguments):
    folder = os.path.join(work.work, "warm")
    os.makedirs(folder)
    name = "warm.bin"
    with open(os.path.join(folder, name), "wb") as target:
        target.write(random.Random(2).randbytes(64 * MIB))
    node = weft.Node(work, "warm")
    rows = []
    try:
        node.start()
        reference = publish(node, folder).removeprefix("weft:")
        repository, _, revision = reference.partition("@")
        ways = [("weft", endpoint(node), f"/{repository}/resolve/{revision}/{name}", None)]
        if rivals.find("nginx"):
            server, url = nginx(work.work, folder)
            ways.append(("nginx", url, f"/{name}", server))
        for clients in (1, 50):
            for title, url, path, _ in ways:
                first_bytes(url, path, clients, 2, arguments.rate)
                times = first_bytes(url, path, clients, arguments.seconds, arguments.rate if clients > 1 else 50)
                rows.append((title, clients, len(times), statistics.median(times), quantile(times, 0.99), max(times)))
                say(f"{title}, {clients} clients: p50 {rows[-1][3]:.2f} ms, p99 {rows[-1][4]:.2f} ms")
        for *_, server in ways:
            measure.stop(server)
    finally:
        node.forget()
    table(["first byte of a warm file", "clients", "requests", "p50, ms", "p99, ms", "slowest, ms"],
          [[t, str(c), str(n), f"{a:.2f}", f"{b:.2f}", f"{m:.2f}"] for t, c, n, a, b, m in rows])
    return rows


def nginx(work, folder):
    """A plain web server for the folder."""
    port, config = rivals.free_port(), os.path.join(work, "nginx.conf")
    with open(config, "w") as file:
        file.write(f"daemon off; pid {work}/nginx.pid; error_log {work}/nginx.err; user root; worker_processes 2;\n"
                   f"events {{}} http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n")
    server = subprocess.Popen([rivals.find("nginx"), "-c", config, "-p", work], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def answers():
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except OSError:
            return False

    measure.wait_until(answers, "nginx to answer")
    return server, url


WAYS = ["fetch", "hf", "hf-chunks", "hf-shared"]


def measure_cold(work, arguments):
    folder = os.path.join(work.work, "cold")
    os.makedirs(folder)
    name, source = "cold.bin", os.path.join(folder, "cold.bin")
    with open(source, "wb") as target:
        for _ in range(arguments.size // MIB):
            target.write(os.urandom(MIB))
    seeds = [weft.Node(work, f"seed-{number}") for number in range(3)]
    rows = []
    try:
        seeds[0].start()
        reference = publish(seeds[0], folder)
        for seed in seeds[1:]:
            seed.start(seeds[0].addresses())
            seed.command("fetch", reference)
            seed.command("seed", reference)
        for seed in seeds:
            seed.stop()
        lines = {"unlimited": None, "1 Gbit/s": "40MB"}
        for title, limit in lines.items():
            if arguments.lines not in (None, title):
                continue
            for seed in seeds:
                seed.options = ["--limit-up", limit] if limit else []
                seed.start([address for other in seeds if other.process and other is not seed
                            for address in other.addresses()])
            known = [address for seed in seeds for address in seed.addresses()]
            taken = {}
            for number in range(arguments.repeat):
                for way in arguments.ways:
                    seconds = cold_once(work, arguments, way, known, reference, name, source)
                    taken.setdefault(way, []).append(seconds)
                    say(f"{title}, round {number + 1}: {way}: {seconds:.2f} s")
            for seed in seeds:
                seed.stop()
            base = statistics.median(taken["fetch"])
            for way, all_of_them in taken.items():
                middle = statistics.median(all_of_them)
                rows.append((title, way, middle, arguments.size / 1e6 / middle, base / middle))
    finally:
        for seed in seeds:
            if seed.process:
                seed.stop()
    words = {"fetch": "`weft fetch`", "hf": "`hf download`", "hf-chunks": "`hf download`, in chunks (`gateway.chunks_above 0`)",
             "hf-shared": "`hf download`, one copy (`gateway.hf_cache`)"}
    table(["three peers, lines", "what", "s", "MB/s", "× `weft fetch`"],
          [[t, words[w], f"{s:.2f}", f"{r:,.0f}", f"{x:.2f}"] for t, w, s, r, x in rows])
    return rows


def cold_once(work, arguments, way, known, reference, name, source):
    node = weft.Node(work, "empty")
    home = os.path.join(work.work, "hf-home")
    try:
        if way == "hf-chunks":
            node.command("config", "set", "gateway.chunks_above", "0")
        if way == "hf-shared":
            node.command("config", "set", "gateway.hf_cache", os.path.join(home, "hub"))
        node.start(known)
        measure.wait_until(lambda: weft.peers(node) >= 3, "three peers")
        if way == "fetch":
            out = os.path.join(work.work, "out")
            sample, facts = node.command("fetch", reference, "--to", out)
            path = os.path.join(out, name)
        else:
            repository = reference.removeprefix("weft:").partition("@")[0]
            sample, path = rivals.hf_download(endpoint(node), repository, name, home)
        if subprocess.run(["cmp", "-s", source, path]).returncode:
            raise Failure(f"{path} is not the source")
        return sample.seconds
    finally:
        node.forget()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(os.path.join(work.work, "out"), ignore_errors=True)


def table(header, rows):
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def say(message):
    print(message, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--weft", default=os.environ.get("WEFT_BIN"), required="WEFT_BIN" not in os.environ, help="the release binary (or WEFT_BIN)")
    add("--only", choices=["first-byte", "cold"], help="one of the two")
    add("--lines", choices=["unlimited", "1 Gbit/s"], help="of the three peers (default both)")
    add("--ways", nargs="+", choices=WAYS, default=WAYS, help="of downloading")
    add("--size", type=lambda text: int(text) * MIB, default=1024 * MIB, help="of the cold file, in MiB (default 1024)")
    add("--repeat", type=int, default=3, help="measurements of each (default 3)")
    add("--seconds", type=int, default=10, help="of requests for first bytes (default 10)")
    add("--rate", type=int, default=250, help="requests a second of all clients together (default 250)")
    add("--work", help="where to put the files")
    add("--json", help="where to write all figures")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="weft-hub-", dir=arguments.work)
    try:
        work, record = Work(arguments.weft, folder), {}
        if arguments.only != "cold":
            record["first_byte"] = measure_first_byte(work, arguments)
        if arguments.only != "first-byte":
            record["cold"] = measure_cold(work, arguments)
        if arguments.json:
            with open(arguments.json, "w") as file:
                json.dump(record, file, indent=2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
