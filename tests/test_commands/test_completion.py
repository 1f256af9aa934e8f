"""Completion, in the shells themselves: the TAB key is pressed, and the line is run."""

import os
import shutil
import subprocess
import sys
import threading

import pytest

from ssm_plugin.config import Settings
from ssm_plugin.nodes import cache
from ssm_plugin.nodes.node import Node
from tests.support import program
from tests.support.commands import Cli
from tests.support.pty import ROOT, PtyProcess

CONFIGURATION = """\
targets: {db1: i-0123456789abcdef0, 'pre:one': i-1, 'a b': i-2, 'with,comma': i-3}
jobs:
  nightly-backup: {target: db1, command: 'true'}
"""
NODES = [Node("i-00000000000000abc", "till-3"), Node("i-0000000000000beef")]

# Completion is ours, by way of two named pipes; whatever else is run is shown, each word in
# brackets.
PROGRAM = """\
#!/bin/sh
case $1 in
completion) printf '%%s\\0' "$@" >%s && exec cat %s ;;
*) printf 'RAN:'; printf '[%%s]' "$@"; echo . ;;
esac
"""
LIMIT = 40.0
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(ssm-plugin completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -D -u; source <(ssm-plugin completion zsh)",
    ),
    "fish": (["fish", "--no-config"], "ssm-plugin completion fish | source"),
}
LINES = [
    (b"forw", b"ard", b"[forward]"),
    (b"shell db", b"1", b"[shell][db1]"),
    (b"shell pre:o", b"ne", b"[shell][pre:one]"),
    (b"shell till", b"-3", b"[shell][till-3]"),
    (b"shell i-0000000000000b", b"eef", b"[shell][i-0000000000000beef]"),
    (b"exec db1,ti", b"ll-3", b"[exec][db1,till-3]"),
    (b"shell a", b"b", b"[shell][a b]"),
    (b"connect me@till", b"-3", b"[connect][me@till-3]"),
    (b"run nigh", b"tly-backup", b"[run][nightly-backup]"),
    (b"exec --targets-f", b"ile", b"[exec][--targets-file]"),
    (b"--log-level deb", b"ug", b"[--log-level][debug]"),
    (b"help exit", b"-status", b"[help][exit-status]"),
    (b"exec db1 -- ./some-f", b"ile-here", b"[exec][db1][--][./some-file-here]"),
    (b"cp -r till", b"-3:", b"[cp][-r][till-3:]"),
    (b"cp db1,ti", b"ll-3:", b"[cp][db1,till-3:]"),
    (b"cp pre:o", b"ne:", b"[cp][pre:one:]"),
    (b"cp some-f", b"ile-here", b"[cp][some-file-here]"),
    (b"cp a till-3:x ./some-f", b"ile-here", b"[cp][a][till-3:x][./some-file-here]"),
    (b"cp --speed au", b"to", b"[cp][--speed][auto]"),
    (b"exec db1 --via run", b"-command", b"[exec][db1][--via][run-command]"),
    (b"exec db1 --stdin some-f", b"ile-here", b"[exec][db1][--stdin][some-file-here]"),
    (b"exec db1 --stdin one,t", b"wo", b"[exec][db1][--stdin][one,two]"),
    (b"exec db1 some-f", b"ile-here", b"[exec][db1][some-file-here]"),
    (b"shell wi", b"th,comma", b"[shell][with,comma]"),
    (b"shell with,", b"comma", b"[shell][with,comma]"),
    (b"exec db1,wi", b"comma", b"[exec][db1,with\\,comma]"),
]

# Others change the quotes.
QUOTED = [(b"shell 'a", b"b'", b"[shell][a b]"), (b'shell "a', b'b"', b"[shell][a b]")]


@pytest.fixture
def home(tmp_path):
    """The environment of somebody with names to complete."""
    ours = tmp_path / "bin" / "ssm-plugin"
    ours.parent.mkdir()
    asked, answered = tmp_path / ".asked", tmp_path / ".answered"
    ours.write_text(PROGRAM % (asked, answered))
    ours.chmod(0o755)
    (tmp_path / "some-file-here").write_text("")
    (tmp_path / "one,two").write_text("")
    file = tmp_path / "ssm-plugin.yaml"
    file.write_text(CONFIGURATION)
    environ = {
        "HOME": str(tmp_path),
        "PATH": "%s:%s" % (ours.parent, os.defpath),
        "SSM_PLUGIN_CONFIG": str(file),
        "LC_ALL": "C.UTF-8",
        "PS1": "local> ",
        "PROMPT": "local> ",
        "TERM": "dumb",
    }
    cache.store(NODES, Settings(), environ)
    os.mkfifo(str(asked))
    os.mkfifo(str(answered))
    thread = threading.Thread(target=answer_shells, args=(environ, asked, answered), daemon=True)
    thread.start()
    yield environ
    asked.write_bytes(b"")
    thread.join(LIMIT)


