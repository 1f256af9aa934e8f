"""The token is nowhere in ``/proc`` while a drop-in runs, however it was handed over."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.drop_in import VARIABLE, DropIn
from tests.support.service import local_service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def drop_in(tmp_path, service):
    return DropIn(tmp_path, service)


def shown_while_it_runs(drop_in, started, first, environ):
    """The files of /proc in the middle of a session, of the drop-in and of what the shell that it
    opened was given."""
    process = drop_in.spawn(drop_in.argv(started, first), environ=environ)
    with process:
        process.stdin.write(b"echo it' 'runs\n")
        process.stdin.flush()
        said = b""
        while b"it runs" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        folder = Path("/proc/%d" % process.pid)
        shown = {name: (folder / name).read_bytes() for name in ("cmdline", "environ")}
        process.communicate(b"exit\n", timeout=40)
    assert process.returncode == 0
    return shown


def assert_hidden(shown, token):
    assert b"StartSession" in shown["cmdline"] and b"PATH=" in shown["environ"]
    for name, data in shown.items():
        for written in (token, token.replace("/", "\\/")):
            assert written.encode() not in data, name


def test_the_environment_of_a_running_drop_in_does_not_hold_the_token(drop_in):
    started = drop_in.start()
    variables = drop_in.variables(started)
    shown = shown_while_it_runs(drop_in, started, VARIABLE, variables)
    assert_hidden(shown, started.session.token)
    assert started.session_id.encode() in shown["environ"]  # it was there


@pytest.mark.parametrize("escaped", [False, True])
def test_neither_do_its_arguments_where_a_launcher_passes_it_there(drop_in, escaped):
    started = drop_in.start()
    started.session.token = started.response["TokenValue"] = "AAEA/of+no/value/=="
    response = json.dumps(started.response)
    if escaped:  # as PHP and others write it
        response = response.replace("/", "\\/")
    shown = shown_while_it_runs(drop_in, started, response, drop_in.environ)
    assert_hidden(shown, started.session.token)
    assert started.session_id.encode() in shown["cmdline"]  # others find the process by that
    assert b"*" * 8 in shown["cmdline"]


def test_a_program_that_it_starts_does_not_inherit_the_token(drop_in, tmp_path):
    seen = tmp_path / "seen"
    drop_in.home.config(
        "[profile ops]\ncredential_process = sh -c 'env > %s; exit 1'\n" % seen
    )
    started = drop_in.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del drop_in.environ[name]
    drop_in.run(started, b"exit\n", AWS_PROFILE="ops")
    inherited = seen.read_bytes()
    assert b"PATH=" in inherited
    assert VARIABLE.encode() not in inherited and started.session.token.encode() not in inherited
