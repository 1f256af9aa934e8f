"""The block for ~/.ssh/config, as OpenSSH reads it; and with names that versions before 9.6 give to
a shell as they are."""

import re
import shutil
import subprocess
from fnmatch import fnmatchcase

import pytest

from tests.support.commands import Cli

pytestmark = [
    pytest.mark.may_skip,
    pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh"),
]


def block_of(folder, *words):
    status, stdout, stderr = Cli(folder).run("ssh-config", *words)
    assert (status, stderr) == (0, b"")
    return stdout.decode()


@pytest.fixture
def read(tmp_path):
    """What ssh makes of the block for a host, and lines in front of it."""

    def read(host, *words, before=""):
        path = tmp_path / "block"
        path.write_text(before + block_of(tmp_path, *words))
        command = ["ssh", "-G", "-F", str(path), host]
        text = subprocess.check_output(command, stderr=subprocess.STDOUT, timeout=40).decode()
        return dict(line.partition(" ")[::2] for line in text.splitlines())

    return read


def test_ids_of_nodes_go_through_us(read):
    for host in ("i-0123456789abcdef0", "mi-0123456789abcdef0"):
        found = read(host)
        assert found["proxycommand"] == "ssm-plugin ssh --quiet -- '%h' %p"
        assert found["serveraliveinterval"] == "30"


def test_other_hosts_do_not(read):
    assert "proxycommand" not in read("example.com")


def test_options_and_hosts_are_in_the_block(read):
    words = ["web-*", "db1", "--user", "ec2-user", "--profile", "two words", "--region=eu-west-1"]
    found = read("web-7", *words)
    assert found["user"] == "ec2-user"
    assert found["proxycommand"] == (
        "ssm-plugin ssh --quiet --profile 'two words' --region eu-west-1 -- '%h' %p"
    )
    assert "proxycommand" in read("db1", *words)
    assert "proxycommand" not in read("i-1", *words)


def test_a_percent_sign_stays_one(read):
    assert "--profile a%%b " in read("i-1", "--profile", "a%b")["proxycommand"]


def test_with_a_pushed_key_nodes_that_take_none_are_left_out(read):
    found = read("i-1", "--push-key", "--user", "me")
    assert found["proxycommand"] == "ssm-plugin ssh --quiet '--push-key=%r' -- '%h' %p"
    assert found["user"] == "me"
    assert "proxycommand" not in read("mi-1", "--push-key")


def test_a_key_that_is_named_is_pushed_and_used(read):
    found = read("i-1", "--push-key", "--key", "/home/me/100%/key")
    assert found["proxycommand"] == (
        "ssm-plugin ssh --quiet --key /home/me/100%%/key '--push-key=%r' -- '%h' %p"
    )
    assert (found["identityfile"], found["identitiesonly"]) == ("/home/me/100%%/key", "yes")


def test_paths_are_good_wherever_ssh_is_called(read, tmp_path):
    words = ["--config", "my.yaml", "--log-level=info", "--log-file", "log"]
    found = read("i-1", "--push-key", "--key=~/my-key", *words)
    key = tmp_path / "my-key"
    assert found["proxycommand"] == (
        "ssm-plugin ssh --quiet --config %s --log-level info --log-file %s --key %s "
        "'--push-key=%%r' -- '%%h' %%p" % (tmp_path / "my.yaml", tmp_path / "log", key)
    )
    assert found["identityfile"] == str(key)


@pytest.mark.parametrize(
    "host", ["", "a b", "x\nProxyCommand evil", 'a"b', "a'b", "#", "a\\b", "a,b"]
)
def test_what_would_be_another_line_is_refused(tmp_path, host):
    status, stdout, stderr = Cli(tmp_path).run("ssh-config", host)
    assert (status, stdout) == (255, b"")
    assert b"cannot stand in ~/.ssh/config" in stderr


def test_nor_can_an_option_begin_another_line(tmp_path):
    status, stdout, _ = Cli(tmp_path).run("ssh-config", "--profile", "a\nHost *")
    assert (status, stdout) == (255, b"")


NAMES = ["i-0123", "i-a b", "i-$(touch evil)", "i-`touch evil`", "i-;touch evil;", "i-&touch evil",
         'i-";touch evil;"', "i-';touch evil;'", "i-'$(touch evil)'", "i-*", "i-~", "i-%h%r", "i-#",
         "i-\\", "i-a\\b", "i-\\';touch evil;", "i-a!b", "i-;touch evil;!#", "i-{a,b}"]
USERS = ["me", "$(touch evil)", ";touch evil;", "';touch evil;'", "-x", "a\\", "DOMAIN\\me", "m$"]
SHELLS = ["sh", "bash", "zsh", "fish", pytest.param("tcsh", marks=pytest.mark.may_skip)]


def matches(pattern, name):
    """As ssh does it: square brackets are nothing special there."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def is_meant(name, patterns):
    if any(one.startswith("!") and matches(one[1:], name) for one in patterns):
        return False
    return any(matches(one, name) for one in patterns if not one.startswith("!"))


def words_for(block, host, user, shell, folder):
    """The words that a ProxyCommand of ours gets from an ssh that checks no names, and a shell;
    None if the block is not for the host and the user."""
    lines = [line.strip() for line in block.splitlines()]
    kind, _, rest = lines[0].partition(" ")
    arguments = [one.strip('"') for one in rest.split(" ")]
    if kind == "Match":
        assert arguments[0::2] == ["originalhost", "user"]
        if not all(map(is_meant, (host, user), [one.split(",") for one in arguments[1::2]])):
            return None
    elif not is_meant(host, arguments):
        return None
    (command,) = [line for line in lines if line.startswith("ProxyCommand ")]
    values = {"%h": host, "%r": user, "%p": "22", "%%": "%"}
    command = re.sub("%.", lambda found: values[found.group()], command.split(" ", 2)[2])
    argv = [shell, "-c", "exec printf '%s\\n' " + command]
    return subprocess.check_output(argv, cwd=str(folder), timeout=40).decode().splitlines()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("words", [[], ["--push-key"]], ids=str)
def test_no_shell_runs_a_part_of_a_name_whatever_ssh_lets_through(tmp_path, words, shell):
    if not shutil.which(shell):
        pytest.skip("no %s here" % shell)
    block = block_of(tmp_path, *words)
    folder = tmp_path / "empty"
    folder.mkdir()
    passed = []
    for user in USERS if words else USERS[:1]:
        for host in NAMES:
            got = words_for(block, host, user, shell, folder)
            pushed = ["--push-key=" + user] if words else []
            assert got in (None, ["ssh", "--quiet"] + pushed + ["--", host, "22"])
            passed += [(host, user)] if got else []
    assert list(folder.iterdir()) == []
    assert ("i-$(touch evil)", USERS[-1] if words else USERS[0]) in passed


def test_a_user_that_a_shell_would_run_is_not_for_us(read):
    def command(user):
        return read("i-1", "--push-key", before="Host *\nUser %s\n" % user).get("proxycommand")

    assert command('"a\'b"') is None and command("a!b") is None and command("a\\\\") is None
    assert command("a.b") and command("DOMAIN\\me")


def test_a_host_that_begins_with_a_dash_is_no_option_of_ours(tmp_path):
    block = block_of(tmp_path, "*", "--endpoint-url", "http://127.0.0.1:1")
    got = words_for(block, "--config=evil", "me", "sh", tmp_path)
    status, _, stderr = Cli(tmp_path).run(*got)
    assert status == 255 and b"cannot connect to 127.0.0.1" in stderr
