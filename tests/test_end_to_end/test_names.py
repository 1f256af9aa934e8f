"""Nodes by their names, on the way through the whole program, and the chooser on a terminal."""

import json
import os
import socket
import subprocess
import sys

import pytest

import ssm_plugin
from ssm_plugin.errors import UsageError
from ssm_plugin.loopback.nodes import LocalNode, LocalNodes
from tests.support.commands import Cli
from tests.support.nodes import FLEET, ODD, OFF, TWINS, WEB, many, service_with
from tests.support.pty import PtyProcess
from tests.support.ssh import check, ssh_through_a_session

SEVEN = WEB[6].node_id


@pytest.fixture(scope="module")
def service():
    with service_with(*FLEET, shell=("env", "PS1=remote> ", "/bin/sh")) as service:
        yield service


@pytest.fixture
def cli(tmp_path, service):
    return Cli(tmp_path, service)


@pytest.fixture
def terminal(tmp_path, cli):
    def start(*words, cols=100, rows=24):
        argv = [sys.executable, "-m", "ssm_plugin"] + list(words)
        return PtyProcess(argv, cols=cols, rows=rows, env=cli.environ, cwd=str(tmp_path))

    return start


def targets_since(service, count):
    return [session.request.target for session in service.sessions()[count:]]


# --- Each command


def test_a_shell_by_name(cli, service):
    before = len(service.sessions())
    status, stdout, _ = cli.run("shell", "web-7", input=b"echo $((6*7)); exit\n")
    assert status == 0
    assert b"\n42\r\n" in stdout
    assert targets_since(service, before) == [SEVEN]


def test_a_command_on_all_nodes_of_a_tag(cli, service):
    before = len(service.sessions())
    status, stdout, stderr = cli.run("exec", "tag:Role=web", "--", "echo", "hi")
    assert status == 0
    assert sorted(stdout.decode().splitlines()) == sorted("web-%d: hi" % n for n in range(1, 13))
    assert sorted(targets_since(service, before)) == [node.node_id for node in WEB]
    assert stderr.splitlines()[0].split()[:2] == [b"TARGET", b"STATUS"]


def test_a_command_on_nodes_of_one_name_tells_them_apart(cli):
    status, stdout, _ = cli.run("exec", "twin", "--", "echo", "hi")
    assert status == 0
    assert sorted(stdout.decode().splitlines()) == ["%s: hi" % one.node_id for one in TWINS]


def test_a_name_with_a_comma_is_written_with_a_backslash(cli, tmp_path):
    name = ODD.name.replace("\\", "\\").replace(",", "\\,")
    status, stdout, stderr = cli.run("exec", "name:" + name, "--", "echo", "hi")
    assert (status, stdout) == (0, b"hi\n"), stderr


def test_one_node_of_many_that_is_offline_is_a_failure_that_is_named(cli):
    status, stdout, stderr = cli.run("exec", "off,web-7", "--json", "--", "echo", "hi")
    assert status == 255
    results = {one["target"]: one for one in json.loads(stdout.decode())["targets"]}
    assert (results["web-7"]["status"], results["web-7"]["node"]) == (0, SEVEN)
    assert "TargetNotConnected" in results["off"]["reason"]


def test_a_tunnel_by_name(cli, service):
    before = len(service.sessions())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        with cli.start("forward", "web-7", "0:%d" % port, "--json") as process:
            ready = json.loads(process.stdout.readline().decode())
            with socket.create_connection(("127.0.0.1", ready["port"])) as client:
                accepted, _ = listener.accept()
                with accepted:
                    client.sendall(b"x")
                    assert accepted.recv(1) == b"x"
            process.terminate()
            process.communicate(timeout=40)
    assert targets_since(service, before) == [SEVEN]


@pytest.mark.e2e
def test_openssh_by_name(tmp_path):
    with ssh_through_a_session(tmp_path, nodes=LocalNodes(FLEET)) as client:
        client.host = "web-7"
        assert check(client.run("ssh", "echo $((6*7))")) == b"42\n"
        [session] = client.service.sessions()
        assert session.request.target == SEVEN
        client.host = "wbe-7"
        done = client.run("ssh", "true")
        assert done.returncode == 255
        assert b"did you mean 'web-7'" in done.stderr


@pytest.mark.e2e
def test_openssh_by_a_name_with_capitals_which_it_makes_small(tmp_path):
    node = LocalNode("i-0000000000000cafe", "Prod-DB")
    with ssh_through_a_session(tmp_path, nodes=LocalNodes([node])) as client:
        client.host = "Prod-DB"
        assert check(client.run("ssh", "echo $((6*7))")) == b"42\n"
        [session] = client.service.sessions()
        assert session.request.target == node.node_id


def test_a_job_runs_on_all_nodes_of_a_tag(cli, service, tmp_path):
    cli.configure(
        "jobs: {greet: {target: 'tag:Role=web', command: echo hi, output: '%s/{target}.log'}}"
        % tmp_path
    )
    before = len(service.sessions())
    assert cli.run("run", "greet") == (0, b"", b"")
    assert len(targets_since(service, before)) == 12
    assert (tmp_path / "web-7.log").read_text() == "hi\n"
    _, stdout, _ = cli.run("run", "greet", "--dry-run")
    assert b"target    tag:Role=web (looked up when it runs)\n" in stdout


def test_a_job_without_a_node_starts_nothing_and_says_so(cli, service):
    cli.configure("jobs: {greet: {targets: [web-7, web-77], command: echo hi}}")
    before = len(service.sessions())
    status, _, stderr = cli.run("run", "greet")
    assert (status, targets_since(service, before)) == (255, [])
    assert b"no node is found for the target 'web-77'; did you mean 'web-7'" in stderr


