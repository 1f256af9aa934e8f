"""What programs that embed us see, beside results: types, and records in their own logs."""

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import venv

import pytest

import ssm_plugin
from tests.support.commands import Cli
from tests.support.pty import ROOT
from tests.support.service import local_service

SECRET = "c0ffee-c0ffee-c0ffee"


def python(cli, program):
    """``program`` in a process of its own; its status, and its log on stderr."""
    command = [sys.executable, "-c", program]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=cli.environ, cwd=str(cli.folder), **streams)
    stdout, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr.decode()
    return stdout.decode().splitlines(), stderr.decode().splitlines()


# --- Records


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


def test_a_programs_own_logging_sees_what_a_session_does(tmp_path):
    program = (
        "import logging, ssm_plugin\n"
        "logging.basicConfig(level=logging.INFO, format='%(name)s: %(message)s')\n"
        "print(ssm_plugin.run('i-demo', ['echo', 'out']).session_id)\n"
    )
    with local_service() as service:
        (session_id,), log = python(Cli(tmp_path, service), program)
    ours = [line for line in log if line.startswith("ssm_plugin.session.")]
    assert [line for line in ours if session_id in line], log


def test_a_program_that_does_not_log_sees_nothing_on_stderr(cli):
    program = "from ssm_plugin import logs; logs.logger('ssm_plugin.test').error('unseen')"
    assert python(cli, program) == ([], [])


PROGRAM = """
import logging, logging.config, sys
from ssm_plugin import logs, masking

masking.register_secret({secret!r})
{configure}
log = logs.logger("ssm_plugin.session.test")
log.warning("the token %s was refused", {secret!r})
try:
    raise ValueError("refused: {secret}")
except ValueError:
    log.exception("failed with %(password)s", dict(password={secret!r}))
"""

CONFIGURATIONS = {
    "root": "logging.basicConfig(level='DEBUG')",
    "package": "logging.getLogger('ssm_plugin').addHandler(logging.StreamHandler())",
    "one logger": "logging.getLogger('ssm_plugin.session.test').addHandler("
    "logging.StreamHandler())",
    "dictConfig": "logging.config.dictConfig(dict(version=1, "
    "handlers=dict(err={'class': 'logging.StreamHandler'}), "
    "loggers=dict(ssm_plugin=dict(handlers=['err'], propagate=False))))",
}


@pytest.mark.parametrize("configuration", sorted(CONFIGURATIONS))
def test_whatever_handler_a_program_has_it_sees_no_secret(cli, configuration):
    program = PROGRAM.format(secret=SECRET, configure=CONFIGURATIONS[configuration])
    _, log = python(cli, program)
    assert log[0].endswith("the token *** was refused")
    assert [line for line in log if line.endswith("failed with ***")]
    assert "Traceback (most recent call last):" in log
    assert log[-1] == "ValueError: refused: ***"
    assert SECRET not in "".join(log)


def test_a_handler_finds_no_secret_in_the_records_fields_either(cli):
    program = PROGRAM.format(
        secret=SECRET,
        configure="class Fields(logging.Handler):\n"
        "    def emit(self, record): print(ascii(vars(record)))\n"
        "logging.getLogger().addHandler(Fields())",
    )
    records, _ = python(cli, program)
    assert len(records) == 2 and SECRET not in "".join(records)


# --- Types


@pytest.mark.parametrize(
    "name, inner", [("run", "ssm_plugin.library"), ("forward", "ssm_plugin.forwarding.with_block")]
)
def test_signatures_say_what_the_functions_behind_them_take(name, inner):
    def parameters(function):
        found = inspect.signature(function).parameters.values()
        return [(one.name, one.kind, one.default) for one in found]

    behind = getattr(importlib.import_module(inner), name)
    assert parameters(getattr(ssm_plugin, name)) == parameters(behind)


TYPED = """
import socket
from typing import List

import ssm_plugin
from ssm_plugin.library import CompletedCommand

pieces: List[bytes] = []
done: CompletedCommand = ssm_plugin.run("i-1", ["true"], timeout=1.5, stdout=pieces.append)
status: int = done.status
with ssm_plugin.forward("i-1", 80, host="db", unix_socket=None) as address:
    if not isinstance(address, str):
        socket.create_connection(address)
"""

WRONG = {
    'ssm_plugin.run("i-1", ["true"], timeuot=1)': "call-arg",
    'ssm_plugin.run("i-1", ["true"], timeout="1")': "arg-type",
    'ssm_plugin.run("i-1", [b"true"])': "list-item",
    'ssm_plugin.forward("i-1", "80")': "arg-type",
    'ssm_plugin.run("i-1", "true").output': "attr-defined",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The Python of an environment in which the package is installed, as its wheel would be."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("installed")
    sources, environment = folder / "sources", folder / "environment"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(os.path.join(ROOT, "ssm_plugin"), str(sources / "ssm_plugin"), ignore=ignore)
    for name in ("setup.cfg", "setup.py", "README.rst"):
        shutil.copy(os.path.join(ROOT, name), str(sources))
    venv.create(str(environment), with_pip=False)
    python = str(environment / "bin" / "python")
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.check_output([python, "-c", question], timeout=40).decode().strip()
    subprocess.check_output(
        [sys.executable, "-W", "ignore", "setup.py", "-q", "build", "--build-lib", site],
        cwd=str(sources),
        timeout=50,
    )
    return python


@pytest.fixture
def check_types(installed, tmp_path):
    def check_types(program):
        (tmp_path / "program.py").write_text(program)
        process = subprocess.Popen(
            [sys.executable, "-m", "mypy", "--strict", "--python-executable", installed]
            + ["--config-file=", "--cache-dir", os.path.dirname(installed), "program.py"],
            cwd=str(tmp_path),
            stdout=subprocess.PIPE,
        )
        return process.communicate(timeout=50)[0].decode().splitlines()

    return check_types


@pytest.mark.e2e
def test_an_embedding_program_passes_mypy(check_types):
    assert check_types(TYPED) == ["Success: no issues found in 1 source file"]


def readme_examples():
    """Those in Python, as functions of one program."""
    with open(os.path.join(ROOT, "README.rst")) as file:
        blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", file.read())
    yield "import ssm_plugin\nfrom pathlib import Path\n"
    yield "session_id = stream_url = token_value = ''\n"
    for number, block in enumerate(blocks):
        if re.match(" *(import|from|for) .*ssm_plugin", block):
            yield "def example_%d() -> None:\n%s\n" % (number, block)


@pytest.mark.e2e
def test_the_readmes_examples_pass_mypy(check_types):
    program = "".join(readme_examples())
    assert program.count("def example") == 4
    assert check_types(program) == ["Success: no issues found in 1 source file"]


@pytest.mark.e2e
def test_mypy_finds_an_embedding_programs_mistakes(check_types):
    *errors, _ = check_types("import ssm_plugin\n" + "\n".join(WRONG))
    found = [line.rpartition("[")[2] for line in errors if ": error: " in line]
    assert found == [code + "]" for code in WRONG.values()], errors
