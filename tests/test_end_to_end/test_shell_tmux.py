"""A session from a user's own shell in tmux: begun, used, resized, left, and the shell goes on."""

import os
import shutil
import subprocess

import pytest

from tests.support.drop_in import TARGET, DropIn, with_built_file
from tests.support.pty import PtyProcess
from tests.support.service import local_service

PROMPT = b"remote> "


class Tmux:
    """A server of its own, shown on a pty: ``program`` is what the user sees and types into."""

    def __init__(self, folder, environ, cols, rows):
        self._base = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
        self._environ = environ
        self.program = PtyProcess(
            self._base + ["new-session", "env", "PS1=local> ", "sh"],
            cols=cols, rows=rows, env=environ, cwd=str(folder),
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        subprocess.call(self._base + ["kill-server"], stderr=subprocess.DEVNULL)
        self.program.close()

    def screen(self):
        """The lines that the screen shows now."""
        command = self._base + ["capture-pane", "-p"]
        return subprocess.check_output(command, env=self._environ).decode().split("\n")


@pytest.mark.e2e
@pytest.mark.may_skip
@pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux")
def test_a_session_in_tmux_and_back_to_the_local_shell(tmp_path, zipapp, aws_cli):
    shell = ("env", "PS1=" + PROMPT.decode(), "/bin/sh")
    with local_service(shell=shell) as service:
        drop_in = DropIn(tmp_path)
        environ = dict(with_built_file(drop_in.environ, zipapp), TERM="xterm")
        start = "%s ssm start-session --region eu-west-1 --target %s --endpoint-url %s\r" % (
            aws_cli, TARGET, service.endpoint_url,
        )
        with Tmux(tmp_path, environ, 100, 30) as tmux:
            program = tmux.program
            program.expect(b"local> ")
            program.send(b"stty -g > before\r")
            program.send(start.encode("ascii"))
            program.expect(PROMPT)
            program.send(b"stty size\r")
            program.expect(b"29 100")  # one line is tmux's own
            script = "trap 'stty size; exit' WINCH; echo watch''ing; while :; do sleep 0.1; done"
            program.send(b'sh -c "%s"\r' % script.encode("ascii"))
            program.expect(b"watching")
            program.resize(90, 20)
            program.expect(b"19 90")
            program.send(b"printf '\\033[2J\\033[5;9Hhe''re\\n'; read x\r")
            program.expect(b"here")
            assert tmux.screen()[4] == " " * 8 + "here"
            program.send(b"\r")
            program.send(b"exit\r")
            program.expect(b"Exiting session with sessionId: ")
            program.expect(b"local> ")
            program.send(b"stty -g | diff before - && echo as-bef''ore\r")
            program.expect(b"as-before")
            assert service.open_sessions() == []
