"""The block for ~/.ssh/config, as OpenSSH reads it."""

import shutil
import subprocess

import pytest

from tests.support.commands import Cli

pytestmark = [
    pytest.mark.may_skip,
    pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh"),
]


@pytest.fixture
def read(tmp_path):
    """What ssh makes of the block for a host."""

    def read(host, *words):
        status, stdout, stderr = Cli(tmp_path).run("ssh-config", *words)
        assert (status, stderr) == (0, b"")
        path = tmp_path / "block"
        path.write_bytes(stdout)
        command = ["ssh", "-G", "-F", str(path), host]
        text = subprocess.check_output(command, stderr=subprocess.STDOUT, timeout=40).decode()
        return dict(line.partition(" ")[::2] for line in text.splitlines())

    return read


def test_ids_of_nodes_go_through_us(read):
    for host in ("i-0123456789abcdef0", "mi-0123456789abcdef0"):
        found = read(host)
        assert found["proxycommand"] == "ssm-plugin ssh --quiet %h %p"
        assert found["serveraliveinterval"] == "30"


def test_other_hosts_do_not(read):
    assert "proxycommand" not in read("example.com")


def test_options_and_hosts_are_in_the_block(read):
    words = ["web-*", "db1", "--user", "ec2-user", "--profile", "two words", "--region=eu-west-1"]
    found = read("web-7", *words)
    assert found["user"] == "ec2-user"
    assert found["proxycommand"] == (
        "ssm-plugin ssh --quiet --profile 'two words' --region eu-west-1 %h %p"
    )
    assert "proxycommand" in read("db1", *words)
    assert "proxycommand" not in read("i-1", *words)


def test_a_percent_sign_stays_one(read):
    assert "--profile a%%b " in read("i-1", "--profile", "a%b")["proxycommand"]


def test_with_a_pushed_key_nodes_that_take_none_are_left_out(read):
    found = read("i-1", "--push-key", "--user", "me")
    assert found["proxycommand"] == "ssm-plugin ssh --quiet --push-key %r %h %p"
    assert found["user"] == "me"
    assert "proxycommand" not in read("mi-1", "--push-key")


def test_a_key_that_is_named_is_pushed_and_used(read):
    found = read("i-1", "--push-key", "--key", "/home/me/100%/key")
    assert found["proxycommand"] == (
        "ssm-plugin ssh --quiet --key /home/me/100%%/key --push-key %r %h %p"
    )
    assert (found["identityfile"], found["identitiesonly"]) == ("/home/me/100%%/key", "yes")


def test_paths_are_good_wherever_ssh_is_called(read, tmp_path):
    words = ["--config", "my.yaml", "--log-level=info", "--log-file", "log"]
    found = read("i-1", "--push-key", "--key=~/my-key", *words)
    key = tmp_path / "my-key"
    assert found["proxycommand"] == (
        "ssm-plugin ssh --quiet --config %s --log-level info --log-file %s --key %s "
        "--push-key %%r %%h %%p" % (tmp_path / "my.yaml", tmp_path / "log", key)
    )
    assert found["identityfile"] == str(key)


@pytest.mark.parametrize("host", ["", "a b", "x\nProxyCommand evil", 'a"b', "#"])
def test_what_would_be_another_line_is_refused(tmp_path, host):
    status, stdout, stderr = Cli(tmp_path).run("ssh-config", host)
    assert (status, stdout) == (255, b"")
    assert b"cannot stand in ~/.ssh/config" in stderr


def test_nor_can_an_option_begin_another_line(tmp_path):
    status, stdout, _ = Cli(tmp_path).run("ssh-config", "--profile", "a\nHost *")
    assert (status, stdout) == (255, b"")
