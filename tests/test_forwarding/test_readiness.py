"""How other programs learn that tunnels are ready."""

import os
import resource
import socket

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.forwarding.readiness import ReadyFile, Systemd


def test_the_file_exists_while_it_is_true(tmp_path):
    path = tmp_path / "ready"
    path.write_text("of yesterday")
    ready = ReadyFile(str(path))
    ready.prepare()
    assert not path.exists()
    ready.write(["127.0.0.1:1", "/run/x"])
    assert path.read_text() == "127.0.0.1:1\n/run/x\n"
    assert os.listdir(str(tmp_path)) == ["ready"]
    ready.remove()
    ready.remove()
    assert not path.exists()


def test_somebody_may_have_removed_it_before(tmp_path):
    ready = ReadyFile(str(tmp_path / "ready"))
    ready.write([])
    (tmp_path / "ready").unlink()
    ready.remove()
    assert os.listdir(str(tmp_path)) == []


def test_one_that_another_program_has_put_there_stays(tmp_path):
    path = tmp_path / "ready"
    first, second = ReadyFile(str(path)), ReadyFile(str(path))
    first.write(["127.0.0.1:1"])
    second.write(["127.0.0.1:2"])
    first.remove()
    assert path.read_text() == "127.0.0.1:2\n"
    second.remove()
    assert os.listdir(str(tmp_path)) == []


def test_nor_does_one_go_that_got_the_same_number_later(tmp_path):
    path = tmp_path / "ready"
    ready = ReadyFile(str(path))
    ready.write(["127.0.0.1:1"])
    os.utime(str(path), (1, 1))
    ready.remove()
    assert path.exists()


def test_a_full_disk_is_told_by_the_files_name_and_leaves_no_piece(tmp_path):
    ready = ReadyFile(str(tmp_path / "ready"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(LocalError) as caught:
            ready.write(["127.0.0.1:1"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == "cannot write the ready file %s: File too large" % (
        tmp_path / "ready"
    )
    assert os.listdir(str(tmp_path)) == []


def test_without_a_path_nothing_happens():
    ready = ReadyFile(None)
    ready.prepare()
    ready.write(["x"])
    ready.remove()


def test_where_it_cannot_be_is_told_at_once(tmp_path):
    with pytest.raises(LocalError, match="cannot write the ready file .*: check its directory"):
        ReadyFile(str(tmp_path / "no" / "ready")).prepare()
    with pytest.raises(LocalError, match="cannot write the ready file"):
        ReadyFile(str(tmp_path)).prepare()
    with pytest.raises(LocalError, match="No such file or directory"):
        ReadyFile(str(tmp_path / "no" / "ready")).write([])


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        yield sock


def test_the_service_manager_hears_of_it(manager, tmp_path):
    manager.bind(str(tmp_path / "notify"))
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    systemd.ready("1 of 1")
    assert manager.recv(1000) == b"READY=1\nSTATUS=1 of 1"
    systemd.status("0 of 1")
    assert manager.recv(1000) == b"STATUS=0 of 1"
    systemd.stopping()
    assert manager.recv(1000) == b"STOPPING=1"


def test_its_name_may_be_abstract(manager):
    manager.bind("\0ssm-plugin-test-%d" % os.getpid())
    Systemd({"NOTIFY_SOCKET": "@ssm-plugin-test-%d" % os.getpid()}).stopping()
    assert manager.recv(1000) == b"STOPPING=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/no/socket"}])
def test_where_there_is_none_nothing_fails(environ):
    assert Systemd(environ).ready("fine") is None


def test_one_that_does_not_listen_holds_up_nothing(manager, tmp_path):
    manager.bind(str(tmp_path / "notify"))
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    manager.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    systemd._send("x" * 100000)
    for _ in range(3):
        systemd.status("x" * 1000)
    assert manager.recv(200000).startswith((b"x", b"STATUS="))
