"""What local ends are called, and who can reach them."""

import pytest

from ssm_plugin.forwarding.reports import LocalAddress, local_address
from ssm_plugin.net.local_end import bind_tcp, bind_unix, exposure_warnings


def test_an_address_is_written_as_one_field():
    assert str(LocalAddress("127.0.0.1", 80)) == "127.0.0.1:80"
    assert str(LocalAddress("::1", 80)) == "[::1]:80"


def test_loopback_is_not_exposed():
    with bind_tcp() as local_end:
        assert local_address(local_end) == ("127.0.0.1", local_end.port)
        assert exposure_warnings(local_end) == []


@pytest.mark.parametrize("host", ["0.0.0.0"])
def test_any_other_address_is(host):
    with bind_tcp(0, host) as local_end:
        (line,) = exposure_warnings(local_end)
        assert "whoever can reach %s port %d of" % (host, local_end.port) in line


def test_a_unix_socket_is_its_path(tmp_path):
    path = str(tmp_path / "socket")
    with bind_unix(path) as local_end:
        assert local_address(local_end) == path
        assert exposure_warnings(local_end) == []
