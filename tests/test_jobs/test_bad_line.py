"""The short form of scripts/prove_commands."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.commands_proof import FAULTS, Proof, truth
from tests.support.service import local_service


@pytest.mark.volume
def test_every_byte_and_every_status_is_right_over_a_bad_line():
    with local_service(faults=FAULTS) as service, ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(Proof(service, 100000).run, range(20)))
    assert [one for one in outcomes if one.problem] == []
    assert any(one.size for one in outcomes) and not all(one.size for one in outcomes)


@pytest.mark.parametrize("drop_in", [False, True])
@pytest.mark.parametrize("kind", ["loss", "drops", "pause"])
@pytest.mark.volume
def test_no_command_ends_well_with_less_than_all_of_its_output(kind, drop_in):
    pause = 1.0 if kind == "pause" else 0.0
    with local_service() as service, ThreadPoolExecutor(3) as pool:
        told = pool.map(
            lambda seed: truth(service, seed, kind, 200000, drop_in, pause), range(1, 4)
        )
        assert [problem for problem, _ in told if problem] == []