def answer_shells(environ, asked, answered):
    """What a shell asks at a TAB goes to a fork: to start Python each time takes ten times as
    long."""
    environ = dict(environ, PYTHONPATH=ROOT)
    for words in iter(asked.read_bytes, b""):
        argv = [os.fsdecode(word) for word in words.split(b"\0")[:-1]]
        done = program.run([sys.executable, "-m", "ssm_plugin"] + argv, LIMIT, env=environ)
        answered.write_bytes(done.stdout)


@pytest.mark.may_skip
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_the_tab_key_completes(home, shell):
    argv, load = SHELLS[shell]
    if not shutil.which(argv[0]):
        pytest.skip("there is no %s" % shell)
    environ = dict(home, TERM="xterm") if shell == "fish" else home
    with PtyProcess(argv, cols=200, env=environ, cwd=home["HOME"]) as terminal:
        terminal.send(load.encode() + b"; ssm-plugin ready\r")
        terminal.expect(b"RAN:[ready].")
        for typed, completed, ran in LINES + (QUOTED if shell == "bash" else []):
            terminal.send(b"ssm-plugin " + typed + b"\t")
            terminal.expect(completed)
            terminal.send(b"\r")
            terminal.expect(b"RAN:" + ran + b".")


@pytest.mark.may_skip
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_a_path_follows_a_target_without_a_space_and_a_file_with_one(home, shell):
    argv, load = SHELLS[shell]
    if not shutil.which(argv[0]):
        pytest.skip("there is no %s" % shell)
    os.mkdir(os.path.join(home["HOME"], "till-room"))
    os.rename(
        os.path.join(home["HOME"], "some-file-here"),
        os.path.join(home["HOME"], "till-room", "file"),
    )
    environ = dict(home, TERM="xterm") if shell == "fish" else home
    with PtyProcess(argv, cols=200, env=environ, cwd=home["HOME"]) as terminal:
        terminal.send(load.encode() + b"; ssm-plugin ready\r")
        terminal.expect(b"RAN:[ready].")
        terminal.send(b"ssm-plugin cp till-3\t")
        terminal.expect(b":")
        terminal.send(b"/etc/x till-r\t")
        terminal.expect(b"oom/")
        terminal.send(b"fi\t")
        terminal.expect(b"le")
        terminal.send(b"\r")
        terminal.expect(b"RAN:[cp][till-3:/etc/x][till-room/file].")


def answers(cli, *words):
    status, stdout, stderr = cli.run("completion", "for", "zsh", *words)
    assert (status, stderr) == (0, b"")
    return [line.split("\t")[0] for line in stdout.decode("utf-8").splitlines()]


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


def test_all_commands_are_there(cli):
    from ssm_plugin.commands.program import COMMANDS

    assert answers(cli, "") == list(COMMANDS)


def test_a_copy_is_from_or_to_files_and_targets(cli):
    cli.configure("targets: {web-7: i-1, web-8: i-2, db: i-3}")
    assert answers(cli, "cp", "web") == [":files", "web-7:", "web-8:"]
    assert answers(cli, "cp", "a", "web-7,d") == [":files", "web-7,db:"]
    assert answers(cli, "cp", "./a") == [":files"]
    assert answers(cli, "cp", "web-7:/etc/") == []


def test_behind_its_target_exec_takes_options_and_their_values(cli):
    cli.configure("targets: {web-7: i-1, web-8: i-2}")
    assert answers(cli, "exec", "web-7", "--via", "") == ["sessions", "run-command"]
    assert answers(cli, "exec", "web-7", "--log-level", "w") == ["warning"]
    for option in ("--reason", "--timeout", "--shell", "--region", "--parallel"):
        assert answers(cli, "exec", "web-7", option, "web") == []
        assert answers(cli, "exec", "web-7", option, "a,web") == []
    for option in ("--stdin", "--targets-file", "--output-dir", "--config"):
        assert answers(cli, "exec", "web-7", option, "web") == [":files"]
        assert answers(cli, "exec", "web-7", option, "a,web") == [":files"]
    assert "--stdin" in answers(cli, "exec", "web-7", "--json", "--st")


