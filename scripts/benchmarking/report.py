"""Figures as a table, as JSON, and as a plot."""

import json
import os
import platform
import re
import statistics
import sys


def machine():
    """What the figures depend on."""
    model = ""
    try:
        with open("/proc/cpuinfo") as file:
            model = re.search(r"model name\s*:\s*(.*)", file.read()).group(1)
    except (OSError, AttributeError):
        model = platform.processor()
    return {
        "system": "%s %s" % (platform.system(), platform.release()),
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load average": list(os.getloadavg()),
    }


def summary(results):
    """From ``{subject: {name: [figure of each run]}}`` to one record for each name.

    ``ratio`` is ours by the peer's, the median of the ratios of runs that followed each other.
    """
    ours, *peers = results.values()
    records = []
    for name, figures in ours.items():
        record = {"name": name, "ours": statistics.median(figures), "runs": figures}
        others = peers[0].get(name) if peers else None
        if others:
            record["peer"] = statistics.median(others)
            record["peer runs"] = others
            ratios = [mine / theirs for mine, theirs in zip(figures, others) if theirs]
            record["ratio"] = statistics.median(ratios) if ratios else None
        records.append(record)
    return records


def table(records):
    with_peer = any("peer" in record for record in records)
    width = max(len(record["name"]) for record in records)
    lines = []
    if with_peer:
        lines.append("%-*s %10s %10s %7s" % (width, "", "ours", "peer", "ratio"))
    for record in records:
        line = "%-*s %s" % (width, record["name"], _number(record["ours"], 10))
        if with_peer:
            line += " " + _number(record.get("peer"), 10) + " " + _number(record.get("ratio"), 7)
        lines.append(line.rstrip())
    return "\n".join(lines)


def write_json(path, description, records):
    with open(path, "w") as file:
        json.dump({"machine": description, "figures": records}, file, indent=1)
        file.write("\n")


def plot(path, records):
    """Throughput over round-trip time. Needs matplotlib; says so where it is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("benchmark: a plot needs matplotlib: pip install matplotlib")
    axes = Figure().subplots()
    for who in ("ours", "peer"):
        for direction in ("down", "up"):
            points = []
            for record in records:
                found = re.match("stdio %s, RTT (.*) ms, MiB/s" % direction, record["name"])
                if found and who in record:
                    points.append((int(found.group(1)), record[who]))
            if points:
                axes.plot(*zip(*points), marker="o", label="%s, %s" % (who, direction))
    axes.set_xlabel("round-trip time, ms")
    axes.set_ylabel("MiB/s")
    axes.set_yscale("log")
    axes.legend()
    axes.figure.savefig(path)


def _number(value, width):
    if value is None:
        return " " * width
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return "%*.*f" % (width, digits, value)
