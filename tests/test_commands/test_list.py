"""``ssm-plugin list``: who is there."""

import json
import sys
import time

import pytest

from ssm_plugin.loopback.nodes import LocalNode
from tests.support.commands import Cli
from tests.support.nodes import FLEET, ODD, OFF, TILL, TWINS, WEB, many, service_with
from tests.support.pty import PtyProcess


@pytest.fixture(scope="module")
def service():
    with service_with(*FLEET) as service:
        yield service


@pytest.fixture
def cli(tmp_path, service):
    return Cli(tmp_path, service)


def listed(done):
    """The ids and the names."""
    status, stdout, stderr = done
    assert (status, stderr) == (0, b"")
    head, *lines = stdout.decode("utf-8").splitlines()
    assert head.split() == ["ID", "NAME", "PLATFORM", "AGENT", "ADDRESS", "STATUS", "SEEN"]
    return [line.split()[0] for line in lines]


def test_those_that_are_online_are_shown_by_name(cli):
    ids = listed(cli.run("list"))
    assert ids[0] == ODD.node_id
    assert ids.index(WEB[8].node_id) + 1 == ids.index(WEB[9].node_id)  # web-9, web-10
    assert OFF.node_id not in ids
    assert len(ids) == len(FLEET) - 1


def test_the_others_are_shown_on_request(cli):
    assert OFF.node_id in listed(cli.run("list", "--offline"))


def test_what_a_target_means_is_shown_whatever_its_state(cli):
    words = ["twin", "off", "ip:10.0.0.7", TILL.node_id, "tag:Role=twin"]
    ids = listed(cli.run("list", *words))
    assert ids == [OFF.node_id, TILL.node_id] + [one.node_id for one in TWINS] + [WEB[6].node_id]


@pytest.mark.parametrize("word", ["ecs:twin/x", "ecs:a_b_c"])
def test_a_container_is_no_node_whatever_nodes_are_called(tmp_path, word):
    with service_with(LocalNode("i-1", "twin/x")) as service:
        status, stdout, stderr = Cli(tmp_path, service).run("list", word)
    assert (status, stdout) == (255, b"")
    assert b"is a container of ECS, and only nodes are listed" in stderr


def test_escape_sequences_in_a_name_are_shown_not_sent(cli):
    cli.environ["LC_ALL"] = "C.UTF-8"
    _, stdout, _ = cli.run("list", "name:" + ODD.name)
    assert b"\x1b" not in stdout
    _, stdout, _ = cli.run("list", "tag:a:b=c=d")
    assert "日本*?\\ ".encode("utf-8") in stdout


def test_for_programs_there_is_one_array(cli):
    status, stdout, stderr = cli.run("list", "web-7", "off", "--json")
    assert (status, stderr) == (0, b"")
    off, web = json.loads(stdout.decode("ascii"))
    assert (web["id"], web["name"], web["status"]) == (WEB[6].node_id, "web-7", "Online")
    assert off["status"] == "ConnectionLost"
    assert sorted(web) == [
        "address", "agent_version", "id", "last_seen", "name", "platform", "status"
    ]


def test_a_target_without_a_node_is_an_error_with_the_nearest_name(cli):
    status, stdout, stderr = cli.run("list", "wbe-7")
    assert (status, stdout) == (255, b"")
    assert b"did you mean 'web-7'" in stderr
    assert stderr.count(b"\n") == 1


def test_without_permission_for_names_the_rest_is_shown_and_a_line_says_so(tmp_path):
    with service_with(*FLEET, faults="deny=DescribeInstances") as service:
        status, stdout, stderr = Cli(tmp_path, service).run("list")
    assert status == 0
    assert len(stdout.splitlines()) == len(FLEET)
    assert stderr.count(b"\n") == 1
    assert b"the credentials need the permission ec2:DescribeInstances" in stderr


@pytest.mark.parametrize("words", [["list"], ["list", "web-7"], ["list", "tag:Role=web"]])
def test_without_any_permission_it_is_one_line(tmp_path, words):
    faults = "deny=DescribeInstanceInformation+DescribeInstances"
    with service_with(*FLEET, faults=faults) as service:
        status, stdout, stderr = Cli(tmp_path, service).run(*words)
    assert (status, stdout, stderr.count(b"\n")) == (255, b"", 1)
    assert b"ssm:DescribeInstanceInformation" in stderr


def test_where_nobody_is_online_that_is_said(tmp_path):
    lost = OFF._replace(node_id="i-demo")
    with service_with(lost) as service:
        cli = Cli(tmp_path, service)
        assert cli.run("list") == (0, b"", b"ssm-plugin: no node is online; see --offline\n")
        assert cli.run("list", "--json")[1] == b"[]\n"
        assert cli.run("list", "--quiet") == (0, b"", b"")


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
@pytest.mark.parametrize("cols", [60, 80, 120])
def test_it_fits_the_terminal(tmp_path, service, cols, locale):
    argv = [sys.executable, "-m", "ssm_plugin", "list", "--offline"]
    cli = Cli(tmp_path, service)
    cli.environ["LC_ALL"] = locale
    with PtyProcess(argv, cols=cols, env=cli.environ, cwd=str(tmp_path)) as program:
        shown = program.expect(b"web-12") + program.expect(b"\n")
        assert program.wait() == 0
    lines = shown.decode("utf-8").split("\r\n")
    assert max(map(len, lines)) <= cols
    assert any("ConnectionLost" in line for line in lines)


@pytest.mark.serial
def test_a_thousand_nodes_take_less_than_two_seconds(tmp_path):
    with service_with(*many(1000)) as service:
        cli = Cli(tmp_path, service)
        cli.run("list", "i-demo")  # compiles what is not yet
        began = time.monotonic()
        _, stdout, _ = cli.run("list")
        assert time.monotonic() - began < 2.0
    assert len(stdout.splitlines()) == 1002
