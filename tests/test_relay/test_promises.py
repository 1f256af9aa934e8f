"""What scripts/prove_relay proves at full size, in seconds."""

import pytest

from scripts.proving import relays

pytestmark = pytest.mark.usefixtures("quick_python")


@pytest.mark.volume
def test_faults_on_both_sessions_lose_and_double_nothing():
    results, failed = relays.play_all(relays.play_faults, range(8))
    assert failed == [] and len(results) == 8


@pytest.mark.volume
def test_kills_of_either_session_and_of_the_relay_are_told_and_survived():
    results, failed = relays.play_all(relays.play_kill, range(6))
    assert failed == [] and len(set(results)) == 3
