"""Somebody lays links, pipes and files of his own where we read and write."""

import os
import resource
import select
import stat
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from ssm_plugin import config, logs
from ssm_plugin.aws.process import credential_process
from ssm_plugin.aws.profiles import read_profile
from ssm_plugin.commands.demo import _write
from ssm_plugin.errors import ConfigurationError, CredentialsError, LocalError
from ssm_plugin.forwarding.readiness import ReadyFile
from ssm_plugin.jobs.lock import JobLock
from ssm_plugin.jobs.sinks import open_fresh, open_output
from ssm_plugin.net.local_end import bind_unix
from ssm_plugin.net.timing import Deadline
from tests.support.aws_home import AwsHome

ROOT = Path(__file__).resolve().parent.parent.parent
STRANGER = 65534
TIME_LIMIT = 30.0  # s
MEMORY = 512 << 20  # bytes of address space, where a reader that is not bounded takes gigabytes
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


# --- What we write: log, output of a job and of each target, lock, ready files.


def write_log(path: str) -> None:
    try:
        logs.configure(config.LogSettings("info", path))
        logs.logger("ssm_plugin.test").info("ours")
    finally:
        logs.configure(config.LogSettings())


def write_output(path: str) -> None:
    with open_output(path, datetime(2020, 1, 1), "i-1") as file:
        file.write(b"ours\n")


def write_fresh(path: str) -> None:
    with open_fresh(path) as file:
        file.write(b"ours\n")


def write_lock(path: str) -> None:
    lock = JobLock("x", os.path.dirname(path))
    lock.path = path
    with lock:
        pass


def write_ready(path: str) -> None:
    ready = ReadyFile(path)
    ready.prepare()
    ready.write(["ours"])


def announce(path: str) -> None:
    _write(path, "ours\n")


Writer = Callable[[str], None]
APPENDERS: List[Writer] = [write_log, write_output, write_fresh, write_lock]
EVERY: List[Writer] = APPENDERS + [write_ready, announce]


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file that an attacker wants us to write to."""
    path = tmp_path / "precious"
    path.write_text("keep me")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared" / "file"


@pytest.mark.parametrize("write", EVERY)
def test_what_is_in_order_is_written(place: Path, write: Writer) -> None:
    """The tests below would prove nothing otherwise."""
    write(str(place))
    assert place.exists()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert os.listdir(str(place.parent)) == ["file"]


@pytest.mark.parametrize("write", APPENDERS + [write_ready])
def test_nothing_is_written_through_a_link(place: Path, precious: Path, write: Writer) -> None:
    place.symlink_to(precious)
    with pytest.raises(LocalError) as caught:
        write(str(place))
    assert str(place) in str(caught.value) and "link" in str(caught.value)
    assert precious.read_text() == "keep me"


@pytest.mark.parametrize("write", APPENDERS)
def test_nor_made_at_the_other_end_of_one(place: Path, tmp_path: Path, write: Writer) -> None:
    place.symlink_to(tmp_path / "missing")
    with pytest.raises(LocalError):
        write(str(place))
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("write", APPENDERS)
def test_nothing_is_written_into_a_file_that_has_a_second_name(
    place: Path, precious: Path, write: Writer
) -> None:
    os.link(str(precious), str(place))
    with pytest.raises(LocalError, match="name"):
        write(str(place))
    assert precious.read_text() == "keep me"


@pytest.mark.parametrize("write", [write_ready, announce])
@pytest.mark.parametrize("lay", [os.symlink, os.link])
def test_a_file_that_appears_whole_is_not_made_where_somebody_waits_for_it(
    place: Path, precious: Path, write: Writer, lay: Callable[[str, str], None]
) -> None:
    lay(str(precious), "%s.%d" % (place, os.getpid()))
    write(str(place))
    assert precious.read_text() == "keep me"
    assert place.read_text() == "ours\n"


@pytest.mark.may_skip
@needs_root
@pytest.mark.parametrize("write", APPENDERS + [write_ready])
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_nothing_is_written_into_what_belongs_to_somebody_else(
    place: Path, write: Writer, kind: str
) -> None:
    reader = None
    if kind == "pipe":
        os.mkfifo(str(place))
        reader = os.open(str(place), os.O_RDONLY | os.O_NONBLOCK)
    else:
        place.write_text("theirs")
    os.chown(str(place), STRANGER, STRANGER)
    with pytest.raises(LocalError, match="somebody else|regular file"):
        write(str(place))
    if reader is not None:
        assert os.read(reader, 10) == b""
        os.close(reader)
    else:
        assert place.read_text() == "theirs"


@pytest.mark.parametrize("write", [write_log, write_output, write_fresh])
def test_a_pipe_of_our_own_may_be_named(place: Path, write: Writer) -> None:
    os.mkfifo(str(place))
    reader = os.open(str(place), os.O_RDONLY | os.O_NONBLOCK)
    write(str(place))
    assert b"ours" in os.read(reader, 1000)
    os.close(reader)


@pytest.mark.parametrize("write", [write_log, write_output, write_fresh])
def test_a_device_may_be_named(write: Writer) -> None:
    write(os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


WRITE_TO_OUR_STDOUT = """
from tests.test_attacks.test_files import *
print("first", flush=True)
for write in (write_log, write_output, write_fresh):
    for name in ("/dev/stdout", "/dev/fd/1"):
        print(write.__name__, name, flush=True)
        write(name)
