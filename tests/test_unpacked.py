"""The built file's cache of compiled modules: used where it is private, done without elsewhere."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from ssm_plugin import unpacked

HELP = ["shell", "--help"]


def start(zipapp: Path, arguments: List[str], environ: Dict[str, str], **options: Any) -> Any:
    """The running program, with an environment that says nothing but where the cache is."""
    return subprocess.Popen(
        [sys.executable, "-v", str(zipapp.with_name("ssm-plugin"))] + arguments,
        env=dict({"PATH": os.environ["PATH"]}, **environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options
    )


def imported_from(folder: Path, zipapp: Path, environ: Dict[str, str]) -> bool:
    """Whether the modules of a command, which ran well, came from that folder."""
    process = start(zipapp, HELP, environ)
    output, messages = process.communicate(timeout=15)
    assert process.returncode == 0, messages[-1000:]
    assert output.startswith(b"usage: ssm-plugin shell")
    return os.fsencode(str(folder)) in messages


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def folder(zipapp: Path, tmp_path: Path) -> Path:
    """Where this build is unpacked to; not made yet."""
    return tmp_path / "cache" / "ssm-plugin" / unpacked.content_key(str(zipapp))


def test_the_first_start_unpacks_and_all_use_it(
    zipapp: Path, environ: Dict[str, str], folder: Path
) -> None:
    assert imported_from(folder, zipapp, environ)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    for path in (folder, folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    compiled = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pyc")}
    assert len(compiled) > 100
    assert imported_from(folder, zipapp, environ)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.pyc")} == compiled


def test_it_lies_in_the_home_directory_unless_told_otherwise(zipapp: Path, tmp_path: Path) -> None:
    assert imported_from(tmp_path / ".cache" / "ssm-plugin", zipapp, {"HOME": str(tmp_path)})


def test_another_build_has_another_folder(zipapp: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(zipapp.read_bytes() + b"\n")
    assert unpacked.content_key(str(other)) != unpacked.content_key(str(zipapp))


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_version_leaves_nothing_behind(
    zipapp: Path, tmp_path: Path, environ: Dict[str, str], argument: str
) -> None:
    start(zipapp, [argument], environ).communicate(timeout=15)
    assert (tmp_path / "cache").exists() == (argument != "--version")


def test_starts_at_the_same_time_make_one_folder(
    zipapp: Path, environ: Dict[str, str], folder: Path
) -> None:
    processes = [start(zipapp, HELP, environ) for _ in range(4)]
    for process in processes:
        process.communicate(timeout=15)
    assert [process.returncode for process in processes] == [0] * 4
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def plant(folder: Path) -> None:
    """A foreign module, as somebody would put it there who wants to run code in our name."""
    commands = folder / "ssm_plugin" / "commands"
    commands.mkdir(parents=True)
    (commands / "__init__.py").write_text("raise SystemExit(66)")
    folder.parent.chmod(0o700)
    folder.chmod(0o700)


def test_what_stands_in_a_private_folder_is_what_runs(
    zipapp: Path, environ: Dict[str, str], folder: Path
) -> None:
    """The tests below would prove nothing otherwise."""
    plant(folder)
    process = start(zipapp, HELP, environ)
    process.communicate(timeout=15)
    assert process.returncode == 66


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702, 0o755])
def test_a_folder_that_is_open_to_others_is_not_used(
    zipapp: Path, environ: Dict[str, str], folder: Path, mode: int
) -> None:
    plant(folder)
    folder.chmod(mode)
    assert not imported_from(folder, zipapp, environ)
    folder.chmod(0o700)
    folder.parent.chmod(mode)
    assert not imported_from(folder, zipapp, environ)


def test_a_link_to_a_folder_is_not_used(
    zipapp: Path, environ: Dict[str, str], folder: Path, tmp_path: Path
) -> None:
    plant(tmp_path / "elsewhere" / "folder")
    folder.parent.mkdir(parents=True, mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere" / "folder")
    assert not imported_from(folder, zipapp, environ)


@pytest.mark.parametrize(
    "environ", [{"HOME": "/nowhere/at/all"}, {"XDG_CACHE_HOME": "/dev/null/cache"}]
)
def test_without_a_place_for_it_all_comes_from_the_file(
    zipapp: Path, environ: Dict[str, str]
) -> None:
    assert not imported_from(Path("ssm-plugin") / "cpython", zipapp, environ)
    assert not os.path.exists("/nowhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.may_skip
def test_nothing_is_left_in_the_home_of_another_user(zipapp: Path, tmp_path: Path) -> None:
    os.chown(str(tmp_path), 12345, 12345)
    assert not imported_from(tmp_path, zipapp, {"HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
    os.chown(str(tmp_path), 0, 0)


def test_outside_of_the_built_file_it_does_nothing() -> None:
    before = list(sys.path)
    unpacked.use()
    assert sys.path == before
