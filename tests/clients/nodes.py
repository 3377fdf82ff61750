"""Real nodes, each with a scratch home of its own, driven through the command line and the local API."""

import json
import os
import signal
import subprocess
import time
import urllib.request

WEFT = os.environ["WEFT_BIN"]


class Node:
    """One `weft serve` process; `known` are nodes to start from."""

    def __init__(self, folder, name, known=(), options=()):
        self.home = folder / name
        self.ready = folder / f"{name}.ready"
        self.log = folder / f"{name}.log"
        self.known = list(known)
        self.options = list(options)
        self.process = None

    def environment(self):
        return dict(os.environ, WEFT_HOME=str(self.home))

    def weft(self, *arguments):
        """Runs a command; its answer."""
        command = [WEFT, "--json", *map(str, arguments)]
        out = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment())
        return json.loads(out.stdout) if out.stdout.strip() else None

    def start(self):
        """Starts it and waits until it says that it is ready."""
        self.ready.unlink(missing_ok=True)
        command = [WEFT, "serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--no-mdns", "-v",
                   "--ready-file", str(self.ready), *self.options]
        for node in self.known:
            command += ["--bootstrap", node.address]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment())
        while not self.ready.exists():
            if self.process.poll() is not None:
                raise RuntimeError("the node ended: " + self.log.read_text())
            time.sleep(0.05)
        status = self.weft("status")
        self.endpoint, self.address = status["gateway"], status["listen"][0]
        if "://" not in self.endpoint:
            self.endpoint = f"http://{self.endpoint}"
        self.token = (self.home / "control.token").read_text().strip()
        return self

    def status(self):
        """As `weft status`, without a process for each look."""
        request = urllib.request.Request(self.endpoint + "/weft/v1/status")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def wait_for(what, seconds, condition):
    """Waits until the condition holds; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise TimeoutError(f"waited {seconds} s for {what}")


def hf(*arguments, endpoint, home, **more):
    """Starts the command line program of the client, which keeps everything below `home`."""
    import sys
    from pathlib import Path

    program = Path(sys.executable).with_name("hf")
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), **more}
    return subprocess.Popen(
        [program, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(process):
    """What a program printed, once it has ended well."""
    out, error = process.communicate()
    if process.returncode != 0:
        raise AssertionError(f"{process.args} ended with {process.returncode}: {out}{error}")
    return out.strip()