"""


def test_our_own_stdout_may_be_named_though_it_is_a_link(tmp_path: Path) -> None:
    with open(str(tmp_path / "out"), "wb") as out:
        subprocess.check_call(
            [sys.executable, "-c", WRITE_TO_OUR_STDOUT], stdout=out, cwd=str(ROOT)
        )
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines[0] == "first" and len(lines) == 13, lines
    assert all(line.endswith("ours") for line in lines[2::2]), lines


def test_a_ready_file_takes_the_place_of_nothing_but_a_file(place: Path) -> None:
    """Of a pipe here, and not of a device: a failure of this test must not cost the machine one."""
    os.mkfifo(str(place))
    with pytest.raises(LocalError, match="regular file"):
        ReadyFile(str(place)).prepare()
    assert stat.S_ISFIFO(place.stat().st_mode)


# --- The umask is the whole process's.


def test_listening_at_a_unix_socket_leaves_other_threads_files_alone(tmp_path: Path) -> None:
    over = threading.Event()
    before = os.umask(0o022)
    try:
        writer = threading.Thread(target=write_files, args=(tmp_path, over))
        writer.start()
        for number in range(300):
            bind_unix(str(tmp_path / ("socket%d" % number))).close()
        over.set()
        writer.join()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o644}


def write_files(folder: Path, over: threading.Event) -> None:
    number = 0
    while not over.is_set() or not number:
        (folder / ("file%d" % number)).write_text("")
        number += 1


def test_nothing_in_the_package_touches_the_umask() -> None:
    sources = list((ROOT / "ssm_plugin").rglob("*.py"))
    assert len(sources) > 100
    # The scripts for nodes set one there, of a shell of their own.
    assert [path for path in sources if "os.umask" in path.read_text(encoding="utf-8")] == []


# --- What we read.


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(arguments: List[str], environ: Dict[str, str], **options: Any) -> Any:
    """Our own command line: (exit status, stderr)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ssm_plugin"] + arguments,
        cwd=str(ROOT),
        env=dict({"PATH": os.environ["PATH"]}, **environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=limited,
        **options
    )
    try:
        said = process.communicate(timeout=TIME_LIMIT)[1].decode()
        return process.returncode, said
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("quiet: true\n")
    path.chmod(0o644)
    return path


def refusal(path: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        config.load(str(path), {})
    message = str(caught.value)
    assert message.startswith("the configuration file %s " % path) and "\n" not in message
    return message


def test_a_configuration_of_ours_is_read_even_through_a_link(
    settings: Path, tmp_path: Path
) -> None:
    """As programs that manage dot-files lay them."""
    (tmp_path / "link").symlink_to(settings)
    assert config.load(str(tmp_path / "link"), {}).quiet is True


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622])
def test_a_configuration_that_others_may_write_is_refused(settings: Path, mode: int) -> None:
    settings.chmod(mode)
    assert "chmod go-w" in refusal(settings)


