"""Much data over connections that are killed, in short. scripts/prove_transfers carries 100 MiB."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.transfers import KINDS, Transfer


@pytest.fixture(scope="module")
def transfers():
    """All at the same time: most of each is waiting for the next attempt."""
    transfers = {kind: Transfer(kind, 512 * 1024, kills=4, seed=1) for kind in KINDS}
    with ThreadPoolExecutor(len(KINDS)) as pool:
        list(pool.map(lambda transfer: transfer.run(60), transfers.values()))
    return transfers


@pytest.mark.parametrize("kind", KINDS)
def test_a_transfer_survives_the_death_of_its_connections(transfers, kind):
    assert transfers[kind].is_equal, str(transfers[kind])
    assert transfers[kind].killed == 4
