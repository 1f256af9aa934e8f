import os
import signal
import stat
import subprocess
import sys

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.jobs import lock as lock_module
from ssm_plugin.jobs.lock import JobLock, lock_directory

HOLD = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from ssm_plugin.jobs.lock import JobLock\n"
    "with JobLock('nightly', sys.argv[2]):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "state" / "locks")


@pytest.fixture
def holder(directory):
    """Another process that holds the lock of ``nightly``."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(lock_module.__file__)))
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, os.path.dirname(package), directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate(timeout=40)


def test_a_second_run_ends_at_once_and_says_who_is_first(directory, holder):
    with pytest.raises(LocalError) as caught:
        with JobLock("nightly", directory):
            pytest.fail("two hold the lock")
    assert str(caught.value) == "job 'nightly' is already running (pid {})".format(holder.pid)


def test_a_killed_run_leaves_no_lock_behind(directory, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    with JobLock("nightly", directory) as lock:
        with open(lock.path) as file:
            assert file.read() == "{}\n".format(os.getpid())


def test_the_lock_is_free_again_after_the_run(directory):
    for _ in range(2):
        with JobLock("nightly", directory) as lock:
            pass
    assert os.stat(lock.path).st_size == 0


def test_the_lock_is_free_again_after_an_error(directory):
    with pytest.raises(KeyError):
        with JobLock("nightly", directory):
            raise KeyError
    with JobLock("nightly", directory) as lock:
        assert os.path.exists(lock.path)


def test_the_lock_holds_within_one_process_too(directory):
    with JobLock("nightly", directory):
        with pytest.raises(LocalError):
            JobLock("nightly", directory).__enter__()
        with JobLock("weekly", directory) as other:
            assert os.path.exists(other.path)


def test_a_holder_that_has_not_yet_written_its_pid_is_unknown(directory):
    with JobLock("nightly", directory) as lock:
        os.truncate(lock.path, 0)
        with pytest.raises(LocalError) as caught:
            JobLock("nightly", directory).__enter__()
    assert "(pid unknown)" in str(caught.value)


def test_the_lock_and_its_directory_are_private(directory):
    before = os.umask(0)
    try:
        with JobLock("nightly", directory) as lock:
            assert stat.S_IMODE(os.stat(lock.path).st_mode) == 0o600
            assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "name", ["../../etc/x", "a/b", "..", "", "caf\u00e9 \U0001f600", "x" * 1000, "a\0b", "\udcff"]
)
def test_any_name_is_safe_as_a_file_name(directory, name):
    with JobLock(name, directory) as lock:
        assert os.listdir(directory) == [os.path.basename(lock.path)]


def test_names_that_look_alike_have_locks_of_their_own(directory):
    paths = {JobLock(name, directory).path.lower() for name in ("a b", "a_b", "A_B", "a/b")}
    assert len(paths) == 4


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError) as caught:
        JobLock("nightly", str(tmp_path / "file")).__enter__()
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_lock_file_that_cannot_be_written_is_named(directory):
    os.makedirs(directory)
    lock = JobLock("nightly", directory)
    lock.path = "/dev/full"
    with pytest.raises(LocalError) as caught:
        lock.__enter__()
    assert lock.path in str(caught.value)


def test_cron_and_a_shell_meet_in_one_directory():
    cron = {"HOME": "/home/me"}
    shell = {"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/1000"}
    assert lock_directory(cron) == lock_directory(shell) == "/home/me/.local/state/ssm-plugin/locks"
    assert lock_directory({"XDG_STATE_HOME": "/s"}) == "/s/ssm-plugin/locks"
    # The specification of these folders says that what is no absolute path does not count.
    assert lock_directory(dict(cron, XDG_STATE_HOME="state")) == lock_directory(cron)
