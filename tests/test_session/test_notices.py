import subprocess
import sys

import pytest

from ssm_plugin.session import notices
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.notices import Notices
from ssm_plugin.session.streams import CallableStreams
from tests.support.pty import ROOT, PtyProcess


class Written:
    def __init__(self, **options):
        self.output = b""
        self.error = b""
        streams = CallableStreams(self._output, self._error)
        self.notices = Notices(Environment(streams=streams, **options), "s-1")

    def _output(self, data):
        self.output += data

    def _error(self, data):
        self.error += data


def test_the_lines_are_those_of_the_aws_client():
    written = Written()
    written.notices.show(notices.START)
    written.notices.show(notices.PORT_OPENED, port=5432)
    written.notices.show(notices.END_REASON, reason="Timed {out}")
    assert written.output == (
        b"\nStarting session with SessionId: s-1\n"
        b"Port 5432 opened for sessionId s-1.\n"
        b"\n\nSessionId: s-1 : Timed {out}\n\n"
    )
    assert written.error == b""


def test_aside_they_go_to_stderr_and_a_warning_always_does():
    written = Written()
    written.notices.warn("careful")
    written.notices.aside = True
    written.notices.show(notices.TIMED_OUT)
    assert (written.output, written.error) == (b"", b"careful\nSession: s-1 timed out.\n")


def test_what_others_say_is_shown_escaped_and_only_a_message_has_lines():
    written = Written()
    written.notices.message("one\r\ntwo\x1b[2J")
    written.notices.show(notices.END_REASON, reason="a\nb\u202e")
    written.notices.warn("c\nd\x9b")
    assert written.output == b"one\ntwo\\x1b[2J\n\n\nSessionId: s-1 : a\\nb\\u202e\n\n"
    assert written.error == b"c\\nd\\x9b\n"


def test_silent_they_go_nowhere():
    written = Written(silent=True)
    written.notices.show(notices.START)
    written.notices.warn("careful")
    assert (written.output, written.error) == (b"", b"")


def test_on_a_raw_terminal_lines_end_as_it_needs():
    written = Written()
    written.notices.raw = True
    written.notices.show(notices.START)
    assert written.output == b"\r\nStarting session with SessionId: s-1\r\n"


@pytest.mark.parametrize("reason", ["Caf\u00e9 \u2603", "\ud800 half a character"])
def test_whatever_the_service_says_can_be_shown(reason):
    written = Written()
    written.notices.show(notices.END_REASON, reason=reason)
    assert written.output.startswith(b"\n\nSessionId: s-1 : ")
    assert written.output.endswith(b"\n\n")


def test_a_locale_that_cannot_write_a_character_is_no_obstacle():
    script = (
        "import os\n"
        "from ssm_plugin.session.environment import Environment\n"
        "from ssm_plugin.session.notices import Notices\n"
        "Notices(Environment(), 's-1').show('{reason}\\n', reason='\\u2603')\n"
    )
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    output = subprocess.check_output([sys.executable, "-c", script], env=environ, timeout=40)
    assert output in (b"\\u2603\n", "\u2603\n".encode("utf-8"))


SAYING = "from ssm_plugin.session.streams import say; say('no node d\\xfc\\x1b')"
BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": ROOT}


def test_a_line_of_ours_in_a_pipe_or_a_file_is_utf_8_in_every_locale():
    """As for cron, who has none, and mails it."""
    argv = [sys.executable, "-c", SAYING]
    done = subprocess.run(argv, env=BARE, stderr=subprocess.PIPE, timeout=20, check=True)
    assert done.stderr == "ssm-plugin: no node d\xfc\\x1b\n".encode("utf-8")


def test_a_terminal_gets_what_its_locale_can_write():
    for locale, seen in (("C", b"d\\xfc\\x1b"), ("C.UTF-8", b"d\xc3\xbc\\x1b")):
        environ = dict(BARE, LC_ALL=locale)
        with PtyProcess([sys.executable, "-c", SAYING], env=environ) as process:
            written = process.expect(b"\n")
            assert process.wait() == 0
        assert written == b"ssm-plugin: no node " + seen + b"\r\n"
