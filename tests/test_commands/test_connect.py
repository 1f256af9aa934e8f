"""``ssm-plugin connect`` and ``ssh --push-key``: what they ask for, and how they fail. With a real
sshd: test_end_to_end."""

import os

import pytest

from tests.support.commands import Cli
from tests.support.nodes import TILL, TWINS, WEB, LocalNode, service_with

STOPPED = LocalNode("i-0000000000000beef", "asleep", state="stopped")
HOSTILE = LocalNode("i-;touch${IFS}evil;%h", "hostile")
WEB_1 = WEB[0].node_id


@pytest.fixture(scope="module")
def service():
    with service_with(*(WEB + TWINS + [TILL, STOPPED, HOSTILE])) as service:
        yield service


@pytest.fixture
def cli(tmp_path, service):
    cli = Cli(tmp_path, service)
    cli.environ["TMPDIR"] = str(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    yield cli
    assert os.listdir(cli.environ["TMPDIR"]) == []


@pytest.fixture
def asked(cli):
    """What ssh itself would do, which it says with -G."""

    def asked(*words):
        status, stdout, stderr = cli.run("connect", *words)
        assert status == 0, stderr
        return dict(line.partition(" ")[::2] for line in stdout.decode().splitlines())

    return asked


def refused(cli, *words):
    """The one line that it ends with."""
    status, stdout, stderr = cli.run(*words)
    assert (status, stdout) == (255, b"")
    assert stderr.startswith(b"ssm-plugin: ") and stderr.count(b"\n") == 1
    return stderr.decode()


@pytest.mark.parametrize(
    "words",
    [["connect", "root@mi-0123456789abcdef0"], ["connect", "till"],
     ["ssh", "--push-key", "me", "mi-0123456789abcdef0"]],
)
def test_a_hybrid_node_takes_no_key_and_what_works_instead(cli, service, words):
    line = refused(cli, *words)
    assert "EC2 Instance Connect knows EC2 instances alone" in line
    assert "'ssm-plugin shell mi-0123456789abcdef0', which needs no key" in line
    assert service.instance_connect.calls() == []


def test_a_node_is_found_by_its_name_and_ssh_is_called_with_it(asked):
    words = ["--wait", "5m", "--document-name", "a%b", "me@web-1", "-G", "-L", "127.0.0.1:1:h:2"]
    found = asked(*words)
    assert (found["user"], found["hostname"], found["hostkeyalias"]) == ("me", WEB_1, WEB_1)
    assert found["localforward"] == "[127.0.0.1]:1 [h]:2"
    assert found["stricthostkeychecking"] == "accept-new"
    command = found["proxycommand"]
    assert " --document-name a%%b --wait 5m --key " in command
    assert command.endswith("/key.pub '--push-key=%%r' %s %%p" % WEB_1)


def test_less_than_a_second_to_wait_is_passed_on_as_one(asked):
    """The option wants more than 0."""
    assert " --wait 1s --key " in asked("--wait", "400ms", "me@web-1", "-G")["proxycommand"]


def test_ssh_knows_a_node_by_the_name_that_was_given(asked, tmp_path):
    config = tmp_path / "config"
    config.write_text("Host web-1\nUser me\nProxyJump elsewhere\nStrictHostKeyChecking yes\n")
    found = asked("web-1", "-G", "-F", str(config))
    assert (found["user"], found["stricthostkeychecking"]) == ("me", "true")
    assert "proxyjump" not in found


def test_a_target_that_is_no_host_name_is_called_by_its_id(asked):
    assert asked("ip:10.0.0.2", "-G")["hostname"] == WEB[1].node_id


def test_no_shell_runs_a_part_of_an_id_that_the_service_tells(asked):
    command = asked("hostile", "-G")["proxycommand"]
    assert command.endswith(" '--push-key=%r' 'i-;touch${IFS}evil;%%h' %p")


def test_our_options_behind_the_target_are_not_given_to_ssh(cli, asked):
    assert "options of ssm-plugin stand before the TARGET" in refused(
        cli, "connect", "web-1", "-v", "--profile", "ops"
    )
    assert asked("web-1", "-G", "ls", "--color")["hostname"] == WEB_1  # of the command


def test_several_nodes_of_a_name_are_an_error_without_a_terminal(cli):
    assert "means 2 nodes, and one is wanted" in refused(cli, "connect", "twin")


def test_without_openssh_it_says_so(cli, tmp_path):
    cli.environ["PATH"] = str(tmp_path)
    assert "install OpenSSH's client" in refused(cli, "connect", "web-1")


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.pub"
    path.write_text("# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI%s me@home\n" % ("B" * 43))
    return str(path)[: -len(".pub")]


@pytest.mark.parametrize(
    "node, code, advice",
    [
        ("i-0000000000000beef", "EC2InstanceStateInvalidException", "the instance must be running"),
        ("i-0000000000000dead", "EC2InstanceNotFoundException", "check the id of the instance"),
    ],
)
def test_why_a_node_takes_no_key(cli, service, key, node, code, advice):
    sessions = len(service.sessions())
    line = refused(cli, "ssh", "--quiet", "--push-key", "me", "--key", key, node)
    assert "ec2-instance-connect:SendSSHPublicKey on %s failed: %s" % (node, code) in line
    assert advice in line
    assert len(service.sessions()) == sessions


def test_a_permission_that_is_missing_is_named(cli, service, key):
    service.instance_connect.answer_with("SendSSHPublicKey", "AuthException", "no", 403)
    line = refused(cli, "ssh", "--quiet", "--push-key", "me", "--key", key, WEB_1)
    assert "need the permission ec2-instance-connect:SendSSHPublicKey on " + WEB_1 in line


def test_a_comment_of_a_key_stays_here(cli, service, key):
    cli.run("ssh", "--quiet", "--push-key", "me", "--key", key, WEB_1, "1")
    [pushed] = service.instance_connect.keys.of(WEB_1, "me")
    assert pushed.split()[0] == "ssh-ed25519" and "home" not in pushed


@pytest.mark.parametrize("text", ["", "ssh-dss AAAA\n", "-----BEGIN\n", "\0" * 100])
def test_a_file_without_a_key_is_refused(cli, tmp_path, text):
    path = tmp_path / "other"
    path.write_text(text)
    line = refused(cli, "ssh", "--push-key", "me", "--key", str(path), WEB_1)
    assert "holds no public key that EC2 Instance Connect takes" in line


def test_why_a_key_cannot_be_read(cli, tmp_path):
    path = tmp_path / "my-key"

    def told():
        return refused(cli, "ssh", "--push-key", "me", "--key", str(path), WEB_1)

    assert "cannot read the key %s: No such file or directory" % path in told()
    tmp_path.joinpath("my-key.pub").mkdir()
    assert "cannot read the key %s.pub: it is not a regular file" % path in told()
    path.write_text("-----BEGIN")
    assert "cannot read the key %s.pub: it is not a regular file" % path in told()


def test_a_key_without_a_user_is_a_mistake(cli, key):
    assert "--push-key USER, which is missing" in refused(cli, "ssh", "--key", key, WEB_1)
