"""Figures as a table, as JSON, and as a plot."""

import json
import os
import platform
import re
import statistics
import sys

# Characters.
NAMES = 62
COLUMN = 12


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
    """From ``{subject: {name: [figure of each run]}}``, ours first, to one record for each name.

    ``ratios`` are ours by the peers', medians of the ratios of runs that followed each other.
    """
    ours = next(iter(results.values()))
    records = []
    for name, figures in ours.items():
        runs = {who: found[name] for who, found in results.items() if name in found}
        record = {"name": name, "runs": runs, "ratios": {}}
        record["medians"] = {who: statistics.median(numbers) for who, numbers in runs.items()}
        for who, others in runs.items():
            ratios = [mine / theirs for mine, theirs in zip(figures, others) if theirs]
            if others is not figures and ratios:
                record["ratios"][who] = statistics.median(ratios)
        records.append(record)
    return records


def heading(names):
    ours, *peers = names
    return _line("", [ours] + [word for peer in peers for word in (peer[:COLUMN - 2], "ratio")])


def rows(records, names):
    ours, *peers = names
    for record in records:
        medians, ratios = record["medians"], record["ratios"]
        figures = [medians[ours]]
        for peer in peers:
            figures += [medians.get(peer), ratios.get(peer)]
        yield _line(record["name"], map(_number, figures))


def write_json(path, description, records):
    with open(path, "w") as file:
        json.dump({"machine": description, "figures": records}, file, indent=1)
        file.write("\n")


def plot(path, records):
    """CPU over the pace of a node, and throughput over round-trip time. Needs matplotlib; says so
    where it is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("benchmark: a plot needs matplotlib: pip install matplotlib")
    paced, far = Figure(figsize=(12, 5)).subplots(1, 2)
    _draw(paced, records, "pace (.*) ms, CPU ms per MiB", "%s")
    paced.set_xlabel("time between two messages of 1 KiB, ms")
    paced.set_ylabel("CPU, ms per MiB")
    for direction in ("down", "up"):
        _draw(far, records, "stdio %s, RTT (.*) ms, MiB/s" % direction, "%%s, %s" % direction)
    far.set_xlabel("round-trip time, ms")
    far.set_ylabel("MiB/s")
    far.set_yscale("log")
    for axes in (paced, far):
        axes.legend()
    far.figure.savefig(path)


def _draw(axes, records, pattern, label):
    """One line for each client: the medians of the records whose name gives the abscissa."""
    found = [(re.match(pattern, record["name"]), record) for record in records]
    found = [(float(match.group(1)), record) for match, record in found if match]
    for who in dict.fromkeys(who for _, record in found for who in record["runs"]):
        points = [(x, record["medians"][who]) for x, record in found if who in record["runs"]]
        axes.plot(*zip(*points), marker="o", label=label % who)


def _line(name, words):
    return (name.ljust(NAMES) + "".join(word.rjust(COLUMN) for word in words)).rstrip()


def _number(value):
    if value is None:
        return ""
    return "%.*f" % (2 if value < 10 else 1 if value < 100 else 0, value)
