"""Uploads through a slow gateway, in short. scripts/prove_gateway plays them in full."""

import pytest

from tests.support.gateway_transfers import KINDS, GatewayTransfer


@pytest.mark.parametrize("kind", KINDS)
def test_an_upload_finds_the_rate_of_a_gateway_that_loses_what_is_too_much(kind):
    transfer = GatewayTransfer(kind, 600000, "gateway=2Mbit:256KiB", rtt=0.02)
    transfer.run(40)
    assert transfer.is_equal
    assert transfer.share >= 0.8, str(transfer)
    assert (transfer.slowest_key or 0.0) <= 1.0, str(transfer)
