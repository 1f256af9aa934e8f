"""``exec`` in containers: sessions on a terminal that behave as if there were none."""

import base64
import hashlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from ssm_plugin.jobs.feed import END_OF_TEXT
from ssm_plugin.jobs.terminal_line import TerminalStream, terminal_line
from ssm_plugin.loopback.ecs_api import LocalContainer, LocalTask
from tests.support.commands import TIME_LIMIT, Cli, processes_with, wait_until_gone
from tests.support.container import outputs_of
from tests.support.service import local_service

WEB = "ecs:demo/web"
SCRIPT = 'echo out; echo err >&2; printf "a\\r\\nb"; exit 7'
ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def cli(service, tmp_path):
    kept = list(service.ecs.tasks)
    yield Cli(tmp_path, service)
    service.ecs.tasks[:] = kept
    service.wait_for(lambda: not service.open_sessions())


def test_bytes_errors_and_status_come_back_as_they_are(cli):
    done = cli.run("exec", WEB, "--", "sh", "-c", SCRIPT)
    assert done == (7, b"out\na\r\nb", b"err\n")


def test_the_same_where_the_container_has_no_stty(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cat", "dd", "sleep"):
        (programs / name).symlink_to("/bin/" + name)
    line = terminal_line(["/bin/sh", "-c", SCRIPT])
    stream = TerminalStream(line.marker)
    out, errors = outputs_of(line, stream, path=str(programs))
    assert (stream.status, out, errors) == (7, b"out\na\r\nb", b"err\n")
    assert not stream.is_exact


ALL = ("sh", "cat", "dd", "sleep", "stty", "sed", "base64", "kill", "sha256sum")
APART = (7, sorted(b"out\na\r\nb"), b"err\n")
MERGED = (7, sorted(b"out\na\r\nberr\n"), b"")  # in any order


@pytest.fixture
def busybox(tmp_path):
    """Makes a container with these programs of busybox; gives where they are."""
    program = shutil.which("busybox")
    if program is None:
        pytest.skip("no busybox")

    def make(names):
        for name in names:
            (tmp_path / name).symlink_to(program)
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    "missing, expected",
    [
        ((), APART),
        (("stty",), APART),
        (("dd",), MERGED),
        (("dd", "stty", "sed", "base64", "sleep", "kill"), MERGED),
    ],
)
def test_busybox_and_less_of_it_are_enough(busybox, missing, expected):
    path = busybox([name for name in ALL if name not in missing])
    line = terminal_line(["sh", "-c", SCRIPT])
    stream = TerminalStream(line.marker)
    out, errors = outputs_of(line, stream, path, path + "/sh")
    assert (stream.status, sorted(out), errors) == expected


def test_busybox_takes_input(busybox):
    path, data = busybox(ALL), bytes(range(256))
    line = terminal_line(["sha256sum"], has_input=True)
    stream = TerminalStream(line.marker)
    typed = base64.encodebytes(data) + END_OF_TEXT
    out, errors = outputs_of(line, stream, path, path + "/sh", typed)
    assert (stream.status, errors) == (0, b"")
    assert out.split()[0] == hashlib.sha256(data).hexdigest().encode()


@pytest.mark.volume
def test_ten_megabytes_arrive_whole(cli):
    line = "head -c 7500000 /dev/zero | tr '\\0' 'x' | fold -w 3"
    status, out, errors = cli.run("exec", WEB, "--shell", line)
    expected = b"xxx\n" * 2500000
    assert (status, errors) == (0, b"")
    assert hashlib.sha256(out + b"\n").hexdigest() == hashlib.sha256(expected).hexdigest()


def test_many_errors_between_much_output_stay_apart(cli):
    line = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo o$i; echo e$i >&2; done"
    status, out, errors = cli.run("exec", WEB, "--shell", line)
    numbers = range(1, 301)
    assert status == 0
    assert out.split() == [b"o%d" % number for number in numbers]
    assert errors.split() == [b"e%d" % number for number in numbers]


def test_input_reaches_the_command_byte_for_byte(cli):
    data = bytes(range(256)) * 40
    done = cli.run("exec", WEB, "--stdin", "-", "--", "sha256sum", input=data)
    assert done == (0, hashlib.sha256(data).hexdigest().encode() + b"  -\n", b"")


def test_the_time_limit_ends_the_command(cli, tmp_path):
    mark = "mark-%s" % tmp_path
    words = ["sh", "-c", "sleep 1000; true", mark]
    status, out, errors = cli.run("exec", WEB, "--timeout", "1s", "--", *words)
    assert (status, out) == (124, b"")
    assert b"time limit" in errors and errors.count(b"\n") == 1
    assert wait_until_gone(mark, 10)


