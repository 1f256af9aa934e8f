import os
import signal
import subprocess

import pytest

from ssm_plugin.display import width_of
from tests.support import program
from tests.support.commands import TIME_LIMIT, Cli, wait_until_gone
from tests.support.service import local_service
from tests.support.threads import wait_until

CONFIGURATION = """\
targets: {db1: i-1, db2: i-2}
jobs:
  good:
    {target: db1, command: 'echo out; echo "$WORD"; : é', environment: {WORD: secret}, output: log}
  bad: {targets: [db1, db2], command: [sh, -c, 'echo why; exit 3'], output: 'log-{target}'}
  slow: {target: db1, command: 'echo on >>began; sleep 1000', lock: true, timeout: 20s}
"""


@pytest.fixture(scope="module")
def service():
    with local_service(targets={"i-1", "i-2"}) as service:
        yield service


@pytest.fixture
def cli(service, tmp_path):
    cli = Cli(tmp_path, service)
    cli.configure(CONFIGURATION)
    return cli


def test_a_job_that_goes_well_says_nothing(cli, tmp_path):
    assert cli.run("run", "good") == (0, b"", b"")
    assert (tmp_path / "log").read_text() == "out\nsecret\n"


def test_a_job_that_fails_says_one_line(cli):
    status, stdout, stderr = cli.run("run", "bad")
    assert (status, stdout) == (3, b"")
    assert stderr == (
        b"ssm-plugin: job bad failed on 2 of 2 targets: db1: exit status 3, output in log-db1; "
        b"db2: exit status 3, output in log-db2\n"
    )


def test_names_with_any_letters_need_no_locale(cli, tmp_path):
    cli.configure(
        "log: {file: \u00f6.log}\ntargets: {d\u00fc: i-1}\n"
        "jobs: {n\u00e4chtlich: {target: d\u00fc, command: echo on, output: '\u00fc-{target}'}}\n"
    )
    cli.environ.update(LC_ALL="C", PYTHONUTF8="0")  # Python 3.6 needs neither to know ASCII alone
    assert cli.run("run", os.fsdecode("n\u00e4chtlich".encode())) == (0, b"", b"")
    names = os.listdir(os.fsencode(str(tmp_path)))
    assert {"\u00f6.log".encode(), "\u00fc-d\u00fc".encode()} <= set(names)


def test_jobs_are_listed_without_the_values_of_their_variables(cli):
    status, stdout, stderr = cli.run("run", "--list")
    assert (status, stderr) == (0, b"")
    assert [line.split()[0] for line in stdout.splitlines()] == [b"bad", b"good", b"slow"]
    assert b"secret" not in stdout
    assert "é".encode() in stdout


def test_a_list_stays_in_columns_whatever_the_letters_of_a_name(cli):
    names = ["plain", "\u591c\u306e\u4ed5\u4e8b", "o\u0308l", "a\u202eb"]
    jobs = ", ".join("'%s': {target: db1, command: x}" % name for name in names)
    cli.configure("jobs: {%s}\n" % jobs)
    lines = cli.run("run", "--list")[1].decode().splitlines()
    assert {width_of(line.split("db1:")[0]) for line in lines} == {10}


def test_a_check_starts_nothing(cli, service):
    sessions = len(service.sessions())
    status, stdout, stderr = cli.run("run", "--check")
    assert (status, stderr) == (0, b"")
    assert b"3 jobs, no mistakes found" in stdout
    assert cli.run("run", "--check", "good")[0] == 0
    assert len(service.sessions()) == sessions


@pytest.mark.parametrize(
    "mistake, said",
    [
        ("jobs: {a: {target: db1}}", b"a job needs a command"),
        ("jobs: {a: {target: db1, comand: x}}", b"comand"),
        ("jobs: {a: {target: db1, command: x, timeout: soon}}", b"soon"),
        ("jobs: {a: {target: db1, command: x, output: 'log-%Q'}}", b"%Q"),
    ],
)
def test_a_check_finds_mistakes(cli, mistake, said):
    cli.configure(mistake)
    status, stdout, stderr = cli.run("run", "--check")
    assert (status, stdout) == (255, b"")
    assert said in stderr
    assert stderr.count(b"\n") == 1


