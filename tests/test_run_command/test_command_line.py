"""``exec --via run-command`` and jobs with that engine, as programs."""

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.support.commands import TIME_LIMIT, Cli, wait_until_gone
from tests.support.nodes import OFF, WEB, service_with
from tests.support.pty import ROOT
from tests.support.running import service_client

VIA = ("--via", "run-command")
NODES = "web-1,web-2"


@pytest.fixture(scope="module")
def service():
    with service_with(*(WEB[:3] + [OFF])) as service:
        yield service


@pytest.fixture
def cli(service, tmp_path):
    return Cli(tmp_path, service)


def ids_in(stderr):
    line = next(one for one in stderr.splitlines() if b"sent; " in one)
    return re.search(rb"'ssm-plugin exec --attach ([0-9a-f,-]+)'", line).group(1).decode()


def without_times(table):
    return re.sub(rb" +[0-9]+\.[0-9] +", b" ", table)


def test_one_node_gives_its_plain_output_and_its_status(cli):
    status, stdout, stderr = cli.run("exec", "web-1", *VIA, "--quiet", "--", "sh", "-c",
                                     "echo out; echo err >&2; exit 7")
    assert (status, stdout, stderr) == (7, b"out\n", b"err\n")


def test_many_nodes_give_prefixed_lines_and_the_same_table(cli):
    words = ("--", "sh", "-c", "echo out; exit 3")
    ours = cli.run("exec", NODES, *VIA, *words)
    theirs = cli.run("exec", NODES, *words)
    assert ours[0] == theirs[0] == 3
    assert sorted(ours[1].splitlines()) == [b"web-1: out", b"web-2: out"]
    first, _, table = ours[2].partition(b"\n")
    assert first.startswith(b"ssm-plugin: sent; 'ssm-plugin exec --attach ")
    assert without_times(table) == without_times(theirs[2])


def test_json_and_files_are_as_with_sessions(cli, tmp_path):
    words = (NODES,) + VIA + ("--json", "--output-dir", "d", "--", "echo", "x")
    status, stdout, _ = cli.run("exec", *words)
    told = json.loads(stdout)
    assert (status, told["status"]) == (0, 0)
    assert [one["target"] for one in told["targets"]] == ["web-1", "web-2"]
    assert (tmp_path / "d" / "web-2.out").read_bytes() == b"x\n"
    assert (tmp_path / "d" / "web-2.err").read_bytes() == b""


def test_who_attaches_gets_table_output_and_status_again(cli):
    sent = cli.run("exec", "tag:Role=web", *VIA, "--", "sh", "-c", "echo $0; exit 4", "x")
    again = cli.run("exec", "--attach", ids_in(sent[2]))
    assert again[0] == sent[0] == 4
    assert sorted(again[1].splitlines()) == sorted(sent[1].splitlines())
    assert len(again[1].splitlines()) == 3
    assert again[2] == sent[2].partition(b"\n")[2]


@pytest.mark.parametrize(
    "words, said",
    [
        (("web-1",) + VIA + ("--stdin", "-", "--", "x"), b"no standard input"),
        (("web-1",) + VIA + ("--rolling", "2", "--", "x"), b"no batches"),
        (("web-1",) + VIA + ("--document-name", "X", "--", "x"), b"AWS-RunShellScript"),
        (("ecs:c/s",) + VIA + ("--", "x"), b"ecs:c/s cannot be reached by Run Command"),
        (("web-1",) + VIA + ("--", "echo", "x" * 70000), b"Run Command takes 64512"),
        (("web-1",) + VIA + ("--output-s3", "bucket", "--", "x"), b"s3://BUCKET/PREFIX"),
        (("web-1", "--output-s3", "s3://bucket", "--", "x"), b"is for --via run-command"),
        (("web-1", "--via", "pigeon", "--", "x"), b"pigeon"),
        (("--attach", "x"), b"not the id of a command"),
        (("--attach", "0" * 8 + "-0000" * 3 + "-" + "0" * 12), b"knows no command"),
        (("web-1", "--attach", "0" * 36), b"leave a TARGET out"),
        (("--attach", "0" * 36, "--max-errors", "1"), b"leave --max-errors out"),
        (("--attach", "0" * 36, "--wait", "1m"), b"leave --wait out"),
        (("off",) + VIA + ("--wait", "1ms", "--", "x"), b"not begun: the node did not answer"),
    ],
)
def test_what_cannot_be_done_is_one_line(cli, words, said):
    status, stdout, stderr = cli.run("exec", "--quiet", *words)
    assert (status, stdout) == (255, b"")
    assert said in stderr
    assert stderr.count(b"\n") == 1


