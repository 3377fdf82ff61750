"""Stopwatches: wall time of a command and processor time of whole process trees."""

import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass, field

TICKS = os.sysconf("SC_CLK_TCK")
GIB = 1 << 30


class Failure(Exception):
    """A contender did not do what it should; says what."""


@dataclass
class Sample:
    """One measurement. Processor seconds are split by side: who serves and who fetches."""

    seconds: float
    cpu_serve: float = 0.0
    cpu_fetch: float = 0.0
    cpu_machine: float = 0.0
    facts: dict = field(default_factory=dict)


def tree(pid):
    """A process and all its living descendants."""
    pids = [pid]
    for parent in pids:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as children:
                    pids.extend(int(child) for child in children.read().split())
        except FileNotFoundError:
            pass
    return pids


def cpu_of(pid):
    """Processor seconds that a process tree has used so far, ended children included."""
    ticks = 0
    for member in tree(pid):
        try:
            with open(f"/proc/{member}/stat") as stat:
                # The name in parentheses may hold anything; fields count from behind it.
                fields = stat.read().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / TICKS


def cpu_of_self():
    """Processor seconds of this process, threads included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_of_machine():
    """Processor seconds that all cores together were not idle."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def memory_peak_of(pid):
    """The largest resident set that the process has had, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def command(arguments, servers=(), env=None, fetchers=()):
    """Runs a command to its end; gives back a sample and what it printed.

    `servers` and `fetchers` are pids whose processor time counts for their side.
    """
    serve = sum(cpu_of(pid) for pid in servers)
    fetch = sum(cpu_of(pid) for pid in fetchers)
    start = time.monotonic()
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    # Both pipes are drained before the wait; what the commands print is small.
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip()[-800:]
        raise Failure(f"{' '.join(map(str, arguments))}: exit {process.returncode}: {said}")
    sample = Sample(
        seconds,
        sum(cpu_of(pid) for pid in servers) - serve,
        usage.ru_utime + usage.ru_stime + sum(cpu_of(pid) for pid in fetchers) - fetch,
    )
    return sample, output.decode()


def wait_until(condition, what, seconds=60):
    """Waits for a condition and gives back what it became."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


def read_line_json(process, what):
    """The next line a child prints, as JSON."""
    line = process.stdout.readline()
    if not line:
        raise Failure(f"{what} ended with {process.wait()}")
    return json.loads(line)


def stop(process):
    """Ends a child that this program started."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def disk_usage(*roots):
    """Bytes that files below the roots take on disk; a file with several names counts once."""
    seen, total = set(), 0
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                info = os.lstat(os.path.join(folder, name))
                if (info.st_dev, info.st_ino) not in seen:
                    seen.add((info.st_dev, info.st_ino))
                    total += info.st_blocks * 512
    return total
