"""Files of the kernel: those in /proc say that they are empty, those in /sys that they have a page.

What is in them is copied.
"""

import os
import subprocess

import pytest

from ssm_plugin.copying.options import CopyFailed, Skipped
from ssm_plugin.copying.source import size_of
from ssm_plugin.copying.tree import tar_of
from tests.support.copies import Copies, node
from tests.support.service import local_service

FILES = ["/proc/version", "/sys/devices/system/cpu/possible"]


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def there(tmp_path):
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def content(path):
    with open(str(path), "rb") as file:
        return file.read()


@pytest.mark.parametrize("options", [{}, {"compress": True}, {"speed": "auto"}], ids=str)
@pytest.mark.parametrize("path", FILES)
def test_what_is_in_it_comes_to_the_node(service, there, path, options):
    report = Copies(service).cp(path, node(there), **options)
    assert report.result.status == 0, report
    [name] = os.listdir(str(there))
    assert content(there / name) == content(path) != b""
    assert report.files[0].size == len(content(path)) != os.stat(path).st_size


@pytest.mark.parametrize("path", FILES)
def test_what_is_in_it_comes_from_the_node(service, tmp_path, path):
    told = []
    report = Copies(service).cp(node(path), tmp_path / "got", tell=told.append)
    assert report.result.status == 0, report
    assert content(tmp_path / "got") == content(path)
    assert told[-1].done == len(content(path))
    assert told[-1].total == (None if path == FILES[0] else os.stat(path).st_size)


def test_a_directory_of_them_comes_to_the_node(service, there):
    report = Copies(service).cp("/proc/sys/kernel/random", node(there), recursive=True)
    assert report.result.status == 0, report
    assert content(there / "random" / "poolsize") == content("/proc/sys/kernel/random/poolsize")
    assert content(there / "random" / "boot_id") == content("/proc/sys/kernel/random/boot_id")


def test_a_directory_of_them_does_not_come_from_the_node_as_empty_files(service, tmp_path):
    report = Copies(service).cp(node("/proc/sys/kernel/random"), tmp_path / "got", recursive=True)
    assert report.result.status == 1
    assert "tar takes the kernel's files in it for empty ones" in report.files[0].reason
    assert os.listdir(str(tmp_path)) == []


def test_a_part_of_one_is_gone_on_from(service, there):
    whole = content("/proc/version")
    (there / "version.ssm-plugin-0a1b2c3d.part").write_bytes(whole[:20])
    report = Copies(service).cp("/proc/version", node(there), resume=True)
    assert report.files[0].resumed == 20
    assert content(there / "version") == whole and os.listdir(str(there)) == ["version"]


def test_only_they_have_no_size(tmp_path):
    for size in (0, 1, 4096, 65536, 65537):
        (tmp_path / "a").write_bytes(bytes(size))
        assert size_of(str(tmp_path / "a")) == size
        (tmp_path / "hole").write_bytes(b"")
        os.truncate(str(tmp_path / "hole"), size)
        assert size_of(str(tmp_path / "hole")) == size
    assert [size_of(path) for path in FILES] == [None, None]


def test_a_link_that_cannot_be_read_is_named():
    """A process that has ended, of which nobody has heard yet, has no name spaces any more."""
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(CopyFailed, match="cannot read /proc/[0-9]+/ns/.*: "):
            list(tar_of("/proc/%d/ns" % ended.pid, Skipped()))


def test_one_that_cannot_be_read_is_named():
    """Nothing is at the beginning of a program's memory."""
    with pytest.raises(CopyFailed, match="cannot read /proc/self/mem: Input/output error"):
        size_of("/proc/self/mem")
