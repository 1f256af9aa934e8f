"""Too few descriptors, threads, or too little memory: one clear line, and the session is over."""

import os
import shutil
import sys

import pytest

from tests.support.drop_in import DropIn
from tests.support.service import local_service
from tests.test_attacks.limits import KINDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems count otherwise")

# Descriptors with which Python starts, but which are too few for a session of that kind.
FEW_FILES = {"shell": (5, 6, 7), "port": (5, 6, 7, 8, 10, 12), "exec": (5,)}
FEW_THREADS = {"shell": (1, 2, 3, 5), "port": (1, 3, 6), "exec": (1, 2, 4)}
LITTLE_MEMORY = (30, 40)  # MB

THREADS = b"no more threads can be started: end other programs of this user, or raise the limits"
OPEN_FILES = b"too many open files: close some, or raise the limit (ulimit -n)"


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def drop_in(tmp_path, service):
    return DropIn(tmp_path, service)


def cases(values):
    """Where all tests are repeated on the oldest Python, the least and the most of each kind."""
    if sys.version_info < (3, 9):
        values = {kind: sorted({each[0], each[-1]}) for kind, each in values.items()}
    return [(kind, value) for kind in sorted(values) for value in values[kind]]


def assert_one_clear_line(result):
    assert result.status == 255
    assert result.stderr.startswith(b"ssm-plugin: "), result.stderr
    assert result.stderr.count(b"\n") == 1, result.stderr
    assert b"internal error" not in result.stderr
    assert result.over


@pytest.mark.parametrize("kind, files", cases(FEW_FILES))
def test_too_few_descriptors_are_named_and_the_session_is_over(drop_in, kind, files):
    result = KINDS[kind](drop_in, ("-n", files))
    assert_one_clear_line(result)
    assert OPEN_FILES in result.stderr


@pytest.mark.parametrize("kind, threads", cases(FEW_THREADS))
def test_too_few_threads_are_named_and_the_session_is_over(drop_in, kind, threads):
    if os.getuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root is exempt, and there is no setpriv")
    result = KINDS[kind](drop_in, ("-u", threads))
    assert_one_clear_line(result)
    assert THREADS in result.stderr


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("megabytes", LITTLE_MEMORY)
def test_too_little_memory_is_named_and_the_session_is_over(drop_in, kind, megabytes):
    result = KINDS[kind](drop_in, ("-v", megabytes * 1024))
    assert_one_clear_line(result)
    assert b"ulimit -v" in result.stderr


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("limit", [("-n", 40), ("-u", 20)])
def test_little_is_enough(drop_in, kind, limit):
    result = KINDS[kind](drop_in, limit)
    assert result.stderr == b"" and result.over
    assert b"it runs" in result.stdout or b"Waiting for connections" in result.stdout
