"""Who starts the drop-in, how, and what they read from its stdout. The forms are in their sources:

=============  =======================================================================
AWS CLI        awscli/customizations/sessionmanager.py, awscli/customizations/ecs/executecommand.py
Copilot        aws/copilot-cli, internal/pkg/exec/ssm_plugin.go
Packer         hashicorp/packer-plugin-amazon, builder/common/ssm/session.go
ecsta          fujiwara/ecsta, exec.go and portforward.go
gossm          gjbae1212/gossm, cmd/fwd.go
aws-gate       xen0l/aws-gate, aws_gate/session_common.py
VS Code        aws/aws-toolkit-vscode, packages/core/resources/ec2_connect
JetBrains      aws/aws-toolkit-jetbrains, SsmCommandLineFactory of its Gateway
Ansible        ansible-collections/community.aws, plugins/connection/aws_ssm.py
=============  =======================================================================
"""

import json
import re
import signal
import socket
from typing import NamedTuple

import pytest

from tests.support.drop_in import REGION, VARIABLE, DropIn
from tests.support.echo import EchoServer
from tests.support.service import local_service

from .test_dropin import read_until

FORWARDING = "AWS-StartPortForwardingSession"
SSH = "AWS-StartSSHSession"
ECS_TARGET = "ecs:cluster_task_runtime"

# What they read, by what they asked for. A shell's first line is typed by the launcher.
SHELL = re.compile(rb"\nStarting session with SessionId: (\S+)\n.*hello", re.DOTALL)
PORT = re.compile(
    rb"\nStarting session with SessionId: (\S+)\nPort ([0-9]+) opened for sessionId \1\.\n"
    rb"Waiting for connections\.\.\.\n"
)
STREAM = re.compile(rb"hello\n")
TYPED = {SHELL: b"echo hel''lo; exit\n", PORT: b"", STREAM: b"hello\n"}


class Launcher(NamedTuple):
    """``arguments`` are words, or ``{response}``, ``{lower}`` (its keys in lower case),
    ``{id=token}`` (likewise, and the token in place of the id), ``{request}``, ``{target}`` (the
    request's target alone), ``{url}`` and ``{endpoint}``. ``document`` is what the session was
    started with. A tunnel or a stream is ended by SIGINT."""

    name: str
    arguments: str
    document: str
    reads: "re.Pattern"
    target: str = "i-demo"


SSM = "REGION StartSession - {request} {endpoint}"

LAUNCHERS = [
    Launcher("aws-ssm-shell", "VARIABLE " + SSM, "", SHELL),
    Launcher("aws-ssm-port", "VARIABLE " + SSM, FORWARDING, PORT),
    Launcher("aws-ssm-ssh", "VARIABLE " + SSM, SSH, STREAM),
    Launcher("aws-ssm-old-shell", "{response} " + SSM, "", SHELL),
    Launcher("aws-ssm-old-port", "{response} " + SSM, FORWARDING, PORT),
    Launcher(
        "aws-ecs",
        "{lower} REGION StartSession - {target} https://ecs.us-east-1.amazonaws.com",
        "",
        SHELL,
        ECS_TARGET,
    ),
    Launcher("copilot", "{response} REGION StartSession", "", SHELL),
    Launcher("packer", "{response} REGION StartSession - {request} {url}", FORWARDING, PORT),
    Launcher(
        "ecsta-exec",
        "{response} REGION StartSession - {target} https://ecs-a-1.us-east-1.amazonaws.com/",
        "",
        SHELL,
        ECS_TARGET,
    ),
    Launcher(
        "ecsta-portforward",
        "{response} REGION StartSession - {target} https://ecs-a-1.us-east-1.amazonaws.com/",
        FORWARDING,
        PORT,
        ECS_TARGET,
    ),
    Launcher("gossm", "{response} REGION StartSession default {request}", FORWARDING, PORT),
    Launcher("aws-gate", "{response} REGION StartSession default {request} {endpoint}", "", SHELL),
    Launcher("vs-code", "{id=token} REGION StartSession", SSH, STREAM),
    Launcher("jetbrains", "{lower} REGION StartSession", SSH, STREAM),
    Launcher("ansible", "{response} REGION StartSession - {target} {endpoint}", "", SHELL),
    Launcher("boto3-shell", "{response} REGION StartSession", "", SHELL),
    Launcher("boto3-port", "{response} REGION StartSession", FORWARDING, PORT),
]
NO_PROFILE = ("gossm", "aws-gate")  # pass a profile that need not exist


@pytest.fixture(scope="module")
def service():
    with local_service() as service, EchoServer() as target:
        service.target = target
        yield service


def arguments(launcher, started, endpoint):
    response = dict(started.response, ResponseMetadata={"HTTPStatusCode": 200})
    lower = {name[0].lower() + name[1:]: value for name, value in started.response.items()}
    request = dict(started.request, Target=launcher.target)
    words = {
        "VARIABLE": VARIABLE,
        "REGION": REGION,
        "-": "",
        "{response}": json.dumps(response),
        "{lower}": json.dumps(lower),
        "{id=token}": json.dumps(dict(lower, sessionId=lower["tokenValue"])),
        "{request}": json.dumps(request),
        "{target}": json.dumps({"Target": launcher.target}),
        "{url}": started.response["StreamUrl"],
        "{endpoint}": endpoint,
    }
    return [words.get(word, word) for word in launcher.arguments.split()]


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda one: one.name)
def test_each_launcher_reads_what_it_waits_for_and_the_status_0(tmp_path, service, launcher):
    drop_in = DropIn(tmp_path, service)
    values = {"portNumber": [str(service.target.port)], "localPortNumber": ["0"]}
    started = drop_in.start(launcher.document, values if launcher.document else {})
    # Also where the endpoint was not SSM's, it is SSM that hears of the end.
    environ = drop_in.variables(started, AWS_ENDPOINT_URL_SSM=service.endpoint_url)
    argv = drop_in.program + arguments(launcher, started, service.endpoint_url)
    with drop_in.spawn(argv, environ) as process:
        process.stdin.write(TYPED[launcher.reads])
        process.stdin.flush()
        said = b""
        while not launcher.reads.search(said):
            said += read_until(process.stdout, b"\n")
        found = launcher.reads.search(said)
        if launcher.reads is PORT:
            with socket.create_connection(("127.0.0.1", int(found.group(2))), 15) as connection:
                connection.sendall(b"there and back")
                assert connection.recv(14) == b"there and back"
        if launcher.reads is not SHELL:
            process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=40)
    said += stdout
    assert process.returncode == 0
    if launcher.reads is STREAM:
        assert said == b"hello\n"
        said = stderr
    else:
        assert found.group(1).decode() == started.session_id
        warning = b"the AWS profile 'default' was not found; going on"
        assert (warning in stderr) == (launcher.name in NO_PROFILE)
        assert stderr.count(b"\n") == (launcher.name in NO_PROFILE)
    end = b"\n\nExiting session with sessionId: %s.\n\n" % started.session_id.encode()
    assert said.endswith(end)
    assert said.count(b"Starting session") == 1
    drop_in.wait_until_over()