def test_the_library_takes_names_too(cli, service, tmp_path):
    script = (
        "import ssm_plugin, sys\n"
        "print(ssm_plugin.run('web-7', ['echo', 'hi']).stdout)\n"
        "with ssm_plugin.forward('ip:10.0.0.7', 80) as address:\n"
        "    print(address.port > 0)\n"
        "try:\n"
        "    ssm_plugin.run('twin', 'true')\n"
        "except ValueError as error:\n"
        "    print(str(error)[:32])\n"
    )
    before = len(service.sessions())
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, env=cli.environ, cwd=str(tmp_path), stdout=subprocess.PIPE)
    assert done.stdout.decode().splitlines() == [
        "b'hi\\n'", "True", "the target 'twin' means 2 nodes,"
    ]
    assert targets_since(service, before) == [SEVEN, SEVEN]


def test_the_library_looks_up_nothing_for_what_can_be_no_target():
    with pytest.raises(UsageError, match="tag:KEY=VALUE"):
        ssm_plugin.run("tag:Role", "true", region="eu-west-1")


# --- The chooser


def test_of_several_nodes_one_is_chosen_by_its_number(terminal, service):
    before = len(service.sessions())
    with terminal("shell", "twin", "--quiet") as program:
        shown = program.expect(b"2 nodes are twin: number, or part of a name? ").decode()
        assert [line[:22] for line in shown.splitlines()[1:3]] == [
            "1  " + TWINS[0].node_id, "2  " + TWINS[1].node_id
        ]
        program.send(b"2\r")
        program.expect(b"remote> ")
        program.send(b"exit\r")
        assert program.wait() == 0
    assert targets_since(service, before) == [TWINS[1].node_id]


def test_a_part_of_a_name_narrows_the_choice(terminal, service):
    before = len(service.sessions())
    with terminal("shell", "tag:Role=web", "--quiet") as program:
        program.expect(b"12 nodes are tag:Role=web: ")
        program.send(b"web\r")
        program.expect(b"12 nodes are tag:Role=web: ")
        program.send(b"nonsense\r")
        program.expect(b"'nonsense' is neither one of these numbers nor part of a name")
        program.expect(b"12 nodes are tag:Role=web: ")
        program.send(b"eb-1\r")
        program.expect(b"4 nodes are tag:Role=web: ")
        program.send(b"web-11\r")
        program.expect(b"remote> ")
        program.send(b"exit\r")
        assert program.wait() == 0
    assert targets_since(service, before) == [WEB[10].node_id]


@pytest.mark.parametrize(
    "key, status, said", [(b"\x03", 130, b""), (b"\x04", 255, b"no node was chosen of those")]
)
def test_the_choice_may_be_left(terminal, service, key, status, said):
    before = len(service.sessions())
    with terminal("shell", "twin") as program:
        program.expect(b"number, or part of a name? ")
        program.send(key)
        program.expect(b"\n" if not said else said)
        assert program.wait() == status
    assert targets_since(service, before) == []


def test_a_quiet_tunnel_asks_nothing(terminal):
    with terminal("forward", "twin", "0:80", "--quiet") as program:
        program.expect(b"the target 'twin' means 2 nodes, and one is wanted")
        assert program.wait() == 255


def test_a_stream_is_never_asked(cli):
    status, stdout, stderr = cli.run("ssh", "twin")
    assert (status, stdout) == (255, b"")
    assert b"the target 'twin' means 2 nodes, and one is wanted" in stderr


def test_a_long_list_is_cut_to_the_terminal(tmp_path):
    with service_with(*[node._replace(tags={"a": "b"}) for node in many(200)]) as service:
        cli = Cli(tmp_path, service)
        argv = [sys.executable, "-m", "ssm_plugin", "shell", "tag:a=b"]
        with PtyProcess(argv, cols=80, rows=20, env=cli.environ, cwd=str(tmp_path)) as program:
            shown = program.expect(b"number, or part of a name? ")
            assert shown.count(b"\n") < 20
            assert b"... and 184 more" in shown
            program.send(b"\x03")
            assert program.wait() == 130


# --- Names that are odd


def test_a_name_that_begins_like_an_id_is_pointed_out(cli):
    status, _, stderr = cli.run("shell", "i-web")
    assert status == 255
    assert b"; if i-web is a name, write name:i-web" in stderr


def test_a_configured_name_goes_before_that_of_a_node(cli, service):
    cli.configure("targets: {web-1: web-7}")
    before = len(service.sessions())
    assert cli.run("exec", "web-1", "--", "true")[0] == 0
    assert targets_since(service, before) == [SEVEN]


@pytest.mark.parametrize(
    "words", [["shell", "tag:Role"], ["exec", "tag:Role", "--", "true"], ["ssh", "ip:web"]]
)
def test_what_can_be_no_target_is_a_mistake_before_anything_else(tmp_path, words):
    cli = Cli(tmp_path)
    del cli.environ["AWS_REGION"]
    status, _, stderr = cli.run(*words)
    assert (status, stderr.count(b"\n")) == (255, 1)
    assert b"the target '" in stderr


def test_an_offline_node_is_refused_by_its_name_as_by_its_id(cli):
    for target in ("off", OFF.node_id):
        status, _, stderr = cli.run("shell", target)
        assert status == 255
        assert b"%s is not connected" % os.fsencode(OFF.node_id) in stderr
