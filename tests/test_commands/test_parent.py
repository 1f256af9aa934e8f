import os
import queue
import signal
import subprocess
import sys

import pytest

from ssm_plugin.commands import parent
from ssm_plugin.commands.parent import parent_watch
from tests.support.pty import ROOT

# Waits for its parent's end under the watch, and says what it heard.
CHILD = """
import queue, sys
from ssm_plugin.commands.parent import parent_watch
events = queue.Queue()
with parent_watch(events.put, events.put, aws_cli_only=sys.argv[1] == "aws"):
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    try:
        said = repr(events.get(timeout=float(sys.argv[2])))
    except queue.Empty:
        said = "nothing"
sys.stdout.write(said + "\\n")
"""
# Its first argument is what comes between it, which is to be killed, and the child.
PARENT = """
import shlex, subprocess, sys
subprocess.call(shlex.split(sys.argv[1]) + sys.argv[2:])
"""


def heard(prefix, caller="nobody", seconds="0.5"):
    """What a child hears when its parent is killed."""
    argv = [sys.executable, "-c", CHILD, caller, seconds]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, prefix] + argv,
        env=dict(os.environ, PYTHONPATH=ROOT),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        return process.stdout.read().decode().strip()


IGNORING = """%s -c 'import os, signal, sys
for name in "%s".split():
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.execvp(sys.argv[1], sys.argv[1:])'"""
AWS_CLI = "SIGINT SIGQUIT SIGTSTP"


@pytest.mark.skipif(parent._open(os.getppid()) is None, reason="this system has no way to watch")
def test_the_end_of_a_parent_is_a_hangup():
    assert heard("", seconds="10") == "Signalled(signum=%r)" % signal.SIGHUP


@pytest.mark.skipif(parent._open(os.getppid()) is None, reason="this system has no way to watch")
@pytest.mark.parametrize("ignored", [AWS_CLI, AWS_CLI + " SIGHUP"])
@pytest.mark.parametrize("caller", ["aws", "nobody"])
def test_the_aws_cli_waits_though_it_ignores_sigint_and_also_under_nohup(caller, ignored):
    ignoring = IGNORING % (sys.executable, ignored)
    assert heard(ignoring, caller, "10") == "Signalled(signum=%r)" % signal.SIGHUP


@pytest.mark.parametrize("ignored", ["SIGINT SIGQUIT", "SIGHUP"])
def test_a_child_in_the_background_or_under_nohup_is_not_told(ignored):
    assert heard(IGNORING % (sys.executable, ignored)) == "nothing"


def test_who_asks_for_the_aws_cli_is_not_told_of_another_parent():
    assert heard("", "aws") == "nothing"


def test_the_leader_of_a_session_is_not_told():
    leading = "%s -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])'"
    assert heard(leading % sys.executable) == "nothing"


def test_a_parent_that_lives_on_is_no_event():
    events = queue.Queue()
    with parent_watch(events.put, events.put):
        pass
    assert events.empty()
