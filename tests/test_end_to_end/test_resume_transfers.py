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


@pytest.mark.parametrize("kind", ["stdio-up", "mux-up", "stdio-down"])
def test_a_transfer_gets_on_over_connections_that_all_break_after_sixty_messages(kind):
    transfer = Transfer(kind, 256 * 1024, kills=0, seed=1, faults="drop-every=60")
    transfer.run(60)
    assert transfer.is_equal, str(transfer)
    assert 256 // 60 <= transfer.connections < 256 // 2
