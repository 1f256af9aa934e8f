"""Adds up JUnit result files, and prints ``N passed, N failed, N skipped`` for all of them.

As a program: ``python3 tests/support/totals.py RESULTS.xml ...``.
"""

import sys
from typing import Iterable
from xml.etree import ElementTree


def totals(paths: Iterable[str]) -> str:
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for path in paths:
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            for name in counts:
                counts[name] += int(suite.get(name, "0"))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    return "%d passed, %d failed, %d skipped" % (passed, failed, counts["skipped"])


if __name__ == "__main__":
    print(totals(sys.argv[1:]))
