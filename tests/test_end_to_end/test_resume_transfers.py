"""Much data over connections that are killed, in short. scripts/prove_transfers carries 100 MiB."""

import pytest

from tests.support.transfers import KINDS, Transfer


@pytest.mark.parametrize("kind", KINDS)
def test_a_transfer_survives_the_death_of_its_connections(kind):
    transfer = Transfer(kind, 1024 * 1024, kills=4, seed=1)
    transfer.run(18)
    assert transfer.is_equal, str(transfer)
    assert transfer.killed == 4
