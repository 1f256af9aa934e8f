import socket

import pytest

from ssm_plugin.net.lookup import _interleaved, addresses
from ssm_plugin.net.timing import Deadline

V4, V6 = socket.AF_INET, socket.AF_INET6


def infos(*families):
    return [(family, socket.SOCK_STREAM, 6, "", (str(n), 1)) for n, family in enumerate(families)]


@pytest.mark.parametrize(
    "families, order",
    [
        ([V6, V6, V4, V4], "0213"),
        ([V6, V6, V6, V4], "0312"),
        ([V4, V6, V6], "012"),
        ([V4, V4], "01"),
        ([V4], "0"),
    ],
)
def test_families_take_turns_in_the_order_of_the_resolver(families, order):
    assert "".join(info[4][0] for info in _interleaved(infos(*families))) == order


def test_an_address_needs_no_lookup():
    deadline = Deadline(-1, "connecting")
    assert addresses("127.0.0.1", 80, "the host", deadline)[0][4] == ("127.0.0.1", 80)


def test_a_lookup_gives_addresses_to_connect_to():
    found = addresses("localhost", 80, "the host", Deadline(10, "connecting"))
    assert {info[4][0] for info in found} & {"127.0.0.1", "::1"}