def test_a_check_without_a_file_says_where_it_looked(cli, tmp_path):
    del cli.environ["SSM_PLUGIN_CONFIG"]
    place = tmp_path / ".config" / "ssm-plugin" / "config.yaml"
    status, stdout, stderr = cli.run("run", "--check")
    assert (status, stderr) == (0, b"")
    assert stdout.decode() == (
        "no configuration file (looked for %s, then /etc/ssm-plugin/config.yaml): "
        "0 jobs, no mistakes found\n" % place
    )
    status, stdout, stderr = cli.run("run", "nightly")
    assert (status, stdout) == (255, b"")
    assert ("looked for %s, then /etc" % place).encode() in stderr


def test_a_list_without_jobs_says_so(cli):
    cli.configure("targets: {db1: i-1}\n")
    said = "ssm-plugin: there are no jobs: %s\n" % cli.environ["SSM_PLUGIN_CONFIG"]
    assert cli.run("run", "--list") == (0, b"", said.encode())
    assert cli.run("run", "--list", "--quiet") == (0, b"", b"")
    del cli.environ["SSM_PLUGIN_CONFIG"]
    assert b"there are no jobs: no configuration file (" in cli.run("run", "--list")[2]


@pytest.mark.parametrize("option", ["--list", "--check"])
def test_a_list_into_a_closed_pipe_is_no_mistake(cli, tmp_path, option):
    reader, writer = os.pipe()
    os.close(reader)
    argv = cli.argv("run", option)
    with program.start(argv, env=cli.environ, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert process.communicate(timeout=TIME_LIMIT)[1] == b""
    assert process.returncode == 141


def test_a_dry_run_shows_what_would_be_done(cli, service, tmp_path):
    sessions = len(service.sessions())
    status, stdout, stderr = cli.run("run", "good", "--dry-run")
    assert (status, stderr) == (0, b"")
    for wanted in (b"db1 (i-1)", b"WORD", b"echo out", str(tmp_path / "log").encode()):
        assert wanted in stdout
    assert b"secret" not in stdout
    assert len(service.sessions()) == sessions
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("words, said", [((), b"no JOB"), (("goood",), b"good")])
def test_a_job_that_is_not_there_is_a_mistake(cli, words, said):
    status, stdout, stderr = cli.run("run", *words)
    assert (status, stdout) == (255, b"")
    assert said in stderr


def test_of_ten_at_once_one_runs_and_nine_say_so_and_a_crash_leaves_no_lock(cli, service, tmp_path):
    mark, began = "mark-%s" % tmp_path, tmp_path / "began"
    began.write_text("")
    cli.configure(
        "jobs: {once: {target: i-1, lock: true, "
        "command: [sh, -c, 'echo on >>\"$1\"; sleep 1000', '%s', '%s']}}" % (mark, began)
    )
    processes = [cli.start("run", "once") for _ in range(10)]
    wait_until(lambda: sum(p.poll() is not None for p in processes) == 9)
    refused = [p for p in processes if p.returncode is not None]
    assert [p.returncode for p in refused] == [255] * 9
    for process in refused:
        assert b"already running" in process.communicate()[1]
    [running] = [p for p in processes if p not in refused]
    wait_until(began.read_text)
    assert began.read_text() == "on\n"
    running.kill()
    running.communicate()
    for session in service.open_sessions():
        session.terminate()
    assert wait_until_gone(mark, 10)
    with cli.start("run", "once") as again:
        wait_until(lambda: began.read_text() == "on\non\n")
        again.send_signal(signal.SIGTERM)
        assert again.wait(10) == 143
    assert wait_until_gone(mark, 10)
