"""Why a session with a container cannot be: each reason provoked, with its line; the doctor; shell;
the real AWS CLI."""

import subprocess
import sys

import pytest

from ssm_plugin.loopback.ecs_api import LocalContainer, LocalTask
from tests.support.commands import Cli
from tests.support.drop_in import DropIn, with_built_file
from tests.support.pty import PtyProcess
from tests.support.service import local_service

WEB = "ecs:demo/web"
ONE = "1" * 32

REASONS = [
    pytest.param(
        WEB, LocalTask(ONE, is_enabled=False),
        "execute-command is not enabled for the task %s; enable it by" % ONE, id="not enabled",
    ),
    pytest.param(
        WEB,
        LocalTask(
            ONE,
            containers=(LocalContainer("web", agent_status="STOPPED", agent_reason="it crashed"),),
        ),
        "agent in the container web of the task %s is STOPPED: it crashed" % ONE,
        id="agent stopped",
    ),
    pytest.param(
        "ecs:demo/" + ONE, LocalTask(ONE, status="STOPPED", stopped_reason="Scaling activity"),
        "the task %s is STOPPED (Scaling activity)" % ONE, id="task stopped",
    ),
    pytest.param(
        WEB, LocalTask(ONE, status="STOPPED"), "has no running task", id="no task",
    ),
    pytest.param(
        "ecs:demo/" + "2" * 32, LocalTask(ONE), "the cluster demo has no task 222", id="unknown",
    ),
    pytest.param(
        WEB + "/app", LocalTask(ONE), "its task has no container app, but web", id="container",
    ),
]


@pytest.fixture
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def cli(service, tmp_path):
    return Cli(tmp_path, service)


@pytest.mark.parametrize("target, task, line", REASONS)
def test_the_reason_is_one_line(cli, service, target, task, line):
    service.ecs.tasks[:] = [task]
    status, out, errors = cli.run("exec", target, "--", "true")
    assert status != 0 and out == b"" and errors.count(b"\n") == 1
    assert line in errors.decode()


@pytest.mark.parametrize("target, task, line", REASONS)
def test_the_doctor_says_the_same(cli, service, target, task, line):
    service.ecs.tasks[:] = [task]
    status, out, errors = cli.run("doctor", target)
    assert status == 1
    assert line in " ".join(out.decode().split())


def test_a_role_without_ssmmessages_is_thought_of(cli, service):
    cut_off = LocalContainer("web", is_connected=False)
    service.ecs.tasks[:] = [LocalTask(ONE, containers=(cut_off,))]
    status, out, errors = cli.run("exec", WEB, "--", "true")
    assert (status, out, errors.count(b"\n")) == (255, b"", 1)
    assert b"ecs:ExecuteCommand on ecs:demo/%s/web failed" % ONE.encode() in errors
    assert b"the task's role allows ssmmessages:CreateControlChannel" in errors


def test_the_doctor_thinks_of_the_role_where_the_agent_is_not_connected(tmp_path):
    with local_service(targets=()) as service:
        status, out, errors = Cli(tmp_path, service).run("doctor", WEB)
    assert status == 1
    text = " ".join(out.decode().split())
    assert "/web is not connected for sessions (notconnected)" in text
    assert "check that the task's role allows ssmmessages:CreateControlChannel" in text


def test_on_a_terminal_one_of_several_is_chosen(cli, service):
    tasks = [LocalTask(digit * 32, started_at=float(digit)) for digit in "12"]
    service.ecs.tasks[:] = tasks
    with PtyProcess(cli.argv("exec", WEB, "--", "echo", "it-ran"), env=cli.environ) as program:
        program.expect(b"2 containers are ecs:demo/web")
        program.send(b"2\r")
        program.expect(b"it-ran")
        assert program.wait() == 0
    session = service.session()
    assert session.request.target.startswith("ecs:demo_" + "1" * 32)


def test_a_container_that_can_be_reached_is_in_order(cli):
    status, out, errors = cli.run("doctor", WEB)
    assert status == 0, out
    assert "execute-command is enabled" in " ".join(out.decode().split())


def test_a_shell_on_a_terminal_is_the_containers_own(cli):
    with PtyProcess(cli.argv("shell", WEB), env=cli.environ) as program:
        program.expect(b"Starting session with SessionId")
        program.send(b"echo is-$((6*7)); tty; exit 0\r")
        program.expect(b"is-42")
        program.expect(b"/dev/pts/")
        assert program.wait() == 0


@pytest.mark.parametrize(
    "word", ["ecs:demo", "ecs:", "ecs:my_app", "ecs:demo/", "ecs:/web", "ecs:a/b/c/d"]
)
def test_half_a_target_is_told_how_it_is_written(cli, word):
    status, out, errors = cli.run("exec", word, "--", "true")
    assert status == 255 and b"is not written ecs:CLUSTER/SERVICE[/CONTAINER]" in errors


@pytest.mark.e2e
def test_the_aws_cli_executes_a_command_in_the_demos_service(tmp_path, service, zipapp, aws_cli):
    drop_in = DropIn(tmp_path)
    environ = with_built_file(drop_in.environ, zipapp)
    task = service.ecs.tasks[0].task_id
    argv = [aws_cli, "ecs", "execute-command", "--cluster", "demo", "--task", task, "--interactive"]
    argv += ["--container", "web", "--command", "sh -c 'echo ready; read x; echo got-$x'"]
    argv += ["--region", "us-east-1", "--endpoint-url", service.endpoint_url]
    with PtyProcess(argv, env=environ) as program:
        program.expect(b"The Session Manager plugin was installed successfully.")
        program.expect(b"Starting session with SessionId: loopback-")
        program.expect(b"ready")
        program.send(b"it\r")
        program.expect(b"got-it")
        assert program.wait() == 0
        assert program.attributes() == program.first_attributes
    assert service.open_sessions() == []


def test_a_program_around_us_reads_of_the_choice_in_its_log_alone(cli, service):
    service.ecs.tasks[:] = [LocalTask(digit * 32, started_at=float(digit)) for digit in "12"]
    program = (
        "import logging, ssm_plugin, sys\n"
        "if sys.argv[1:]: logging.basicConfig(level='INFO', format='%(name)s: %(message)s')\n"
        "assert ssm_plugin.run('ecs:demo/web', ['true']).status == 0\n"
    )
    taken = b"means 2 containers: taking ecs:demo/%s/web" % (b"2" * 32)
    for words, expected in ([], False), (["logged"], True):
        with subprocess.Popen(
            [sys.executable, "-c", program] + words, env=cli.environ, stderr=subprocess.PIPE
        ) as process:
            errors = process.communicate(timeout=30)[1]
        assert process.returncode == 0, errors
        assert (taken in errors, errors != b"") == (expected, expected)