def test_the_last_letter_before_the_time_limit_arrives(cli):
    """Though what the script says of itself begins with it."""
    script = """import os, time
with open("/proc/%d/cmdline" % os.getppid()) as file:
    words = file.read().split("\\0")
os.write(1, (">" + words[5][0]).encode())
time.sleep(1000)"""
    status, out, _ = cli.run("exec", WEB, "--timeout", "1s", "--", sys.executable, "-c", script)
    assert (status, len(out)) == (124, 2)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_here_ends_the_command_there(cli, number, status, tmp_path):
    mark = "mark-%s" % tmp_path
    script = "echo ready; sleep 1000; true"
    with cli.start("exec", WEB, "--", "sh", "-c", script, mark) as process:
        assert process.stdout.readline() == b"ready\n"
        assert processes_with(mark)
        process.send_signal(number)
        process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == status
    assert wait_until_gone(mark, 10)


def test_the_input_of_a_loop_around_us_stays_its_own(cli):
    loop = 'while read -r word; do "$@" "$word" || exit; done'
    argv = ["sh", "-c", loop, "sh"] + cli.argv("exec", WEB, "--", "echo")
    with subprocess.Popen(
        argv, env=cli.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.communicate(b"one\ntwo\n", timeout=TIME_LIMIT)[0] == b"one\ntwo\n"


def test_a_program_that_is_not_there_has_the_status_of_a_shell(cli):
    status, out, errors = cli.run("exec", WEB, "--", "no-such-program")
    assert (status, out) == (127, b"")
    assert re.match(rb"sh: (1|line [0-9]+): exec: no-such-program: not found\n", errors)


def test_without_a_shell_in_the_container_one_line_says_so(cli, service):
    service.ecs.tasks[:] = [LocalTask(ONE, containers=(LocalContainer("bare", has_shell=False),))]
    for words in (("exec", WEB, "--", "true"), ("shell", WEB, "--quiet")):
        status, out, errors = cli.run(*words)
        assert (status, out, errors.count(b"\n")) == (255, b"", 1)
        assert b"the container has no 'sh'" in errors


def test_the_newest_task_and_its_first_essential_container_are_taken(cli, service):
    sidecar, app = LocalContainer("aaa", essential=False), LocalContainer("app")
    service.ecs.tasks[:] = [
        LocalTask(ONE, started_at=100.0),
        LocalTask(TWO, containers=(sidecar, app), started_at=200.0),
    ]
    status, out, errors = cli.run("exec", WEB, "--", "true")
    assert (status, out) == (0, b"")
    line = "ssm-plugin: %s means 3 containers: taking ecs:demo/%s/app, of the newest task\n"
    assert errors.decode() == line % (WEB, TWO)
    assert cli.run("exec", WEB + "/aaa", "--", "echo", "x") == (0, b"x\n", b"")
    assert cli.run("exec", "ecs:demo/%s" % ONE, "--", "echo", "y") == (0, b"y\n", b"")


def test_all_tasks_run_it_each_under_its_name(cli, service):
    service.ecs.tasks[:] = [LocalTask(ONE, started_at=1.0), LocalTask(TWO, started_at=2.0)]
    status, out, errors = cli.run("exec", WEB, "--all-tasks", "--", "echo", "x")
    assert status == 0
    names = ["ecs:demo/%s/web: x" % one for one in (ONE, TWO)]
    assert sorted(out.decode().splitlines()) == names


def test_a_lost_connection_costs_nothing(service, tmp_path):
    with local_service(faults="drop-after=20,lose=2%") as faulty:
        line = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo $i; done; exit 3"
        status, out, errors = Cli(tmp_path, faulty).run("exec", WEB, "--shell", line)
        assert faulty.ssm.calls("ResumeSession")
    assert (status, errors) == (3, b"")
    assert out.split() == [b"%d" % number for number in range(1, 4001)]


def test_a_file_is_copied_to_a_container_and_back(cli, tmp_path):
    data = bytes(range(256)) * 1000
    (tmp_path / "here").write_bytes(data)
    there, back = str(tmp_path / "there"), str(tmp_path / "back")
    assert cli.run("cp", str(tmp_path / "here"), "%s:%s" % (WEB, there))[0] == 0
    assert cli.run("cp", "%s:%s" % (WEB, there), back)[0] == 0
    words = ["cp", "-", "%s:%s" % (WEB, there)]
    assert cli.run(*words, "--speed", "auto", input=bytes(5 << 20))[0] == 0
    status, _, err = cli.run(*words, "--speed", "fast", input=b"")
    assert status == 255 and b"containers of ECS have no ports" in err
    assert (tmp_path / "back").read_bytes() == data
