"""The figures as a table for people, as Markdown for docs/performance.md, and as JSON for everything else."""

import os
import platform
import statistics
import subprocess

import measure


def machine(work):
    """What the figures depend on; `work` is where the files lie."""
    return {
        "file_system": version("stat", "--file-system", "--format=%T", work),
        "processor": first_match("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load_before": os.getloadavg()[0],
    }


def first_match(path, key):
    with open(path) as lines:
        for line in lines:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return "unknown"


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def version(*command):
    """The first line that a program says about itself."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    lines = (said.stdout + said.stderr).strip().splitlines()
    return lines[0] if lines else None


def summarise(contender, samples, size):
    """The median of a contender's samples."""
    middle = statistics.median(sample.seconds for sample in samples)
    gib = size / measure.GIB
    median = lambda pick: statistics.median(map(pick, samples)) / gib  # noqa: E731
    facts = samples[-1].facts
    return {
        "name": contender.name,
        "title": contender.title,
        "seconds": middle,
        "seconds_all": [sample.seconds for sample in samples],
        "mb_per_second": size / 1e6 / middle,
        "cpu_serve_per_gib": median(lambda sample: sample.cpu_serve),
        "cpu_fetch_per_gib": median(lambda sample: sample.cpu_fetch),
        # Includes what the kernel does in nobody's name, and whatever else the machine was at.
        "cpu_machine_per_gib": median(lambda sample: sample.cpu_machine),
        "verifies": contender.verifies,
        "encrypts": contender.encrypts,
        "facts": facts,
    }


def yes(value):
    return "yes" if value else "no"


def fetch_rows(results):
    base = next((row for row in results if row["name"] == "tcp"), None)
    rows = []
    for row in results:
        against = f"{base['seconds'] / row['seconds']:.2f}" if base else "–"
        rows.append([
            row["title"], f"{row['mb_per_second']:,.0f}", against,
            f"{row['cpu_serve_per_gib']:.2f} + {row['cpu_fetch_per_gib']:.2f}",
            yes(row["verifies"]), yes(row["encrypts"]),
        ])
    return ["what", "MB/s", "× plain TCP", "CPU s/GiB, serving + fetching", "verifies", "encrypts"], rows


def publish_rows(results):
    rows = [
        [row["title"], f"{row['mb_per_second']:,.0f}", f"{row['cpu_fetch_per_gib']:.2f}"]
        for row in results
    ]
    return ["what", "MB/s", "CPU s/GiB"], rows


def ratios(results, ours, others):
    """One sentence for each of ours: how fast it is compared with each of the others."""
    by_name = {row["name"]: row for row in results}
    sentences = []
    for name in ours:
        if name not in by_name:
            continue
        mine = by_name[name]
        parts = [
            f"{by_name[other]['seconds'] / mine['seconds']:.2f} × {plain(by_name[other])}"
            for other in others
            if other in by_name
        ]
        if parts:
            sentences.append(f"{plain(mine)} = " + " = ".join(parts))
    return sentences


def plain(row):
    return row["title"].replace("`", "").replace("*", "")


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def text(header, rows):
    rows = [[cell.replace("`", "").replace("*", "") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    line = lambda row: "  ".join(  # noqa: E731
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths))
    )
    return "\n".join(line(row) for row in [header, *rows])


def about(run):
    """One paragraph on how the figures came to be."""
    machine = run["machine"]
    return (
        f"{run['size_bytes'] / measure.GIB:g} GiB of random data in page cache, loopback, source and target on one disk "
        f"({machine['file_system']}), "
        f"medians of {run['repeat']}. {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_bytes'] / measure.GIB:.0f} GiB of memory, Linux {machine['kernel']}, "
        f"TCP congestion control {machine['congestion_control']}, {run['date']}."
    )


def disk(results, size):
    """What publishing and fetching leave on disk."""
    lines = []
    for row in results:
        if "disk_bytes" in row["facts"]:
            share = row["facts"]["disk_bytes"] / size
            peak = row["facts"]["memory_peak_bytes"] / (1 << 20)
            lines.append(
                f"{plain(row)}: {share:.3f} of the file's size on disk besides the source, "
                f"at most {peak:.0f} MiB resident"
            )
        if len(row["facts"].get("sources", [])) > 1:
            shares = ", ".join(f"{part / size:.0%}" for part in row["facts"]["sources"])
            lines.append(f"{plain(row)}: shares of the sources {shares}")
    return lines
