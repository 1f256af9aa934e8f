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
    """From ``{subject: {name: [figure of each run]}}``, ours first, to one record for each name:
    ``ours`` and ``peers`` hold medians, ``runs`` all figures.

    ``ratios`` are ours by the peers', medians of the ratios of runs that followed each other.
    """
    (ours, figures_of_ours), *peers = results.items()
    records = []
    for name, figures in figures_of_ours.items():
        record = {"name": name, "ours": statistics.median(figures), "runs": {ours: figures}}
        record.update(peers={}, ratios={})
        for peer, figures_of_peer in peers:
            others = figures_of_peer.get(name)
            if others:
                record["runs"][peer] = others
                record["peers"][peer] = statistics.median(others)
            ratios = [mine / theirs for mine, theirs in zip(figures, others or ()) if theirs]
            if ratios:
                record["ratios"][peer] = statistics.median(ratios)
        records.append(record)
    return records


def table(records):
    peers = list(dict.fromkeys(peer for record in records for peer in record["peers"]))
    width = max(len(record["name"]) for record in records)
    columns = max([10] + [len(peer) for peer in peers])
    lines = []
    if peers:
        heads = "".join(" %*s %7s" % (columns, peer, "ratio") for peer in peers)
        lines.append("%-*s %10s%s" % (width, "", "ours", heads))
    for record in records:
        line = "%-*s %s" % (width, record["name"], _number(record["ours"], 10))
        for peer in peers:
            line += " " + _number(record["peers"].get(peer), columns)
            line += " " + _number(record["ratios"].get(peer), 7)
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
    for who in dict.fromkeys(who for record in records for who in record["runs"]):
        for direction in ("down", "up"):
            points = []
            for record in records:
                found = re.match("stdio %s, RTT (.*) ms, MiB/s" % direction, record["name"])
                if found and who in record["runs"]:
                    rate = statistics.median(record["runs"][who])
                    points.append((int(found.group(1)), rate))
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
