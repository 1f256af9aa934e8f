"""The built file: what is in it, and that it starts on every Python that this machine has."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import List, NamedTuple, Set

import pytest

from tests.support.interpreters import interpreters

ROOT = Path(__file__).resolve().parent.parent
FOUND = interpreters()
SUPPORTED = [path for version, path in FOUND.items() if version >= (3, 6)]
TOO_OLD = [path for version, path in FOUND.items() if version < (3, 6)]
TIME_LIMIT = 60  # seconds: the first start of each Python compiles all that is inside
INSTALLED_TEXT = (
    b"\nThe Session Manager plugin was installed successfully."
    b" Use the AWS CLI to start a session.\n\n"
)


@pytest.fixture(scope="module", params=SUPPORTED)
def python(request: pytest.FixtureRequest) -> str:
    """All tests with one Python are neighbours: the first start compiles for the others."""
    return str(request.param)


class Finished(NamedTuple):
    status: int
    stdout: bytes
    stderr: bytes


def run(command: List[str], folder: Path, stdin: bytes = b"") -> Finished:
    """Run in an empty folder, and without what this Python was told by its environment."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV"))}
    process = subprocess.Popen(
        command,
        cwd=str(folder),
        env=dict(environ, PYTHONWARNINGS="error", SHELL="/bin/sh"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        stdout, stderr = process.communicate(stdin, timeout=TIME_LIMIT)
    return Finished(process.returncode, stdout, stderr)


def entries(zipapp: Path) -> List[str]:
    with zipfile.ZipFile(str(zipapp)) as archive:
        return archive.namelist()


def test_every_python_builds_the_same_bytes(zipapp: Path, tmp_path: Path, python: str) -> None:
    subprocess.check_call([python, str(ROOT / "scripts" / "build_zipapp"), str(tmp_path)])
    assert (tmp_path / zipapp.name).read_bytes() == zipapp.read_bytes()


def test_nothing_is_compressed_as_each_zlib_would_do_it_differently(zipapp: Path) -> None:
    with zipfile.ZipFile(str(zipapp)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
@pytest.mark.parametrize(
    "argument, status, said",
    [("--help", 0, b"usage: "), ("-h", 0, b"DIR"), ("--fast", 2, b"--fast")],
)
def test_a_call_for_help_or_a_wrong_option_builds_nothing(
    tmp_path: Path, argument: str, status: int, said: bytes
) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "build_zipapp"), argument]
    done = run(command, tmp_path)
    assert done.status == status
    assert said in (done.stderr if status else done.stdout)
    assert os.listdir(str(tmp_path)) == []


def test_entries_are_python_source_and_two_licences(zipapp: Path) -> None:
    others = [name for name in entries(zipapp) if not name.endswith(".py")]
    assert others == ["LICENSE.PyYAML", "LICENSE.websocket-client"]


def test_the_licences_are_whole(zipapp: Path) -> None:
    with zipfile.ZipFile(str(zipapp)) as archive:
        yaml = archive.read("LICENSE.PyYAML")
        websocket = archive.read("LICENSE.websocket-client")
    assert b"Ingy d\xc3\xb6t Net" in yaml and b"Permission is hereby granted" in yaml
    assert b"Apache License" in websocket and b"END OF TERMS AND CONDITIONS" in websocket


def test_package_and_both_dependencies_are_inside_without_their_tests(zipapp: Path) -> None:
    names = entries(zipapp)
    assert {"__main__.py", "ssm_plugin/__main__.py", "ssm_plugin/version.py"} < set(names)
    assert {"websocket/_core.py", "yaml/constructor.py"} < set(names)
    assert [name for name in names if "test" in name] == []


def test_file_stays_under_two_megabytes(zipapp: Path) -> None:
    assert zipapp.stat().st_size < 2000000


def test_both_names_are_one_executable_file(zipapp: Path) -> None:
    other = zipapp.with_name("ssm-plugin")
    assert other.resolve() == zipapp.resolve()
    assert os.access(str(other), os.X_OK)


def test_file_runs_by_itself(zipapp: Path, tmp_path: Path) -> None:
    assert run([str(zipapp), "--version"], tmp_path) == (0, b"1.2.896.0\n", b"")


def test_version_is_the_protocol_version_alone(zipapp: Path, tmp_path: Path, python: str) -> None:
    command = [python, str(zipapp), "--version"]
    assert run(command, tmp_path) == (0, b"1.2.896.0\n", b"")


def test_no_argument_says_that_it_is_installed(
    zipapp: Path, tmp_path: Path, python: str
) -> None:
    assert run([python, str(zipapp)], tmp_path) == (0, INSTALLED_TEXT, b"")


def test_a_command_runs_through_the_local_service(
    zipapp: Path, tmp_path: Path, python: str
) -> None:
    program = str(zipapp.with_name("ssm-plugin"))
    command = [python, program, "demo", "exec", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]
    done = run(command, tmp_path)
    assert (done.status, done.stdout) == (3, b"out\n")
    assert b"err\n" in done.stderr


def test_a_shell_runs_through_the_local_service(
    zipapp: Path, tmp_path: Path, python: str
) -> None:
    program = str(zipapp.with_name("ssm-plugin"))
    done = run([python, program, "demo", "shell"], tmp_path, b"echo $((6*7)); exit\n")
    assert done.status == 0
    assert b"\n42\r\n" in done.stdout
    assert b"Exiting session with sessionId: loopback-" in done.stderr


@pytest.mark.may_skip
@pytest.mark.parametrize("python", TOO_OLD or [pytest.param("", marks=pytest.mark.skip("none"))])
def test_an_old_python_is_told_what_is_needed(zipapp: Path, tmp_path: Path, python: str) -> None:
    done = run([python, str(zipapp), "--version"], tmp_path)
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.startswith(b"session-manager-plugin needs Python 3.6 or newer, but ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("argument", ["--version", ""])
def test_checks_by_the_aws_cli_load_next_to_nothing(
    zipapp: Path, tmp_path: Path, python: str, argument: str
) -> None:
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(str(empty), "w") as archive:
        archive.writestr("__main__.py", "")
    more = loaded(python, zipapp, tmp_path, argument) - loaded(python, empty, tmp_path, argument)
    assert {name for name in more if not name.startswith(b"ssm_plugin")} == set()
    assert len(more) <= 3


def loaded(python: str, archive: Path, folder: Path, argument: str) -> Set[bytes]:
    """The modules that a start imports, of those that no start-up file of this Python has."""
    command = [python, "-S", "-v", str(archive), argument]
    lines = run([word for word in command if word], folder).stderr.splitlines()
    return {line.split()[1].strip(b"\'") for line in lines if line.startswith(b"import ")}
