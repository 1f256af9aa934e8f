"""What stands around every command: standard streams, errors as one line, exit statuses."""

import os
import signal
import sys

import pytest

from tests.support.drop_in import DropIn
from tests.support.pty import ROOT, PtyProcess

INTERACTIVE = "AWS-StartInteractiveCommand"
FRAME = "import sys; from ssm_plugin.commands import exit_status; sys.exit(exit_status.run(%r, %r))"


def redirected(redirections, argv):
    return ["sh", "-c", 'exec "$@" ' + redirections, "sh"] + argv


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's /proc")
@pytest.mark.may_skip
def test_closed_standard_streams_do_not_become_sockets(drop_in):
    started = drop_in.start(INTERACTIVE, {"command": ["exec sleep 100"]})
    argv = redirected("<&- >&- 2>&-", drop_in.argv(started))
    with drop_in.spawn(argv, drop_in.variables(started)) as process:
        drop_in.service.wait_for(lambda: started.session.connections == 1)
        names = [os.readlink("/proc/%d/fd/%d" % (process.pid, fd)) for fd in range(3)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 143
    assert names == [os.devnull] * 3
    assert started.session.is_over


@pytest.mark.parametrize("redirections", ["<&-", "<&- 2>&-", "</dev/null"])
def test_without_input_a_shell_ends_at_once(drop_in, redirections):
    started = drop_in.start()
    argv = redirected(redirections, drop_in.argv(started))
    done = drop_in.call(argv, environ=drop_in.variables(started))
    assert done.status == 0
    assert done.stdout.endswith(b"Exiting session with sessionId: %s.\n\n" % ascii_id(started))


def test_with_stdout_closed_a_shell_still_does_its_work(drop_in, tmp_path):
    started = drop_in.start()
    argv = redirected(">&-", drop_in.argv(started))
    done = drop_in.call(argv, b"touch %s/done\n" % os.fsencode(str(tmp_path)),
                        drop_in.variables(started))
    assert (done.status, done.stderr) == (0, b"")
    assert (tmp_path / "done").exists()


def test_a_mistake_of_our_own_is_one_line_too(tmp_path):
    drop_in = DropIn(tmp_path)
    done = drop_in.call([sys.executable, "-c", FRAME % ("no_such_module", [])])
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.startswith(b"ssm-plugin: internal error (log level debug shows where): ")
    assert done.stderr.count(b"\n") == 1


def test_an_error_on_a_terminal_is_as_its_locale_has_it():
    script = (FRAME % ("d\xfc", [])).encode("unicode_escape").decode("ascii")
    for locale, seen in (("C", b"d\\xfc'"), ("C.UTF-8", b"d\xc3\xbc'")):
        bare = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": ROOT, "LC_ALL": locale}
        with PtyProcess([sys.executable, "-c", script], env=bare) as process:
            assert seen in process.expect(b"\n")
            assert process.wait() == 255


def test_a_traceback_is_shown_on_log_level_debug_only(tmp_path):
    drop_in = DropIn(tmp_path)
    argv = [sys.executable, "-m", "ssm_plugin", "shell", "i-1", "--region", "nowhere"]
    assert b"Traceback" not in drop_in.call(argv + ["--log-level", "error"]).stderr
    assert b"Traceback" in drop_in.call(argv + ["--log-level", "debug"]).stderr


WRONG_SETTING = (
    b"ssm-plugin: SSM_PLUGIN_EXIT_STATUS: 'Legacy' is not known: legacy always gives status 0, "
    b"without the variable the status says how it ended\n"
)


def test_an_unknown_exit_status_setting_is_an_error_before_anything_starts(tmp_path, service):
    drop_in = DropIn(tmp_path, service)
    environ = dict(drop_in.environ, SSM_PLUGIN_EXIT_STATUS="Legacy", AWS_REGION="us-east-1")
    environ["AWS_ENDPOINT_URL"] = service.endpoint_url
    sessions = len(service.sessions())
    argv = [sys.executable, "-m", "ssm_plugin", "shell", "i-demo"]
    assert drop_in.call(argv, environ=environ) == (255, b"", WRONG_SETTING)
    assert len(service.sessions()) == sessions
    assert drop_in.call(argv + ["--help"], environ=environ).status == 0


def test_in_the_drop_in_too_which_leaves_no_session_behind(drop_in):
    started = drop_in.start()
    done = drop_in.run(started, SSM_PLUGIN_EXIT_STATUS="Legacy")
    assert done == (255, b"", WRONG_SETTING)
    assert started.session.is_over
    assert started.session.connections == 0


def test_nor_does_a_configuration_that_cannot_be_read(drop_in):
    started = drop_in.start()
    done = drop_in.run(started, SSM_PLUGIN_CONFIG="/nowhere/at/all")
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.startswith(b"ssm-plugin: the configuration file /nowhere/at/all cannot be")
    assert done.stderr.count(b"\n") == 1
    assert started.session.is_over
    assert started.session.connections == 0


def test_nor_does_a_log_that_cannot_be_written(drop_in):
    started = drop_in.start()
    done = drop_in.run(started, SSM_PLUGIN_LOG_FILE="/dev/full/log", SSM_PLUGIN_LOG_LEVEL="debug")
    assert (done.status, done.stdout, done.stderr.count(b"\n")) == (255, b"", 1)
    assert b"/dev/full/log" in done.stderr
    assert started.session.is_over


@pytest.mark.parametrize("value, status", [("", 255), ("legacy", 0)])
def test_the_exit_status_settings_that_are_known(tmp_path, value, status):
    drop_in = DropIn(tmp_path)
    environ = dict(drop_in.environ, SSM_PLUGIN_EXIT_STATUS=value)
    argv = [sys.executable, "-m", "ssm_plugin", "shell", "i-1", "--region", "nowhere"]
    assert drop_in.call(argv, environ=environ).status == status


def test_help_into_a_closed_pipe_is_no_mistake(tmp_path):
    drop_in = DropIn(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        argv = [sys.executable, "-m", "ssm_plugin", "shell", "--help"]
        with drop_in.spawn(argv, stdout=writer) as process:
            _, stderr = process.communicate(timeout=40)
    finally:
        os.close(writer)
    assert (process.returncode, stderr) == (141, b"")


def ascii_id(started):
    return started.session_id.encode("ascii")
