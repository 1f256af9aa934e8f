import errno
import os
import re
import socket
import stat
import subprocess
import sys

import pytest

from ssm_plugin.errors import LocalError, SessionPropertyError
from ssm_plugin.net.local_end import (
    _bind_all,
    bind_local_end,
    bind_tcp,
    bind_unix,
    exposure_warnings,
    names_local_end,
)
from tests.support.ordinary_user import ordinary_user, own_place


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
        return True


def connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    client = socket.socket(family)
    client.settimeout(5)
    try:
        client.connect(address)
    finally:
        client.close()


def test_any_port_is_the_same_on_both_loopback_addresses():
    with bind_tcp() as end:
        names = [sock.getsockname()[:2] for sock in end.sockets]
        expected = [("127.0.0.1", end.port)]
        if has_ipv6():
            expected.append(("::1", end.port))
        assert names == expected
        connect(("127.0.0.1", end.port))
        assert str(end) == "port %d" % end.port
        assert {sock.gettimeout() for sock in end.sockets} == {0.0}


def test_a_port_of_ones_own_choice_can_be_bound_again_after_it_was_closed():
    with bind_tcp() as end:
        port = end.port
    with bind_tcp(port) as again:
        assert again.port == port


@pytest.mark.parametrize("family, host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_in_use_is_named_with_the_reason_and_a_way_out(family, host):
    if family == socket.AF_INET6 and not has_ipv6():
        host, family = "127.0.0.1", socket.AF_INET
    with socket.socket(family) as other:
        other.bind((host, 0))
        other.listen(1)
        port = other.getsockname()[1]
        with pytest.raises(LocalError) as failure:
            bind_tcp(port)
        # Somebody else may have the same port of the other family.
        assert re.match(r"cannot listen on \S+ port %d: it is in use; " % port, str(failure.value))
    with bind_tcp(port):
        pass  # nothing of the failed attempt is left


def test_one_address_can_be_asked_for():
    with bind_tcp(0, "0.0.0.0") as end:
        assert [sock.getsockname()[0] for sock in end.sockets] == ["0.0.0.0"]
    with bind_tcp(0, "localhost") as end:
        assert ("127.0.0.1", end.port) in [sock.getsockname()[:2] for sock in end.sockets]


@pytest.mark.parametrize(
    "host, reason",
    [("192.0.2.1", "does not have that address"), ("no such host", "not an address of")],
)
def test_an_address_of_another_machine_is_an_error(host, reason):
    with pytest.raises(LocalError, match=reason):
        bind_tcp(0, host)


@pytest.mark.may_skip
def test_an_address_of_one_link_keeps_its_zone():
    try:
        with open("/proc/net/if_inet6") as file:
            links = [line.split() for line in file if line.startswith("fe80")]
    except FileNotFoundError:  # another system, or no IPv6
        links = []
    if not links:
        pytest.skip("no interface here has a link-local address")
    number = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(links[0][0]))
    host = "%s%%%s" % (number, links[0][-1])
    with bind_tcp(0, host) as end:
        assert end.addresses == [host]
        assert "reach %s port" % host in exposure_warnings(end)[0]
        socket.create_connection((host, end.port), 5).close()


@pytest.mark.may_skip
@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")
def test_an_address_may_stand_in_brackets():
    """As users write it, since it does so before a port."""
    with bind_tcp(0, "[::1]") as end:
        assert end.sockets[0].getsockname()[0] == "::1"


@pytest.mark.parametrize("host", ["[127.0.0.1]", "[localhost]", "[]", "[::1", "::1]"])
def test_brackets_are_for_addresses_with_colons_alone(host):
    with pytest.raises(LocalError, match="not an address of this machine"):
        bind_tcp(0, host)


def test_the_zone_of_an_address_is_named_where_the_address_is_missing():
    if not has_ipv6():
        pytest.skip("there is no IPv6 here")
    with pytest.raises(LocalError, match="on fe80::1%lo port 0: this machine does not have"):
        bind_tcp(0, "fe80::1%lo")


def test_of_a_name_with_several_addresses_those_that_the_machine_has_will_do():
    """As localhost is ::1 too on machines without IPv6."""
    with _bind_all(("198.51.100.1", "127.0.0.1"), 0) as end:
        assert [sock.getsockname()[0] for sock in end.sockets] == ["127.0.0.1"]
    with pytest.raises(LocalError, match="does not have that address"):
        _bind_all(("198.51.100.1", "203.0.113.1"), 0)


