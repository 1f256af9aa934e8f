"""``exec``, ``cp`` and ``run`` on many nodes: the options, the line, the table, the early end."""

import array
import fcntl
import json
import signal
import subprocess
import sys
import termios
import threading

import pytest

from ssm_plugin.loopback.nodes import LocalNode
from tests.support.commands import Cli, wait_until_gone
from tests.support.nodes import OFF, many, service_with
from tests.support.pty import PtyProcess

WEB = [node._replace(tags={"Role": "web"}) for node in many(8)]
OFFLINE = [
    LocalNode("i-%017x" % (0xF00 + number), "gone-%d" % number, {"Role": "web"}, status="Inactive")
    for number in range(2)
]


@pytest.fixture(scope="module")
def service():
    with service_with(*(WEB + [OFF])) as service:
        yield service


@pytest.fixture
def cli(service, tmp_path):
    yield Cli(tmp_path, service)
    service.wait_for(lambda: not service.open_sessions())


def rows(stderr):
    """The table: the words of each line, by target."""
    lines = stderr.replace(b"\r\n", b"\n").split(b"TARGET ")[-1].splitlines()[1:]
    return {line.split()[0].decode(): line.split()[1:] for line in lines}


def test_once_so_many_have_failed_the_others_are_not_begun_and_the_table_says_why(cli, service):
    before = len(service.sessions())
    words = ["exec", "tag:Role=web", "--parallel", "1", "--max-errors", "25%", "--", "false"]
    status, _, stderr = cli.run(*words)
    table = rows(stderr)
    assert status == 255
    assert [table["node-%d" % number][0] for number in range(1, 9)] == [b"1"] * 2 + [b"255"] * 6
    assert b" ".join(table["node-8"]).endswith(b"not begun: 2 had failed")
    assert len(service.sessions()) == before + 2


def test_batches_stop_between_them(cli, service):
    before = len(service.sessions())
    words = ["--rolling", "3", "--pause", "100ms", "--max-errors", "1", "--json", "--"]
    # The first three end well; of those that come later each one fails.
    script = 'cd "$0"; mkdir 1 || mkdir 2 || mkdir 3 || exit 3'
    command = ["sh", "-c", script, str(cli.folder)]
    status, stdout, _ = cli.run("exec", "tag:Role=web", *(words + command))
    targets = json.loads(stdout.decode())["targets"]
    assert [one["status"] for one in targets] == [0] * 3 + [3] * 3 + [255] * 2
    assert [one["reason"] for one in targets[6:]] == ["not begun: 1 had failed"] * 2
    assert status == 255 and len(service.sessions()) == before + 6


def test_cp_has_the_same_options(cli, tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "there").mkdir()
    words = ["--parallel", "1", "--max-errors", "1"]
    status, _, stderr = cli.run("cp", *(words + ["a", "off,node-1:%s/there/" % tmp_path]))
    assert status == 255
    assert b"not begun: 1 had failed" in stderr
    assert not (tmp_path / "there" / "a").exists()


