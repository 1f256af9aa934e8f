"""Output that goes nowhere: a full disk is named in one line, a closed pipe is status 141 alone."""

import os
import subprocess

import pytest

from tests.support import program
from tests.support.commands import TIME_LIMIT
from tests.support.running import TARGET

FULL = b"ssm-plugin: cannot write to standard output: No space left on device\n"
CONFIGURATION = "targets: {db1: %s}\njobs: {j: {target: db1, command: 'true'}}\n" % TARGET
LINES = [
    "--version",
    "--help",
    "exec --help",
    "demo",
    "help",
    "help exec",
    "help config",
    "help --man",
    "completion bash",
    "completion for zsh exe",
    "list",
    "list --json",
    "doctor",
    "doctor --json",
    "ssh-config",
    "run --list",
    "run --dry-run j",
    "exec db1 -- echo hello",
    "exec db1 --json -- true",
    "exec db1,%s --json -- true" % TARGET,
    "exec db1 --quiet --via run-command --json -- true",
    "cp ./ssm-plugin.yaml db1:{}/there --json",
    "cp db1:{}/ssm-plugin.yaml -",
    "forward db1 0:80 --json --quiet",
    "demo serve",
]


def ended(cli, line, stdout):
    """Status and stderr, with ``stdout`` for its output; it is closed here."""
    cli.configure(CONFIGURATION)
    argv = cli.argv(*line.format(cli.folder).split())
    with program.start(
        argv, env=cli.environ, cwd=str(cli.folder), stdin=subprocess.DEVNULL,
        stdout=stdout, stderr=subprocess.PIPE,
    ) as process:
        os.close(stdout)
        said = process.communicate(timeout=TIME_LIMIT)[1]
    return process.returncode, said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.may_skip
@pytest.mark.parametrize("line", LINES)
def test_a_full_disk_is_named(cli, line):
    status, said = ended(cli, line, os.open("/dev/full", os.O_WRONLY))
    assert (status, said) == (255, FULL)


@pytest.mark.parametrize("line", LINES)
def test_a_closed_pipe_is_a_status(cli, line):
    reader, writer = os.pipe()
    os.close(reader)
    assert ended(cli, line, writer) == (141, b"")
