"""``aws ecs execute-command``: the plugin without an argument, then lower-case keys in argv."""

import json
import signal

import pytest

from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.loopback.json_api import JsonApi
from tests.support.drop_in import DropIn, with_built_file
from tests.support.pty import PtyProcess
from tests.support.service import local_service

CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/ours"
TASK = "arn:aws:ecs:eu-west-1:123456789012:task/ours/0123456789abcdef"
INSTALLED = b"The Session Manager plugin was installed successfully."


class EcsApi(JsonApi):
    """ExecuteCommand and DescribeTasks; the container is a session of the service."""

    def __init__(self, service):
        operations = {"ExecuteCommand": self._execute, "DescribeTasks": self._describe}
        super().__init__("ecs", service.signatures, operations)
        self._gateway = service.gateway

    def _execute(self, fields):
        session = self._gateway.start_session(
            StartRequest(
                "ecs:ours_0123456789abcdef_run-1",
                "AWS-StartInteractiveCommand",
                {"command": [fields["command"]]},
                "",
            )
        )
        return {
            "clusterArn": CLUSTER,
            "taskArn": TASK,
            "containerName": fields["container"],
            "interactive": True,
            "session": {
                "sessionId": session.session_id,
                "streamUrl": self._gateway.stream_url(session),
                "tokenValue": session.token,
            },
        }

    def _describe(self, fields):
        container = {"name": "app", "runtimeId": "run-1"}
        return {"tasks": [{"taskArn": TASK, "containers": [container]}], "failures": []}


@pytest.fixture
def service():
    with local_service() as service:
        service.serve_also("AmazonEC2ContainerServiceV20141113", EcsApi(service))
        yield service


@pytest.mark.e2e
def test_the_aws_cli_executes_a_command_in_a_container(tmp_path, service, zipapp, aws_cli):
    drop_in = DropIn(tmp_path)
    environ = with_built_file(drop_in.environ, zipapp)
    argv = [aws_cli, "ecs", "execute-command", "--cluster", "ours", "--task", "0123456789abcdef"]
    argv += ["--container", "app", "--interactive", "--command", "echo ready; read x; echo got-$x"]
    argv += ["--region", "eu-west-1", "--endpoint-url", service.endpoint_url]
    with PtyProcess(argv, env=environ) as program:
        before = program.attributes()
        program.expect(INSTALLED)
        program.expect(b"Starting session with SessionId: loopback-")
        program.expect(b"ready")
        program.send(b"it\r")
        program.expect(b"got-it")
        assert program.wait() == 0
        assert program.attributes() == before
    assert service.open_sessions() == []


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
