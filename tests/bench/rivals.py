"""What weft is compared with: a copy on disk, a bare TCP stream, HTTP clients, BitTorrent, bare hashing."""

import getpass
import grp
import json
import os
import shutil
import socket
import subprocess
import sys

import measure
from measure import Failure, Sample

# Of the same environment as this program.
HF = os.path.join(os.path.dirname(sys.executable), "hf")
HUB_PATH = "/bench/bench/resolve/"
HERE = os.path.dirname(os.path.abspath(__file__))


class Contender:
    """Moves the file from A to B. `start` and `stop` frame every single measurement."""

    name = ""
    title = ""
    verifies = False
    encrypts = False

    def __init__(self, bench):
        self.bench = bench
        self.out = os.path.join(bench.work, f"out-{self.name}")

    def missing(self):
        """Why it cannot take part, or None."""

    def prepare(self):
        """What is done once, before all measurements."""

    def start(self):
        """Servers up."""

    def run(self):
        """The measured part."""
        raise NotImplementedError

    def result(self):
        """Where the fetched file lies."""
        return self.out

    def stop(self):
        """Servers down, result away."""
        if os.path.isdir(self.out):
            shutil.rmtree(self.out)
        elif os.path.exists(self.out):
            os.unlink(self.out)


def needs(*programs):
    """Why one of these programs cannot be run, or None."""
    for program in programs:
        if find(program) is None:
            return f"{program} is not installed"
    return None


def find(program):
    """Where a program lies; /usr/sbin is looked at even if PATH leaves it out."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def free_port():
    """A TCP port of 127.0.0.1 that was free a moment ago, for programs that cannot say which one they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Copy(Contender):
    name, title = "cp", "`cp`, file to file"

    def run(self):
        # Sharing blocks instead of copying them would measure nothing.
        sample, _ = measure.command(["cp", "--reflink=never", self.bench.source, self.out])
        return sample


class Role(Contender):
    """Two Python children, one for each side. The fetching one takes its own time, so that the start of an
    interpreter does not count."""

    roles = ("", "")
    server = None

    def start(self):
        self.server = self.child(self.roles[0], self.bench.source, *self.extra())
        self.port = measure.read_line_json(self.server, self.roles[0])["port"]

    def extra(self):
        return []

    def child(self, role, *arguments):
        script = os.path.join(HERE, "roles.py")
        return subprocess.Popen(
            [sys.executable, script, role, *map(str, arguments)], stdout=subprocess.PIPE
        )

    def run(self):
        before = measure.cpu_of(self.server.pid)
        fetcher = self.child(self.roles[1], self.out, self.port, *self.extra())
        with fetcher.stdout:
            took = measure.read_line_json(fetcher, self.roles[1])
            # It may still be writing behind; the comparison with the source must not come too early.
            if fetcher.wait() != 0:
                raise Failure(f"{self.roles[1]} ended with {fetcher.returncode}")
        serve = measure.cpu_of(self.server.pid) - before
        return Sample(took["seconds"], serve, took["cpu"])

    def stop(self):
        measure.stop(self.server)
        if self.server:
            self.server.stdout.close()
        super().stop()


class PlainTcp(Role):
    name, title = "tcp", "plain TCP, `sendfile` to file"
    roles = ("tcp-serve", "tcp-fetch")


class Torrent(Role):
    name, title = "libtorrent", "libtorrent, v2 torrent, TCP only"
    roles = ("torrent-serve", "torrent-fetch")
    verifies = True

    def missing(self):
        try:
            import libtorrent  # noqa: F401
        except ImportError:
            return "the Python package libtorrent is not installed"

    def prepare(self):
        self.torrent = os.path.join(self.bench.work, "bench.torrent")
        maker = self.child("torrent-make", self.bench.source, self.torrent)
        maker.stdout.close()
        if maker.wait() != 0:
            raise Failure("no torrent could be made")

    def extra(self):
        return [self.torrent]

    def result(self):
        return os.path.join(self.out, os.path.basename(self.bench.source))


