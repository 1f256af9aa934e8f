"""A program that embeds us and ends while its session is open, on each Python of this machine."""

import subprocess

import pytest

from tests.support.commands import Cli
from tests.support.interpreters import interpreters
from tests.support.service import local_service
from tests.test_session.sessions import arguments_of, started_at

SUPPORTED = [path for version, path in interpreters().items() if version >= (3, 6)]

PROGRAM = """
import atexit, sys
sys.path.insert(0, sys.argv[1])
from ssm_plugin.config import Settings
from ssm_plugin.session.environment import make_environment
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
session = Session(
    SessionConfig(*sys.argv[2:]),
    ClientConfig("c-1", SessionType.STANDARD_STREAM),
    environment=make_environment(Settings(), CallableStreams(bytes, bytes), aside=True),
)
atexit.register(lambda: print(session.status.value))
atexit.register(session.terminate_session)
session.execute()
print(session.status.value)
"""


@pytest.mark.parametrize("python", SUPPORTED)
def test_an_exit_handler_ends_the_session_at_the_service_too(python, zipapp, tmp_path):
    with local_service() as service:
        started = arguments_of(started_at(service), service)
        names = ("sessionId", "streamUrl", "tokenValue", "target")
        done = subprocess.run(
            [python, "-c", PROGRAM, str(zipapp)] + [started[name] for name in names],
            env=dict(Cli(tmp_path, service).environ, PYTHONPATH="", PYTHONWARNINGS="error"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=60,
        )
        calls = service.ssm.calls()
        assert service.open_sessions() == []
    assert done.stderr.decode() == ""
    assert done.stdout == b"Connected\nTerminated\n"
    assert calls[-1][0] == "TerminateSession"
