"""A command that ends before its input does ends the program as well."""

import os
import subprocess

import pytest

from tests.support.commands import Cli
from tests.support.service import local_service

TARGETS = ["i-demo", "ecs:demo/web"]


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


def run_with(cli, target, source, *words):
    """Status and output, with ``source`` as standard input."""
    argv = cli.argv("exec", target, "--stdin", "-", "--", *words)
    with subprocess.Popen(
        argv, env=cli.environ, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            out, errors = process.communicate(timeout=40)
        finally:
            process.kill()
    assert errors == b""
    return process.returncode, out


@pytest.mark.parametrize("target", TARGETS)
def test_a_silent_input_holds_up_nothing(service, tmp_path, target):
    reader, writer = os.pipe()
    try:
        cli = Cli(tmp_path, service)
        assert run_with(cli, target, reader, "sh", "-c", "echo x; exit 3") == (3, b"x\n")
    finally:
        os.close(reader)
        os.close(writer)
    service.wait_for(lambda: not service.open_sessions())


@pytest.mark.parametrize("target", TARGETS)
def test_an_endless_input_holds_up_nothing(service, tmp_path, target):
    with open("/dev/zero", "rb") as source:
        done = run_with(Cli(tmp_path, service), target, source, "head", "-c", "3")
    assert done == (0, b"\0\0\0")
    service.wait_for(lambda: not service.open_sessions())