class Http(Contender):
    """A client that fetches from nginx."""

    client = ""
    server = None

    def missing(self):
        return needs("nginx", self.client)

    def start(self):
        home = os.path.join(self.bench.work, "nginx")
        os.makedirs(home, exist_ok=True)
        port = free_port()
        user = ""
        if os.geteuid() == 0:
            # Workers would otherwise become a user who may not read the file.
            user = f"user {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name};"
        temporary = "\n".join(
            f"  {kind}_temp_path {home}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        with open(f"{home}/nginx.conf", "w") as conf:
            conf.write(
                f"""{user}
daemon off;
worker_processes auto;
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
{temporary}
  access_log off;
  sendfile on;
  tcp_nopush on;
  server {{
    listen 127.0.0.1:{port};
    root {os.path.dirname(self.bench.source)};
    # What a client of the Hub asks for one file.
    location {HUB_PATH} {{
      rewrite ^{HUB_PATH}[^/]+/(.*)$ /$1 break;
      add_header X-Repo-Commit {"0" * 40};
    }}
  }}
}}
"""
            )
        self.server = subprocess.Popen(
            [find("nginx"), "-c", f"{home}/nginx.conf", "-p", home, "-e", f"{home}/error.log"]
        )
        self.site = f"http://127.0.0.1:{port}"
        self.url = f"{self.site}/{os.path.basename(self.bench.source)}"
        measure.wait_until(lambda: self.answers(port), "nginx")

    def answers(self, port):
        if self.server.poll() is not None:
            raise Failure(f"nginx ended with {self.server.returncode}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def run(self):
        sample, _ = measure.command(self.arguments(), servers=[self.server.pid])
        return sample

    def arguments(self):
        raise NotImplementedError

    def stop(self):
        measure.stop(self.server)
        super().stop()


class Curl(Http):
    name, title, client = "curl", "`curl`, one stream, from nginx", "curl"

    def arguments(self):
        return ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "-o", self.out, self.url]


class Aria2(Http):
    name, title, client = "aria2c", "`aria2c -x16 -s16` from nginx", "aria2c"

    def arguments(self):
        folder, name = os.path.split(self.out)
        # No file allocation: on most file systems it would write the file twice.
        return ["aria2c", "-x16", "-s16", "--no-conf", "--quiet", "--file-allocation=none",
                "--allow-overwrite=true", "--no-proxy=*", "-d", folder, "-o", name, self.url]


def hf_missing():
    """Why the client of the Hub cannot be run, or None."""
    return None if os.path.exists(HF) else "the Python package huggingface_hub is not installed"


def hf_download(endpoint, repository, name, home, **more):
    """`hf download` of one file, with a cache of its own; a sample and where the file lies."""
    environment = {
        **os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*", "no_proxy": "*",
    }
    # Versions differ in how they say it; all of them leave the file in the cache.
    sample, _ = measure.command([HF, "download", repository, name], env=environment, **more)
    found = [os.path.join(folder, name) for folder, _, names in os.walk(home)
             if name in names and f"{os.sep}snapshots{os.sep}" in folder]
    if not found:
        raise Failure(f"{name} is not in the cache")
    return sample, os.path.realpath(found[0])


class HfDownload(Http):
    name, title = "hf", "`hf download`, plain HTTP from nginx"

    def missing(self):
        return needs("nginx") or hf_missing()

    def run(self):
        sample, self.file = hf_download(self.site, "bench/bench", os.path.basename(self.bench.source), self.out,
                                        servers=[self.server.pid])
        return sample

    def result(self):
        return self.file


class Hash(Contender):
    """Reads the file once and hashes it; what publishing cannot be faster than."""

    def result(self):
        return None

    def source(self):
        return self.bench.source

    def run(self):
        script = os.path.join(HERE, "roles.py")
        arguments = [sys.executable, script, self.role, self.source()]
        _, output = measure.command(arguments)
        took = json.loads(output)
        return Sample(took["seconds"], 0.0, took["cpu"], {"hash": took["hash"]})


class Blake3(Hash):
    name, title, role = "blake3", "BLAKE3, one thread", "blake3-one"

    def missing(self):
        try:
            import blake3  # noqa: F401
        except ImportError:
            return "the Python package blake3 is not installed"


class Blake3All(Blake3):
    name, title, role = "blake3-all", "BLAKE3, all cores", "blake3-all"


class B3sum(Hash):
    name, title = "b3sum", "`b3sum`"

    def missing(self):
        return needs("b3sum")

    def run(self):
        sample, output = measure.command(["b3sum", self.bench.source])
        sample.facts["hash"] = output.split()[0]
        return sample


class Sha256(Hash):
    name, title, role = "sha256", "SHA-256 (OpenSSL), one thread", "sha256"


class Sha256All(Hash):
    name, title, role = "sha256-all", "SHA-256 (OpenSSL) of many files, all cores", "sha256-all"

    def source(self):
        return self.bench.parts


FETCH = [Copy, PlainTcp, Curl, Aria2, HfDownload, Torrent]
HASH = [B3sum, Blake3, Blake3All, Sha256, Sha256All]
