import io
import pickle
import signal
import subprocess
import sys
import threading

import pytest

import ssm_plugin
from ssm_plugin.copying.options import CopyFailed
from ssm_plugin.errors import ServiceError, SessionInterrupted, UpgradeError, UsageError
from ssm_plugin.library import CommandFailed, CompletedCommand
from tests.support.commands import Cli, wait_until_gone
from tests.support.service import local_service

TARGET = "i-demo"


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def cli(service, tmp_path):
    return Cli(tmp_path, service)


@pytest.fixture
def run(service, tmp_path, monkeypatch):
    """``ssm_plugin.run`` with keys and a home in the environment, where it looks for them."""
    Cli(tmp_path, service).lend_environment(monkeypatch)

    def run(*argv, **options):
        words = argv[0] if argv[0].startswith("shell:") else list(argv)
        if isinstance(words, str):
            words = words[6:]
        return ssm_plugin.run(TARGET, words, endpoint_url=service.endpoint_url, **options)

    return run


def test_status_output_errors_and_session_id_come_back(run, service):
    result = run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert result == (7, b"out\n", b"err\n", service.session().session_id, "")


def test_a_text_is_a_shells_line(run):
    assert run("shell:echo $((6*7)); exit 3")[:2] == (3, b"42\n")


@pytest.mark.parametrize("argv", [" ", [], [""]])
def test_what_is_no_command_is_told_before_anything_is_asked(run, service, argv):
    calls = len(service.ssm.calls())
    with pytest.raises(UsageError, match="no command"):
        ssm_plugin.run("web-1", argv, endpoint_url=service.endpoint_url)
    assert len(service.ssm.calls()) == calls


@pytest.mark.parametrize(
    "error",
    [
        UsageError("no"),
        ServiceError("no", "AccessDenied", 403),
        UpgradeError("no", 502),
        SessionInterrupted("no", 130),
        CommandFailed("no", CompletedCommand(7, b"", b"", "s-1", "")),
        CopyFailed("no", ["one"]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_comes_back_from_another_process_as_it_is(error, protocol):
    other = pickle.loads(pickle.dumps(error, protocol))
    assert (type(other), str(other), vars(other)) == (type(error), "no", vars(error))


def test_a_duration_is_a_number(run):
    with pytest.raises(UsageError, match="timeout is a number of seconds, not '1m'"):
        run("true", timeout="1m")
    with pytest.raises(UsageError, match="timeout is a number of seconds, not '1m'"):
        ssm_plugin.copy("a", "web-1:b", timeout="1m")


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e12])
def test_a_duration_that_no_clock_can_wait_for_is_refused(run, service, seconds):
    calls = len(service.ssm.calls())
    with pytest.raises(UsageError, match="timeout is at most 1728000 seconds, not %r" % seconds):
        run("true", timeout=seconds)
    assert len(service.ssm.calls()) == calls


@pytest.mark.parametrize("stdin", [b"\x00\xff input", io.BytesIO(b"\x00\xff input")])
def test_input_is_bytes_or_a_file(run, stdin):
    assert run("od", "-An", "-tx1", "-N2", stdin=stdin).stdout.split() == [b"00", b"ff"]


@pytest.mark.parametrize("stdin", ["text", io.StringIO("text"), 5])
def test_text_is_no_input(run, stdin):
    with pytest.raises(UsageError):
        run("cat", stdin=stdin)


def test_a_status_other_than_0_is_an_error_if_checked(run):
    with pytest.raises(CommandFailed) as caught:
        run("sh", "-c", "echo why; exit 4", check=True)
    assert caught.value.result[:2] == (4, b"why\n")
    assert run("true", check=True).status == 0


def test_a_time_limit_is_an_error(run):
    with pytest.raises(SessionInterrupted) as caught:
        run("sleep", "1000", timeout=0.3)
    assert caught.value.exit_status == 124


def test_what_the_service_refuses_is_an_error_with_its_code(run, service):
    service.answer_with("StartSession", "AccessDeniedException", "no")
    with pytest.raises(ServiceError) as caught:
        run("true")
    assert caught.value.code == "AccessDeniedException"


def test_output_may_go_to_functions(run):
    seen, errors = [], []
    result = run(
        "sh", "-c", "echo out; echo err >&2", stdout=seen.append, stderr=errors.append
    )
    assert (b"".join(seen), b"".join(errors)) == (b"out\n", b"err\n")
    assert result[:3] == (0, b"", b"")


def test_what_reading_the_input_raises_comes_out_and_ends_the_command(run, service):
    class Broken:
        def read(self, size):
            raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        run("cat", stdin=Broken())
    service.wait_for(lambda: not service.open_sessions())


def test_what_an_output_function_raises_comes_out_and_ends_the_command(run, service, tmp_path):
    mark = "mark-%s" % tmp_path

    def refuse(data):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        run("sh", "-c", "echo x; sleep 1000", mark, stdout=refuse)
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


@pytest.mark.parametrize("moment", ["at once", "with its output"])
def test_an_interrupt_of_the_waiting_program_ends_the_command_too(cli, service, tmp_path, moment):
    mark = "mark-%s" % tmp_path
    program = (
        "import os, signal, ssm_plugin, sys, threading\n"
        "def interrupt(data=b''):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "argv = ['sh', '-c', 'echo on; sleep 1000', sys.argv[2]]\n"
        "if sys.argv[1] == 'at once':\n"
        "    threading.Timer(0.0, interrupt).start()\n"
        "    ssm_plugin.run('i-demo', argv)\n"
        "ssm_plugin.run('i-demo', argv, stdout=interrupt)\n"
    )
    done = subprocess.Popen(
        [sys.executable, "-c", program, moment, mark],
        env=cli.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(cli.folder),
    )
    _, stderr = done.communicate(timeout=60)
    assert stderr.endswith(b"KeyboardInterrupt\n")
    assert done.returncode in (1, -signal.SIGINT)  # as this Python has it
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


def test_several_threads_may_run_commands(run):
    results = [None] * 6

    def work(number):
        results[number] = run("sh", "-c", "echo $0; exit $0", str(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert [result[:2] for result in results] == [(n, b"%d\n" % n) for n in range(6)]


def test_it_writes_nothing_to_the_programs_own_streams(cli):
    program = (
        "import ssm_plugin, sys\n"
        "result = ssm_plugin.run('i-demo', ['sh', '-c', 'echo out; echo err >&2; exit 3'])\n"
        "sys.exit(result.status + 10)\n"
    )
    done = subprocess.Popen(
        [sys.executable, "-c", program],
        env=cli.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(cli.folder),
    )
    stdout, stderr = done.communicate(timeout=60)
    assert (done.returncode, stdout, stderr) == (13, b"", b"")
