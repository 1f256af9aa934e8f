"""``aws ecs execute-command``: the plugin without an argument, then lower-case keys in argv."""

import json
import signal

import pytest

from tests.support.drop_in import DropIn
from tests.support.pty import PtyProcess
from tests.support.service import local_service


@pytest.fixture
def service():
    with local_service() as service:
        yield service


def test_its_own_session_is_terminated_by_a_signal(tmp_path, service):
    drop_in = DropIn(tmp_path, service)
    started = drop_in.start("AWS-StartInteractiveCommand", {"command": ["echo ready; sleep 100"]})
    response = {name[0].lower() + name[1:]: text for name, text in started.response.items()}
    argv = drop_in.argv(started, json.dumps(response))
    argv[argv.index(json.dumps(started.request))] = '{"Target": "ecs:ours_01_run-1"}'
    with PtyProcess(argv, env=drop_in.environ) as program:
        program.expect(b"ready")
        program.signal(signal.SIGTERM)
        assert program.wait() == 143
    assert service.open_sessions() == []
