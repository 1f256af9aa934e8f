"""Uploads by a terminal: as they are where their length is known, else as text."""

import os

import pytest

from ssm_plugin.copying.transfer import _Words
from tests.support.copies import Copies, node
from tests.support.files import MIB, random_file, sha256
from tests.support.service import local_service
from tests.support.threads import wait_until

# What a terminal that is not raw would obey, change or echo.
KEYS = bytes(range(256)) * 300 + b"\x03\x04\x11\x13\x1a\x1c\r\n~.\n.\n" * 200


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def there(tmp_path):
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


@pytest.mark.parametrize("options", [{}, {"compress": True}], ids=str)
def test_every_byte_arrives_as_it_is(service, tmp_path, there, options):
    (tmp_path / "keys").write_bytes(KEYS)
    report = Copies(service).cp(tmp_path / "keys", node(there), **options)
    assert report.result.status == 0, report
    assert (there / "keys").read_bytes() == KEYS


def test_a_file_that_shrinks_meanwhile_leaves_a_part_that_is_resumed(service, tmp_path, there):
    random_file(tmp_path / "a", 4 * MIB)

    def shrink(progress):
        if progress.done > MIB:
            os.truncate(str(tmp_path / "a"), 2 * MIB)

    report = Copies(service).cp(tmp_path / "a", node(there), tell=shrink)
    assert report.result.status == 1 and "a has shrunk" in report.result.reason
    service.wait_for(lambda: not service.open_sessions())
    part, = there.glob("*")
    assert part.name.endswith(".part")
    wait_until(lambda: 0 < part.stat().st_size <= 2 * MIB)
    report = Copies(service).cp(tmp_path / "a", node(there), resume=True)
    assert report.result.status == 0 and report.files[0].resumed
    assert sha256(there / "a") == sha256(tmp_path / "a") and os.listdir(str(there)) == ["a"]


def test_a_lost_connection_costs_only_time(service, tmp_path, there):
    digest, dropped = random_file(tmp_path / "a", 3 * MIB), []

    def tell(progress):
        if progress.done > MIB and not dropped:
            dropped.append(1)
            for session in service.open_sessions():
                session.drop_connection()

    report = Copies(service).cp(tmp_path / "a", node(there), tell=tell)
    assert (report.result.status, dropped) == (0, [1]) and sha256(there / "a") == digest


@pytest.mark.parametrize("line", ["1: ", "line 1: "])
@pytest.mark.parametrize("name", ["ssm-plugin", "sh", "/bin/bash"])
def test_where_in_our_script_a_shell_stood_is_left_out_of_what_it_says(name, line):
    words = _Words()
    words.add(("%s: %sexec: sudo: not found\n" % (name, line)).encode())
    assert words.text == "sudo: not found"
