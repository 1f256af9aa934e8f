"""The short form of ``scripts/prove_copies --size``."""

import contextlib

from scripts.proving import copy_sizes


def test_the_copies_of_the_table_are_equal(tmp_path):
    with contextlib.closing(copy_sizes.lines(str(tmp_path), 1)) as lines:
        next(lines)
        rows = [next(lines) for _ in range(3)]
    assert [row.split()[-1] for row in rows] == ["equal"] * 3, rows
    assert list(tmp_path.iterdir()) == []
