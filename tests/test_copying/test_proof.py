"""The short form of ``scripts/prove_copies``."""

import pytest

from tests.support.copies_proof import LINES, play, schedule

# All lines; files and trees, up and down, each killed; up at both speeds.
SEEDS = (9, 11, 17, 25, 26)


def test_the_seeds_hit_what_they_are_chosen_for():
    chosen = [schedule(seed, 1000000) for seed in SEEDS]
    assert {one.line for one in chosen} == set(LINES)
    assert len({(one.is_upload, one.is_tree) for one in chosen if one.kills}) == 4
    assert {one.speed for one in chosen if one.is_upload} == {"plain", "fast"}


@pytest.mark.volume
@pytest.mark.parametrize("seed", SEEDS)
def test_a_copy_that_is_killed_on_a_bad_line_is_resumed_and_right(seed, tmp_path):
    outcome = play(schedule(seed, 1000000), tmp_path)
    assert outcome.problem == "", outcome
