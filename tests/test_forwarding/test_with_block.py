"""Tunnels for programs that embed us."""

import os
import socket
import stat
import threading

import pytest

import ssm_plugin
from ssm_plugin.errors import ConfigurationError, LocalError, ServiceError, UsageError
from ssm_plugin.forwarding import with_block
from ssm_plugin.forwarding.reports import CONNECTION, READY, Notice, Report
from tests.support.threads import threads_left

NODE = "i-0123456789abcdef0"


@pytest.fixture
def options(service, tmp_path):
    """What ``forward`` needs to know of this service."""
    config = tmp_path / "config.yaml"
    config.write_text("targets: {db1: %s}\n" % NODE)
    return {
        "region": "us-east-1",
        "endpoint_url": service.endpoint_url,
        "config_file": str(config),
    }


@pytest.fixture(autouse=True)
def keys():
    """AWS keys in this process's environment, where the library looks for them."""
    names = {
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": "of-no-value",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def ask(address, data=b"hello", family=socket.AF_INET):
    with socket.socket(family) as sock:
        sock.settimeout(10)
        sock.connect(address)
        sock.sendall(data)
        return sock.recv(100)


def test_the_address_answers_inside_the_block_and_no_more_after_it(service, echo, options):
    with ssm_plugin.forward("db1", echo.port, **options) as address:
        assert address.host == "127.0.0.1" and str(address) == "127.0.0.1:%d" % address.port
        assert ask(address) == b"hello"
        assert service.session().request.target == NODE
    with pytest.raises(ConnectionRefusedError):
        ask(address)
    service.wait_for(lambda: not service.open_sessions())
    assert threads_left((), "tunnel", "local-") == []


@pytest.mark.parametrize("configured", [False, True])
def test_it_may_be_fast(service, echo, options, configured):
    """By argument, or by the configuration."""
    if configured:
        with open(options["config_file"], "a") as file:
            file.write("speed: fast\n")
    else:
        options["speed"] = "fast"
    with ssm_plugin.forward(NODE, echo.port, **options) as address:
        assert ask(address) == b"hello"
        documents = sorted(one.request.document_name for one in service.open_sessions())
        assert documents == ["AWS-StartNonInteractiveCommand", "AWS-StartPortForwardingSession"]
    service.wait_for(lambda: not service.open_sessions())
    assert threads_left((), "tunnel", "local-", "relay") == []


def test_auto_is_plain_where_no_relay_can_be(service, echo, options, caplog):
    service.answer_with("GetDocument", "AccessDeniedException", times=2)
    caplog.set_level("INFO", "ssm_plugin")
    with ssm_plugin.forward(NODE, echo.port, speed="auto", **options) as address:
        assert ask(address) == b"hello"
    assert "is reached at plain speed" in caplog.text


def test_a_speed_that_is_none_is_refused(options):
    with pytest.raises(UsageError, match="'quick' is not a speed"):
        with ssm_plugin.forward(NODE, 80, speed="quick", **options):
            pass


def test_it_stays_up(service, echo, options):
    with ssm_plugin.forward(NODE, echo.port, **options) as address:
        for _ in range(3):
            assert ask(address) == b"hello"
            ended = service.session()
            ended.terminate("maximum duration")
            service.wait_for(lambda ended=ended: service.session() is not ended)
        assert ask(address) == b"hello"


def test_several_at_once_from_several_threads(service, echo, options):
    answers = []

    def one(number):
        with ssm_plugin.forward(NODE, echo.port, **options) as address:
            answers.append(ask(address, b"%d" % number))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert sorted(answers) == [b"0", b"1", b"2", b"3"]


def test_a_unix_socket(service, echo, options, tmp_path):
    path = str(tmp_path / "socket")
    with ssm_plugin.forward(NODE, echo.port, unix_socket=path, **options) as address:
        assert address == path
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
        assert ask(address, family=socket.AF_UNIX) == b"hello"
    assert not (tmp_path / "socket").exists()


def test_a_local_port_of_ones_own_choice(service, echo, options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ssm_plugin.forward(NODE, echo.port, local_port=port, **options) as address:
        assert address == ("127.0.0.1", port)
        sessions = len(service.sessions())
        with pytest.raises(LocalError, match="in use"):
            with ssm_plugin.forward(NODE, echo.port, local_port=port, **options):
                raise AssertionError("not reached")
        assert len(service.sessions()) == sessions


def test_a_host_behind_the_node(service, options):
    with ssm_plugin.forward(NODE, 80, host="db.internal", **options):
        request = service.session().request
    assert request.document_name == "AWS-StartPortForwardingSessionToRemoteHost"
    assert request.parameters == {"portNumber": ["80"], "host": ["db.internal"]}


def test_what_the_service_refuses_is_raised(service, options):
    service.answer_with("StartSession", "AccessDeniedException", "no")
    with pytest.raises(ServiceError, match="ssm:StartSession"):
        with ssm_plugin.forward(NODE, 80, **options):
            raise AssertionError("not reached")


def test_what_the_block_raises_comes_out(service, options):
    with pytest.raises(KeyError):
        with ssm_plugin.forward(NODE, 80, **options):
            raise KeyError("mine")
    service.wait_for(lambda: not service.open_sessions())


@pytest.mark.parametrize(
    "port, more",
    [
        (0, {}),
        (65536, {}),
        ("80", {}),
        (True, {}),
        (80, {"local_port": -1}),
        (80, {"host": "a b"}),
        (80, {"host": ""}),
        (80, {"unix_socket": "/x", "local_port": 5}),
        (80, {"unix_socket": "/x", "bind": "0.0.0.0"}),
    ],
)
def test_what_cannot_be_is_an_error_before_anything_happens(service, options, port, more):
    sessions = len(service.sessions())
    with pytest.raises(UsageError):
        with ssm_plugin.forward(NODE, port, **dict(options, **more)):
            raise AssertionError("not reached")
    assert len(service.sessions()) == sessions


def test_a_configuration_that_is_not_there(options):
    with pytest.raises(ConfigurationError):
        with ssm_plugin.forward(NODE, 80, **dict(options, config_file="/no/such/file")):
            raise AssertionError("not reached")


def test_what_is_told_while_it_is_open_is_not_kept():
    opening = with_block._Opening()
    opening.tell(Report(READY, None))
    opening.wait()
    for number in range(3):
        opening.tell(Report(CONNECTION, None, number=number))
        opening.tell(Notice("a line\n"))
    assert opening._told.empty()