def test_a_unix_socket_belongs_to_its_user_alone(tmp_path):
    path = str(tmp_path / "socket")
    before = os.umask(0)
    try:
        with bind_unix(path) as end:
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert str(end) == "unix socket " + path
            connect(path)
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert not os.path.exists(path)
    end.close()


def test_a_stale_unix_socket_is_replaced(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with bind_unix(path):
        connect(path)


def test_a_unix_socket_that_cannot_be_removed_is_no_error():
    with own_place() as root, ordinary_user():
        with bind_unix(root + "/s"):
            os.chmod(root, 0o500)
        assert os.path.exists(root + "/s")


def test_a_unix_socket_in_use_stays(tmp_path):
    path = str(tmp_path / "socket")
    with bind_unix(path):
        with pytest.raises(LocalError, match="it is in use"):
            bind_unix(path)
        connect(path)


def test_a_unix_socket_with_a_full_backlog_is_in_use(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(path)
        busy.listen(0)
        waiting.connect(path)
        with pytest.raises(LocalError, match="it is in use"):
            bind_unix(path)


def test_a_file_that_is_no_socket_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(LocalError, match="a file that is not a socket is there"):
        bind_unix(str(path))
    assert path.read_text() == "precious"


def test_closing_leaves_a_socket_that_somebody_else_has_put_there(tmp_path):
    path = str(tmp_path / "socket")
    end = bind_unix(path)
    os.rename(path, path + ".moved")
    with bind_unix(path):
        end.close()
        connect(path)


@pytest.mark.parametrize(
    "path, reason",
    [
        ("{}/missing/socket", "the directory does not exist"),
        ("{}/" + "x" * 200, "choose another path"),
        ("{}/nul\0byte", "choose another path"),
    ],
)
def test_a_path_that_cannot_be_is_an_error(tmp_path, path, reason):
    with pytest.raises(LocalError, match=reason):
        bind_unix(path.format(tmp_path))


AS_NOBODY = """
import os, sys
from ssm_plugin.errors import LocalError
from ssm_plugin.net.local_end import bind_tcp, bind_unix
os.setgid(65534); os.setuid(65534)
for bind, where in ((bind_unix, sys.argv[1]), (bind_tcp, 1)):
    try:
        bind(where)
        print("bound")
    except LocalError as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.may_skip
def test_missing_permission_is_named(tmp_path):
    os.chmod(str(tmp_path), 0o755)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    output = subprocess.check_output(
        [sys.executable, "-c", AS_NOBODY, str(tmp_path / "socket")], cwd=root, timeout=20
    ).decode()
    path, port = output.splitlines()
    assert "no permission; choose a path in a directory of your own" in path
    # Some systems let everybody bind low ports.
    assert port == "bound" or "no permission, which ports below 1024 need" in port


def test_the_parameters_of_a_session_say_where_to_listen(tmp_path):
    path = str(tmp_path / "socket")
    with bind_local_end({"localConnectionType": ["unix"], "localUnixSocket": [path]}) as end:
        assert end.path == path
    with bind_tcp() as probe:
        port = probe.port
    with bind_local_end({"localPortNumber": [str(port)], "portNumber": ["80"]}) as end:
        assert end.port == port


@pytest.mark.parametrize("value", [None, "", "0", [], [""], ["0"]])
def test_no_port_number_means_any_port(value):
    with bind_local_end({"localPortNumber": value}) as end:
        assert end.port > 0
    assert not names_local_end({"localPortNumber": value})


def test_parameters_name_a_place_that_could_be_taken():
    assert names_local_end({"localPortNumber": ["5432"]})
    assert names_local_end({"localUnixSocket": "/tmp/x"})
    assert not names_local_end({"portNumber": "22"})


@pytest.mark.parametrize("value", ["x", "-1", "65536", "1.5", "999999"])
def test_a_port_number_that_is_none_is_named(value):
    with pytest.raises(SessionPropertyError, match="localPortNumber"):
        bind_local_end({"localPortNumber": value})


def test_a_unix_connection_needs_a_path():
    with pytest.raises(SessionPropertyError, match="localUnixSocket is missing"):
        bind_local_end({"localConnectionType": "unix"})


def test_an_unusual_failure_is_told_in_the_systems_words():
    from ssm_plugin.net.local_end import _port_error

    text = str(_port_error("127.0.0.1", 5, OSError(errno.ENOBUFS, "x")))
    assert os.strerror(errno.ENOBUFS) in text