def test_a_job_has_them_as_keys(cli, tmp_path):
    cli.configure(
        "jobs: {j: {target: 'tag:Role=web', command: 'false', parallel: 1, max_errors: 2,"
        " output: '%s/{target}.log'}}" % tmp_path
    )
    status, _, stderr = cli.run("run", "j")
    assert status == 255
    assert stderr.count(b"not begun: 2 had failed") == 6
    assert b"failed on 8 of 8 targets" in stderr and stderr.count(b"output in") == 2
    assert (tmp_path / "node-1.log").exists() and not (tmp_path / "node-8.log").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--max-errors", "0"], b"1 stops after the first failure"),
        (["--max-errors", "150%"], b"more than all targets"),
        (["--max-errors", "some"], b"such as 3, nor a part such as 10%"),
        (["--rolling", "0"], b"not a number from 1 to 1000"),
        (["--pause", "5s"], b"give the size of one with --rolling"),
        (["--rolling", "2", "--pause", "soon"], b"argument --pause"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(cli, service, words, said):
    before = len(service.ssm.calls())
    status, _, stderr = cli.run("exec", *(words + ["node-1", "--", "true"]))
    assert (status, stderr.count(b"\n")) == (255, 1)
    assert said in stderr
    assert len(service.ssm.calls()) == before


@pytest.mark.parametrize(
    "keys, said",
    [
        ("max_errors: 0", "1 stops after the first failure"),
        ("max_errors: 150%", "more than all targets"),
        ("rolling: 0", "not within 1 and 1000"),
        ("pause: 5s", "give the size of one"),
    ],
)
def test_a_mistake_in_a_job_names_the_line(cli, keys, said):
    cli.configure("jobs:\n  j: {target: node-1, command: x, %s}\n" % keys)
    status, _, stderr = cli.run("run", "--check")
    assert status == 255
    assert b"ssm-plugin.yaml:2: jobs.j" in stderr and said.encode() in stderr


def test_no_target_that_matches_is_one_line(cli):
    status, _, stderr = cli.run("exec", "tag:Role=nothing", "--max-errors", "1", "--", "true")
    assert (status, stderr.count(b"\n")) == (255, 1)
    assert b"no node is found for the target 'tag:Role=nothing'" in stderr


def test_half_of_the_nodes_offline_is_half_of_the_results(tmp_path):
    with service_with(*(WEB[:2] + OFFLINE)) as service:
        status, stdout, stderr = Cli(tmp_path, service).run(
            "exec", "tag:Role=web", "--", "echo", "hi"
        )
    table = rows(stderr)
    assert status == 255 and sorted(stdout.split()) == [b"hi", b"hi", b"node-1:", b"node-2:"]
    assert [table["gone-%d" % number][0] for number in range(2)] == [b"255"] * 2
    assert stderr.count(b"TargetNotConnected") == 2


@pytest.mark.parametrize("locale, name", [("C", b"b\\xf6se"), ("C.UTF-8", "b\xf6se".encode())])
def test_the_table_is_as_the_locale_has_it(tmp_path, locale, name):
    nodes = [WEB[0]._replace(name="b\xf6se"), WEB[1]]
    with service_with(*nodes) as service:
        cli = Cli(tmp_path, service)
        cli.environ.update(LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        _, _, stderr = cli.run("exec", "tag:Role=web", "--", "true")
    assert name + b" " in stderr


@pytest.mark.volume
def test_a_tag_of_many_is_begun_as_few_at_a_time_and_one_failure_ends_it(tmp_path):
    crowd = [node._replace(tags={"Role": "all"}) for node in many(1000)]
    with service_with(*crowd) as service:
        words = ["exec", "tag:Role=all", "--parallel", "2", "--max-errors", "1", "--json"]
        status, stdout, _ = Cli(tmp_path, service).run(*(words + ["--", "false"]))
        assert len(service.sessions()) <= 3
    value = json.loads(stdout.decode())
    assert (status, len(value["targets"])) == (255, 1000)


def test_throttled_starts_are_made_later_and_no_target_fails(tmp_path):
    with service_with(*WEB, faults="calls=4:StartSession") as service:
        status, stdout, _ = Cli(tmp_path, service).run("exec", "tag:Role=web", "--", "echo", "hi")
        errors = [call.error for call in service.ssm.calls("StartSession")]
    assert (status, stdout.count(b": hi\n")) == (0, 8)
    assert "ThrottlingException" in errors and errors.count("") == 8


def test_a_low_limit_on_open_files_is_raised_for_many_at_once(cli):
    words = ["exec", "tag:Role=web", "--parallel", "8", "--output-dir", "o", "--", "sleep", ".5"]
    line = 'ulimit -S -n 24; exec "$@"'
    with subprocess.Popen(
        ["sh", "-c", line, "sh"] + cli.argv(*words),
        env=cli.environ, cwd=str(cli.folder), stderr=subprocess.PIPE,
    ) as process:
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr


def run_on_terminal(cli, *words):
    argv = [sys.executable, "-m", "ssm_plugin"] + list(words)
    return PtyProcess(argv, cols=100, env=cli.environ, cwd=str(cli.folder))


def test_a_terminal_shows_one_line_of_progress_above_which_the_output_stands(cli):
    script = 'mkdir "%s" 2>/dev/null && sleep .5; echo hi' % (cli.folder / "one")
    words = ["exec", "tag:Role=web", "--parallel", "4", "--", "sh", "-c", script]
    with run_on_terminal(cli, *words) as program:
        program.expect(b" running, ")
        program.expect(b" of 8")
        assert program.wait() == 0
    last = program.output.split(b"\x1b[K")[-1]
    assert last.lstrip(b"\r").startswith((b"node-", b"TARGET"))
    assert program.output.count(b": hi\r\n") == 8
    assert b"run-command" not in program.output


def test_quiet_and_without_a_terminal_there_is_no_line(cli):
    with run_on_terminal(cli, "exec", "node-1,node-2", "--quiet", "--", "sleep", ".3") as program:
        assert program.wait() == 0
    assert program.output == b""
    _, _, stderr = cli.run("exec", "node-1,node-2", "--", "true")
    assert b"running" not in stderr


def test_more_than_fifty_are_told_of_run_command_once(tmp_path):
    crowd = [node._replace(tags={"Role": "all"}) for node in many(51)]
    with service_with(*crowd) as service:
        cli = Cli(tmp_path, service)
        words = ["exec", "tag:Role=all", "--parallel", "1", "--max-errors", "1", "--", "false"]
        with run_on_terminal(cli, *words) as program:
            assert program.wait() == 255
        assert program.output.count(b"--via run-command") == 1
        assert b"run-command" not in cli.run(*words)[2]


def test_ctrl_c_ends_what_runs_begins_no_more_and_the_table_says_what_became_of_each(cli):
    mark = "mark-%s" % cli.folder
    script = 'mkdir "$1" 2>/dev/null && exit 0; echo on; exec sh -c "sleep 1000" $0'
    command = ["sh", "-c", script, mark, str(cli.folder / "one")]
    words = ["exec", "tag:Role=web", "--parallel", "3", "--"] + command
    with run_on_terminal(cli, *words) as program:
        for _ in range(3):
            program.expect(b": on\r\n")
        program.send(b"\x03")
        assert program.wait() == 130
    assert wait_until_gone(mark, 10)
    said = [b" ".join(row) for row in rows(program.output).values()]
    assert len(said) == 8
    assert sum(row.startswith(b"0 ") for row in said) == 1
    assert sum(row.endswith(b"ended by signal 2 here") for row in said) == 3
    assert sum(row.endswith(b"not begun: signal 2 came") for row in said) == 4


def test_sigterm_likewise(cli):
    mark = "mark-%s" % cli.folder
    words = ["exec", "tag:Role=web", "--parallel", "2", "--", "sh", "-c", "echo on; sleep 99", mark]
    with cli.start(*words) as process:
        for _ in range(2):
            assert process.stdout.readline().endswith(b": on\n")
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 143 and wait_until_gone(mark, 10)
    assert stderr.count(b"ended by signal 15 here") == 2
    assert stderr.count(b"not begun: signal 15 came") == 6


def wait_until_full(pipe):
    """Until what nobody reads is more than a pipe takes by one write more."""
    tick, held = threading.Event(), array.array("i", [0])
    for _ in range(1000):
        fcntl.ioctl(pipe, termios.FIONREAD, held)
        if held[0] > 60000:
            return
        tick.wait(0.02)
    raise AssertionError("only %d bytes came" % held[0])


def test_ctrl_c_twice_leaves_at_once_and_leaves_nothing_behind(cli, service):
    """Nobody reads the output, so that the sessions cannot end by themselves."""
    mark = "mark-%s" % cli.folder
    command = ["sh", "-c", "while echo %s; do :; done" % ("x" * 999), mark]
    words = ["exec", "node-1,node-2,node-3", "--parallel", "2", "--"] + command
    with cli.start(*words) as process:
        wait_until_full(process.stdout)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        stderr = process.stderr.read()
        assert process.wait(5) == 130
        process.stdout.close()
    assert wait_until_gone(mark, 5)
    assert stderr.count(b"given up: it did not end after signal 2") >= 1
    assert stderr.count(b"not begun: signal 2 came") == 1
