"""A file system that is full, at either end, or here the one of temporary files: status 1, its
words, and nothing but the part."""

import os
import subprocess
import tempfile

import pytest

from tests.support.copies import Copies, node
from tests.support.files import random_file, sha256
from tests.support.service import local_service

pytestmark = pytest.mark.may_skip

SIZE = 1 << 19  # of the file system
FULL = "No space left on device"
TEMPORARY = "cannot write a temporary file: %s (TMPDIR says where)"


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def small(tmp_path):
    """A directory on a small file system of its own."""
    path = tmp_path / "small"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=%d" % SIZE, "tmpfs", str(path)]
    try:
        subprocess.check_output(words, stderr=subprocess.STDOUT)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only where a tmpfs may be mounted")
    yield path
    subprocess.check_call(["umount", str(path)])


def make_file(folder):
    random_file(folder / "data", 2 * SIZE)
    return folder / "data"


def make_tree(folder):
    """Its tar fits, but not beside what is unpacked of it."""
    (folder / "data").mkdir()
    for number in range(7):
        random_file(folder / "data" / str(number), SIZE // 10)
    return folder / "data"


@pytest.mark.parametrize("options", [{}, {"speed": "fast"}, {"compress": True}], ids=str)
@pytest.mark.parametrize("make", [make_file, make_tree])
def test_a_full_node_says_so(service, tmp_path, small, make, options):
    source = make(tmp_path)
    report = Copies(service).cp(source, node(small), recursive=True, **options)
    assert report.result.status == 1 and report.result.reason.startswith(node(small))
    assert FULL in report.result.reason, report
    (name,) = os.listdir(str(small))
    assert name.startswith("data.") and name.endswith(".part") and (small / name).stat().st_size
    if make is make_file:
        os.truncate(str(source), SIZE // 2)
        report = Copies(service).cp(source, node(small), resume=True)
        assert report.result.status == 0 and sha256(small / "data") == sha256(source)


@pytest.mark.parametrize("make", [make_file, make_tree])
def test_a_full_disk_here_says_so(service, tmp_path, small, make):
    source = make(tmp_path)
    report = Copies(service).cp(node(source), small, recursive=True)
    assert report.result.status == 1
    assert report.result.reason.startswith("cannot ") and FULL in report.result.reason, report
    assert str(small / "data") in report.result.reason
    (name,) = os.listdir(str(small))
    assert name == "data.ssm-plugin.part"


@pytest.mark.parametrize("to_node", [True, False])
def test_a_full_disk_of_temporary_files_says_so(
    service, tmp_path, small, monkeypatch, to_node
):
    """The list of what was copied is kept there. A few of its lines find room in a buffer."""
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("content")
    random_file(small / "filler", SIZE // 2)
    with open(str(small / "more"), "wb", buffering=0) as more, pytest.raises(OSError):
        while True:
            more.write(bytes(4096))
    places = [tmp_path / "data", tmp_path / "copy"]
    places[to_node] = node(places[to_node])
    report = Copies(service).cp(*places, recursive=True, listed=list)
    assert report.result.status == 1
    assert report.result.reason == TEMPORARY % FULL
    assert not (tmp_path / "copy").exists()


def test_a_full_disk_of_temporary_files_says_so_where_a_file_has_no_size(
    service, tmp_path, small, monkeypatch
):
    """What is larger than fits into memory is kept there until its size is known."""
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    mounted = str(tmp_path / "data" / "file")
    subprocess.check_call(["mount", "--bind", "/proc/kallsyms", mounted])
    try:
        report = Copies(service).cp(tmp_path / "data", node(tmp_path / "copy"), recursive=True)
    finally:
        subprocess.check_call(["umount", mounted])
    assert report.result.status == 1
    assert report.result.reason == TEMPORARY % FULL
    assert not (tmp_path / "copy").exists()


def test_a_missing_directory_of_temporary_files_says_so(service, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    report = Copies(service).cp(node(tmp_path), tmp_path, recursive=True, listed=list)
    assert report.result.status == 1
    assert report.result.reason == TEMPORARY % "No such file or directory"