def test_options_of_the_nodes_command_are_not_ours(cli):
    cli.configure("targets: {web-7: i-1}")
    for words in (("web-7",), ("web-7", "--"), ("--targets-file", "f"), ("--wait", "1m", "web-7")):
        assert answers(cli, "exec", *words + ("",)) == [":files"]
        assert answers(cli, "exec", *words + ("ls", "--via", "")) == [":files"]
        assert answers(cli, "exec", *words + ("ls", "--st")) == [":files"]
    assert answers(cli, "connect", "web-7", "-") == [":files"]


def test_only_what_takes_many_targets_completes_behind_a_comma(cli):
    cli.configure("targets: {web-7: i-1, web-8: i-2}")
    assert answers(cli, "exec", "web-7,web-8") == ["web-7,web-8"]
    assert answers(cli, "exec", "a\\,b,web-8") == ["a\\,b,web-8"]
    for command in ("shell", "forward", "ssh", "list", "doctor"):
        assert answers(cli, command, "web-7,web-8") == []


def test_options_are_those_of_the_command(cli):
    found = answers(cli, "forward", "-")
    assert {"--ready-file", "--profile", "--help"} <= set(found)
    assert "--ready-file" not in answers(cli, "shell", "-")


def test_the_demo_completes_what_it_runs(cli):
    assert "--stdin" in answers(cli, "demo", "exec", "--std")
    assert answers(cli, "demo", "se") == ["serve"]


def test_profiles_of_aws_are_known(cli, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile ops]\n[profile 'two words']\n")
    (tmp_path / ".aws" / "credentials").write_text("[other]\n")
    assert answers(cli, "shell", "--profile", "") == ["ops", "other", "two words"]


def test_a_broken_configuration_costs_only_its_own_names(cli):
    cli.configure("targets: [")
    assert answers(cli, "shell", "") == []
    assert answers(cli, "ssh-") == ["ssh-config"]


def test_what_a_terminal_would_obey_is_not_completed(cli, tmp_path):
    environ = {"HOME": str(tmp_path)}
    settings = Settings(region="us-east-1")
    cache.store([Node("i-1", "good"), Node("i-2", "bad\x1b[2J\nline")], settings, environ)
    cli.environ.pop("XDG_CACHE_HOME", None)
    assert answers(cli, "shell", "") == ["good", "i-1", "i-2"]


# What bash gives as the word, and what it has in front of what we say.
@pytest.mark.parametrize(
    "quote, word, kept", [("", "web", ""), ("'", "web", "'"), ('"', "web", '"'), ('"', '"web', "")]
)
def test_a_name_is_nothing_but_a_name_for_bash_in_whatever_quotes(cli, tmp_path, quote, word, kept):
    """Whoever may give a node its name has no say here."""
    name = "web$(touch x)`touch y`';touch z;'\"\\w"
    cache.store([Node("i-1", name)], Settings(region="us-east-1"), {"HOME": str(tmp_path)})
    line = "ssm-plugin shell %sweb" % quote
    _, said, _ = cli.run("completion", "for", "bash", line, word)
    script = "printf %s " + kept + said.decode().rstrip("\n") + quote
    assert subprocess.check_output(["bash", "-c", script], cwd=str(tmp_path)).decode() == name
    assert not {"x", "y", "z"} & set(os.listdir(str(tmp_path)))


def test_names_are_kept_in_a_folder_that_does_not_change_with_the_present_one():
    home = {"HOME": "/home/me"}
    assert cache.cache_path(dict(home, XDG_CACHE_HOME="cache")) == cache.cache_path(home)


def test_a_list_is_what_fills_the_cache(tmp_path):
    from tests.support.nodes import WEB, service_with

    with service_with(*WEB) as service:
        cli = Cli(tmp_path, service)
        assert answers(cli, "shell", "web-1") == []
        assert cli.run("list")[0] == 0
        assert answers(cli, "shell", "web-1") == ["web-1", "web-10", "web-11", "web-12"]


def test_a_shell_that_is_not_known_is_named(cli):
    status, _, stderr = cli.run("completion", "tcsh")
    assert status == 255
    assert b"no completion for 'tcsh'; there is for bash, zsh, fish" in stderr