def wait_for_beginning(path, process):
    """Until the command at the node has opened the FIFO."""
    deadline, tick = time.monotonic() + TIME_LIMIT, threading.Event()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while not select.select([reader], [], [], 0)[0] or not os.read(reader, 10):
            assert process.poll() is None and time.monotonic() < deadline
            tick.wait(0.02)
    finally:
        os.close(reader)


@pytest.fixture
def slow(cli, tmp_path):
    """A command that runs, with its process here, and the mark of it at the node."""
    began = str(tmp_path / "began")
    os.mkfifo(began)
    words = ("sh", "-c", 'echo x >"$0"; sleep 1000', began)
    with cli.start("exec", NODES, *VIA, "--parallel", "1", "--", *words) as process:
        wait_for_beginning(began, process)
        yield process, began
        if process.poll() is None:
            process.kill()


def test_ctrl_c_cancels_and_tells_what_became_of_each(slow):
    process, mark = slow
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 130
    lines = sorted(stderr.splitlines()[-2:])
    assert b"ended by signal 2 here" in lines[0] and b"130" in lines[0]
    assert b"not begun: signal 2 came" in lines[1]
    assert wait_until_gone(mark, 10)


def test_a_lost_terminal_leaves_the_command_alone(slow, cli, service):
    process, mark = slow
    process.send_signal(signal.SIGHUP)
    _, stderr = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 129
    assert stderr.count(b"goes on at AWS") == 2
    assert not wait_until_gone(mark, 0)
    command_id = ids_in(stderr)
    service_client(service).call("ssm:CancelCommand", {"CommandId": command_id})
    status, _, stderr = cli.run("exec", "--attach", command_id)
    assert status == 255
    assert b"somebody cancelled it at AWS" in stderr
    assert wait_until_gone(mark, 10)


def test_the_end_of_our_parent_cancels(cli, tmp_path):
    began = str(tmp_path / "began")
    os.mkfifo(began)
    argv = cli.argv("exec", "web-1", *VIA, "--", "sh", "-c", 'echo x >"$0"; sleep 1000', began)
    parent = subprocess.Popen(
        ["sh", "-c", '"$@"; :', "sh"] + argv,
        env=cli.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with parent:
        wait_for_beginning(began, parent)
        parent.kill()
        parent.communicate(timeout=TIME_LIMIT)
    assert wait_until_gone(began, 10)


JOB = """\
targets: {fleet: 'tag:Role=web'}
jobs:
  nightly:
    target: fleet
    command: 'echo "$WORD"; seq 10000; exit 3'
    environment: {WORD: secret}
    engine: run-command
    output_s3: s3://logs/nightly
    output: '%s/{target}.log'
    timeout: 1m
    lock: true
  wrong: {target: web-1, command: x, engine: pigeon}
"""


def test_a_job_from_a_crontab_line_with_an_empty_environment(cli, service, tmp_path):
    cli.configure(JOB.replace("wrong", "#").partition("  #")[0] % tmp_path)
    variables = " ".join(
        "%s=%s" % (name, shlex.quote(cli.environ[name]))
        for name in cli.environ
        if name.startswith(("AWS_", "SSM_")) or name == "HOME"
    )
    python = "PYTHONPATH=%s %s -m ssm_plugin" % (shlex.quote(ROOT), shlex.quote(sys.executable))
    line = "%s %s run nightly" % (variables, python)
    done = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", "/bin/sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        timeout=TIME_LIMIT,
    )
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"ssm-plugin: job nightly failed on 3 of 3 targets: web-1: exit")
    assert done.stderr.count(b"\n") == 1
    expected = "secret\n" + "".join("%d\n" % number for number in range(1, 10001))
    assert (tmp_path / "web-2.log").read_text() == expected


def test_a_check_knows_the_engines(cli, tmp_path):
    cli.configure(JOB % tmp_path)
    status, _, stderr = cli.run("run", "--check")
    assert status == 255 and b"pigeon" in stderr and b"run-command" in stderr
    cli.configure("jobs: {a: {target: 'ecs:c/s', command: x, engine: run-command}}")
    status, _, stderr = cli.run("run", "--check")
    assert status == 255 and b"ecs:c/s cannot be reached by Run Command" in stderr
    cli.configure("jobs: {a: {target: i-1, command: x, output_s3: 's3://bucket'}}")
    assert b"job a: output_s3 is for the engine run-command" in cli.run("run", "--check")[2]
    cli.configure("jobs: {wrong: {target: x, command: x, engine: run-command, rolling: 2}}")
    assert b"job wrong: Run Command has no batches" in cli.run("run", "--check")[2]
