"""The script for the node, and what the agent adds to its standard error."""

import subprocess

import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.run_command.script import is_by_id, own_part, script_of


def run(*argv):
    done = subprocess.run(
        ["sh", "-c", script_of(argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "word",
    ["a  b", "it's", "$HOME", "`id`", "{{x}}", "{{{{", "\\", "-n", "=", "A=1", "*", "\n", "é", ""],
)
def test_a_word_arrives_as_it_is(word):
    assert run("printf", "%s|", word) == (0, (word + "|").encode(), b"")


@pytest.mark.parametrize("word", ["if", "A=1", "{", "!"])
def test_the_first_word_is_a_program_and_nothing_of_the_shells(word):
    status, _, stderr = run(word, "x")
    assert status == 127
    assert b"not found" in stderr


def test_no_double_braces_are_left_for_the_service_to_fill_in():
    assert "{{" not in script_of(["echo", "{{ssm:secret}}", "{{{"])


@pytest.mark.parametrize("status", [0, 1, 7, 136, 138, 193, 195, 255])
def test_an_exit_status_comes_through(status):
    assert run("sh", "-c", "exit %d" % status) == (status, b"", b"")


@pytest.mark.parametrize("status", [137, 194])
def test_a_status_that_means_something_to_the_agent_is_told_in_a_line(status):
    code, _, stderr = run("sh", "-c", "echo why >&2; exit %d" % status)
    assert code == 255
    complaint = b"failed to run commands: exit status 255"
    assert own_part(stderr + complaint, code) == (b"why\n", status, "")
    assert own_part(stderr, code) == (b"why\n", status, "")


def test_a_signal_is_told_as_a_shell_does_and_the_shell_says_nothing():
    assert run("sh", "-c", "kill -11 $$") == (139, b"", b"")


@pytest.mark.parametrize(
    "tail, code, expected",
    [
        (b"x\nfailed to run commands: exit status 7", 7, (b"x\n", 7, "")),
        (b"failed to run commands: exit status 7", 7, (b"", 7, "")),
        (b"x", 7, (b"x", 7, "")),
        (b"failed to run commands: exit status 7\n", 7, (b"failed to run commands: exit status 7\n",
                                                        7, "")),
        (b"xfailed to run commands: exit status 8", 7, (b"xfailed to run commands: exit status 8",
                                                       7, "")),
        (b"failed to run commands: signal: terminated", -1, (b"", 143, "")),
        (b"failed to run commands: signal: odd one", -1, (b"", -1, "odd one")),
        (b"failed to run commands: fork/exec sh: no", 1, (b"", 1, "fork/exec sh: no")),
        (b"ssm-plugin: exit status 137\nx", 255, (b"ssm-plugin: exit status 137\nx", 255, "")),
    ],
)
def test_what_the_agent_adds_is_told_from_what_the_command_wrote(tail, code, expected):
    assert own_part(tail, code) == expected


def test_a_line_that_is_too_long_is_refused_in_words():
    script_of(["echo", "x" * 60000])
    with pytest.raises(UsageError, match=r"has 70\d\d\d bytes, but Run Command takes 64512"):
        script_of(["echo", "x" * 70000])
    with pytest.raises(UsageError, match="bytes"):
        script_of(["echo", "é" * 33000])


def test_whether_the_nodes_were_named_by_their_ids_can_be_seen_later():
    assert is_by_id([script_of(["x"], named_by_id=True)])
    assert not is_by_id([script_of(["x"])])
    assert not is_by_id(None)
    assert not is_by_id([])
