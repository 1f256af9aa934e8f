"""The short form of ``scripts/prove_inputs``: odd input is read, or it is one of our errors."""

import os
import random
import sys
import threading

import pytest

from tests.test_fuzz.inputs import Source
from tests.test_fuzz.readers import READERS, run

# More for a night: SSM_FUZZ_CASES=20000 scripts/test tests/test_attacks/test_odd_input.py
# Where all tests are repeated on the oldest Python, a third of them is tried once more.
CASES = int(os.environ.get("SSM_FUZZ_CASES", "300" if sys.version_info >= (3, 9) else "100"))


@pytest.mark.parametrize("name", sorted(READERS))
def test_odd_input_is_read_or_refused_in_good_time(name):
    outcome = run(name, CASES)
    assert not outcome.found, "\n".join(
        "scripts/prove_inputs 1 --seed %d --reader %s\n%s" % (one.seed, name, one.what)
        for one in outcome.found[:3]
    )
    assert outcome.cases == CASES


def test_a_seed_always_draws_the_same():
    one, other = (Source(random.Random(5)) for _ in range(2))
    assert one.json({"a": [1]}) == other.json({"a": [1]})
    assert one.damaged(b"abcdef") == other.damaged(b"abcdef")


def test_a_mistake_of_a_reader_is_found():
    def mistaken(source):
        raise ValueError("a mistake")

    outcome = run("mistaken", 2, reader=mistaken)
    assert [one.seed for one in outcome.found] == [1, 2]
    assert "a mistake" in outcome.found[0].what


def test_a_reader_that_hangs_is_found():
    def hanging(source):
        while True:
            pass

    outcome = run("hanging", 1, reader=hanging, seconds=0.1)
    assert "it takes longer than" in outcome.found[0].what


def test_a_reader_that_waits_for_ever_is_found():
    outcome = run("waiting", 1, reader=lambda source: threading.Event().wait(), waiting=0.1)
    assert "it takes longer than" in outcome.found[0].what