@pytest.mark.may_skip
@needs_root
def test_a_configuration_of_somebody_else_is_refused(settings: Path) -> None:
    os.chown(str(settings), STRANGER, STRANGER)
    assert "belongs to somebody else" in refusal(settings)


def test_a_pipe_is_no_configuration_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "pipe"))
    assert "is not a regular file" in refusal(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
def test_nor_is_a_device_or_a_directory(path: str) -> None:
    assert "is not a regular file" in refusal(path)


def test_a_configuration_beyond_1_mib_is_refused(settings: Path) -> None:
    settings.write_bytes(b"#" * (1 << 20))
    config.load(str(settings), {})
    settings.write_bytes(b"#" * ((1 << 20) + 1))
    assert "1 MiB" in refusal(settings)


def test_the_command_line_says_so_in_one_line(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "pipe"))
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        status, said = run(["run", "--check", "--config", path], {"HOME": str(tmp_path)})
        assert status == 255
        assert said.count("\n") == 1 and "is not a regular file" in said


@pytest.fixture
def home(tmp_path: Path) -> AwsHome:
    return AwsHome(tmp_path)


@pytest.mark.parametrize("size, problem", [(8 << 20, ""), ((8 << 20) + 1, "8 MiB")])
def test_an_aws_file_of_any_length_is_not_read(home: AwsHome, size: int, problem: str) -> None:
    text = b"[profile p]\nregion = eu-west-1\n"
    home.config(text + b"#" * (size - len(text)))
    if not problem:
        assert read_profile("p", home.environ).text("region") == "eu-west-1"
        return
    with pytest.raises(CredentialsError, match=problem):
        read_profile("p", home.environ)


def test_a_list_of_targets_of_any_length_is_not_read(tmp_path: Path) -> None:
    arguments = ["exec", "--targets-file", "/dev/zero", "--", "x"]
    status, said = run(arguments, {"HOME": str(tmp_path)})
    assert status and said.count("\n") == 1 and "1 MiB" in said


@pytest.mark.parametrize("text, why", [(b"web1\n", "no AWS region"), (b"", "TARGET in /dev/fd/")])
def test_a_list_of_targets_may_come_through_a_pipe(tmp_path: Path, text: bytes, why: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    arguments = ["exec", "--targets-file", "/dev/fd/%d" % reader, "--", "x"]
    status, said = run(arguments, {"HOME": str(tmp_path)}, pass_fds=[reader])
    os.close(reader)
    assert status and why in said


# --- What a program prints that was asked for credentials.


def keys_of(home: AwsHome, script: str) -> Any:
    home.program("keys", script)
    return credential_process("keys", "p", home.environ, Deadline(TIME_LIMIT, "the search"))


ANSWER = '{"Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "of-no-value"}'


@pytest.fixture
def lifeline(home: AwsHome) -> Iterator[int]:
    """Its end of file comes when no program that was started has file 3 any more."""
    os.mkfifo(str(home.path / "pipe"))
    reader = os.open(str(home.path / "pipe"), os.O_RDONLY | os.O_NONBLOCK)
    yield reader
    os.close(reader)


def test_what_never_stops_printing_is_ended(home: AwsHome, lifeline: int) -> None:
    script = "exec 3>'%s/pipe'\nprintf x >&3\nexec cat /dev/zero" % home.path
    with pytest.raises(CredentialsError, match="more than 1 MiB"):
        keys_of(home, script)
    received = b""
    while select.select([lifeline], [], [], TIME_LIMIT)[0]:
        data = os.read(lifeline, 10)
        received += data
        if not data:
            break
    assert received == b"x"


def test_any_amount_of_complaints_is_taken_and_their_end_is_shown(home: AwsHome) -> None:
    flood = "head -c 3000000 /dev/zero | tr '\\0' '\\n' >&2\n"
    assert keys_of(home, flood + "echo '%s'" % ANSWER).access_key == "AKIA1"
    with pytest.raises(CredentialsError, match="exit status 3: log in"):
        keys_of(home, flood + "echo log in >&2; exit 3")
