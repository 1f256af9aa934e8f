"""The two names of the program, and what the AWS CLI asks it before each session."""

import os
import subprocess
import sys

import pytest

from tests.support.drop_in import NAME, DropIn
from tests.support.pty import ROOT

INSTALLED = (
    b"\nThe Session Manager plugin was installed successfully. "
    b"Use the AWS CLI to start a session.\n\n"
)


@pytest.fixture
def drop_in(tmp_path):
    return DropIn(tmp_path)


@pytest.fixture
def ours(drop_in):
    """The same program under its other name."""
    link = drop_in.home.bin / "ssm-plugin"
    link.symlink_to(drop_in.home.bin / NAME)
    return drop_in.program[:-1] + [str(link)]


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_drop_in_prints_the_protocol_version_alone(drop_in, option):
    assert drop_in.call(drop_in.program + [option]) == (0, b"1.2.896.0\n", b"")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_our_own_name_prints_our_own_version(drop_in, ours, option):
    done = drop_in.call(ours + [option])
    assert (done.status, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"ssm-plugin 0.")


def test_no_argument_says_that_the_drop_in_is_installed(drop_in):
    assert drop_in.call(drop_in.program) == (0, INSTALLED, b"")


def test_no_argument_to_our_own_name_is_a_call_for_help(drop_in, ours):
    done = drop_in.call(ours)
    assert (done.status, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: ssm-plugin COMMAND")


@pytest.mark.parametrize("arguments", [["--version"], []])
@pytest.mark.parametrize(
    "redirection, why",
    [
        (">&-", b"Bad file descriptor"),
        (">/dev/full", b"No space left on device"),
        (">&- 2>&-", b""),
    ],
    ids=["closed", "full", "both closed"],
)
def test_an_answer_that_cannot_be_written_is_named(drop_in, arguments, redirection, why):
    argv = ["sh", "-c", 'exec "$@" ' + redirection, "sh"] + drop_in.program + arguments
    said = b"ssm-plugin: cannot write to standard output: %s\n" % why if why else b""
    assert drop_in.call(argv) == (255, b"", said)


@pytest.mark.parametrize("first", ["{", "AWS_SSM_START_SESSION_RESPONSE_X"])
def test_the_positional_form_is_the_drop_in_under_any_name(drop_in, ours, first):
    done = drop_in.call(ours + [first, "eu-west-1", "StartSession"])
    assert done.status == 255
    assert b"this is what the AWS CLI calls" in done.stderr


@pytest.mark.parametrize("argument", ["shell", "--help"])
def test_the_drop_ins_name_runs_our_own_commands_too(drop_in, argument):
    arguments = [argument] if argument == "--help" else [argument, "--help"]
    done = drop_in.call(drop_in.program + arguments)
    assert (done.status, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: ssm-plugin ")


def test_the_package_runs_as_a_module(drop_in):
    done = drop_in.call([drop_in.program[0], "-m", "ssm_plugin", "--version"])
    assert (done.status, done.stderr) == (0, b"")


def test_the_drop_in_takes_no_longer_to_import_than_it_must(drop_in):
    code = (
        "import os, sys; before = set(sys.modules); import ssm_plugin.cli;"
        "print(sorted(set(sys.modules) - before))"
    )
    output = subprocess.check_output(
        [drop_in.program[0], "-S", "-c", code],
        env=dict(drop_in.home.environ, PYTHONPATH=ROOT),
        cwd=os.sep,
    )
    assert output.decode() == "['ssm_plugin', 'ssm_plugin.cli', 'ssm_plugin.version']\n"


@pytest.mark.skipif(sys.version_info < (3, 7), reason="Python 3.6 looks through all its objects")
def test_a_command_that_has_ended_leaves_python_nothing_to_look_through(drop_in):
    code = (
        "import gc, sys; sys.argv = ['ssm-plugin', 'exec']; from ssm_plugin.cli import main;"
        "print(main(), len(gc.get_objects()) < 1000)"
    )
    done = drop_in.call([drop_in.program[0], "-c", code])
    assert done.stdout == b"255 True\n"
