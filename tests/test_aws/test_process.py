"""credential_process: real programs, good and bad."""

import os
import select
import sys

import pytest

from ssm_plugin.aws.keys import Credentials
from ssm_plugin.aws.process import credential_process, masked
from ssm_plugin.errors import CredentialsError, DeadlineError
from ssm_plugin.net.timing import Deadline
from tests.support import program
from tests.support.aws_home import AwsHome
from tests.support.pty import ROOT

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ANSWER = (
    '{"Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "%s", '
    '"SessionToken": "tok", "Expiration": "2030-01-01T00:00:00Z"}' % SECRET
)


@pytest.fixture
def home(tmp_path):
    return AwsHome(tmp_path)


def _run(home, command, seconds=10.0):
    return credential_process(command, "p", home.environ, Deadline(seconds, "the search"))


def _refused(home, command):
    with pytest.raises(CredentialsError) as caught:
        _run(home, command)
    message = str(caught.value)
    assert message.startswith("credential_process of the AWS profile 'p'") or "from" in message
    assert SECRET not in message and "\n" not in message
    assert SECRET not in str(caught.value.__cause__)
    return message


def test_what_the_program_prints_is_read(home):
    home.program("keys", "echo '%s'" % ANSWER)
    assert _run(home, "keys") == Credentials("AKIA1", SECRET, "tok", 1893456000.0)


def test_the_command_is_split_like_a_shell_would_but_no_shell_runs_it(home):
    home.program("keys", 'test "$#|$1|$2" = "2|a b|\\$HOME" && echo \'%s\'' % ANSWER)
    assert _run(home, "keys 'a b' $HOME").access_key == "AKIA1"


def test_the_program_gets_the_environment_given_and_no_stdin(home):
    home.environ["AWS_THING"] = "1"
    home.program("keys", "test -z \"$(cat)\" && test $AWS_THING = 1 && echo '%s'" % ANSWER)
    assert _run(home, "keys").access_key == "AKIA1"


def test_a_failure_shows_status_and_the_last_line_of_stderr(home):
    home.program("keys", "echo '%s'; echo first >&2; echo no login >&2; exit 3" % ANSWER)
    message = _refused(home, "keys")
    assert "failed with exit status 3: no login" in message
    assert "first" not in message


def test_keys_and_control_characters_on_stderr_are_not_shown(home):
    home.program("keys", "printf 'bad key %s in \\033[31mred\\n' >&2; exit 1" % SECRET)
    message = _refused(home, "keys")
    assert "bad key *** in ?[31mred" in message


def test_a_silent_failure_is_a_failure(home):
    home.program("keys", "exit 1")
    assert "exit status 1: it said nothing on stderr" in _refused(home, "keys")


def test_a_program_ended_by_a_signal_is_a_failure(home):
    home.program("keys", "kill -9 $$")
    assert "failed with signal 9" in _refused(home, "keys")


@pytest.mark.parametrize(
    "output, why",
    [
        (SECRET, "did not print one JSON object"),
        ("", "did not print one JSON object"),
        ("\\377\\376", "did not print one JSON object"),
        ('["%s"]' % SECRET, "did not answer with a JSON object"),
        ('{"AccessKeyId": "a", "SecretAccessKey": "%s"}' % SECRET, "no 'Version': 1"),
        (ANSWER.replace('"Version": 1', '"Version": 2'), "no 'Version': 1"),
        ('{"Version": 1, "SecretAccessKey": "%s"}' % SECRET, "no AccessKeyId"),
        (ANSWER.replace("2030-01-01", "soon"), "not an ISO 8601 time"),
    ],
)
def test_an_answer_that_is_not_right_is_refused_and_not_shown(home, output, why):
    home.program("keys", "printf '%s'" % output)
    with pytest.raises(CredentialsError) as caught:
        _run(home, "keys")
    assert why in str(caught.value)
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize(
    "command, why",
    [
        ("no-such-program --key " + SECRET, "cannot be started: No such file or directory"),
        ("/etc/passwd", "cannot be started: Permission denied"),
        ("keys 'open", "cannot be split into words (No closing quotation)"),
        ("keys \0", "cannot be started: its command line is not valid"),
        ("", "is empty"),
    ],
)
def test_a_command_that_cannot_be_run_is_an_error(home, command, why):
    home.program("keys", "exit 0")
    assert why in _refused(home, command)


def test_a_program_that_takes_too_long_is_killed_with_all_it_started(home):
    pipe = str(home.path / "pipe")
    os.mkfifo(pipe)
    home.program("keys", "exec 3>'%s'\nprintf x >&3\nsleep 300 &\nsleep 300" % pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(DeadlineError, match="credential_process of the AWS profile 'p'"):
            _run(home, "keys " + SECRET, seconds=2.0)
        # The end of the pipe comes when nobody has it open any more.
        received = b""
        while True:
            assert select.select([reader], [], [], 5)[0]
            data = os.read(reader, 10)
            received += data
            if not data:
                break
        assert received == b"x"
    finally:
        os.close(reader)


def test_a_helper_that_keeps_stdout_open_does_not_keep_us(home):
    home.program("keys", "sleep 300 &\necho '%s'" % ANSWER)
    with pytest.raises(DeadlineError):
        _run(home, "keys", seconds=0.3)


FORKING = """\
import os, sys, threading
from ssm_plugin.aws.process import credential_process
from ssm_plugin.net.timing import Deadline
found = []
def search():
    found.append(credential_process("keys", "p", os.environ, Deadline(20.0, "the search")))
thread = threading.Thread(target=search)
thread.start()
open("started").read()
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
os.write(os.open("go", os.O_RDWR), b"\\n")
thread.join()
print(found[0].access_key)
"""


def test_the_end_of_a_child_of_ours_leaves_the_program_alone(home):
    """A child made by a plain fork has our handlers at exit, and did not start the program."""
    for name in ("started", "go"):
        os.mkfifo(str(home.path / name))
    home.program("keys", "echo >started; read -r line <go; echo '%s'" % ANSWER)
    argv = [sys.executable, "-c", FORKING]
    environ = dict(home.environ, PYTHONPATH=ROOT)
    done = program.run(argv, 30, cwd=str(home.path), env=environ)
    assert (done.returncode, done.stdout) == (0, b"AKIA1\n"), done.stderr


def test_nothing_is_started_when_the_time_is_over(home):
    home.program("keys", "touch %s/ran" % home.path)
    with pytest.raises(DeadlineError):
        _run(home, "keys", seconds=0.0)
    assert not (home.path / "ran").exists()


@pytest.mark.parametrize("text", ["The SSO session has expired, run aws sso login", "a-b c.d"])
def test_plain_words_are_not_masked(text):
    assert masked(text) == text


@pytest.mark.parametrize("secret", [SECRET, "AKIAIOSFODNN7EXAMPLE", "deadbeef" * 2 + "00"])
def test_what_looks_like_a_key_is_masked(secret):
    assert secret not in masked("x '%s' y" % secret)
