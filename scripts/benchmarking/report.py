"""Figures as a table, as JSON, and as a plot."""

import json
import os
import platform
import re
import statistics
import sys

# Characters.
NAMES = 58
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


def _line(name, words):
    return (name.ljust(NAMES) + "".join(word.rjust(COLUMN) for word in words)).rstrip()


def _number(value):
    if value is None:
        return ""
    return "%.*f" % (2 if value < 10 else 1 if value < 100 else 0, value)
