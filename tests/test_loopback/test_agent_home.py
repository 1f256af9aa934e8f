"""Shells of the local service that tests start run nothing of the user's."""

import os
import pwd
import shutil
import subprocess

import pytest

from tests.support.home import empty_home
from tests.support.running import RunningSession
from tests.support.service import local_service

START_FILES = (".bashrc", ".bash_profile", ".profile", ".inputrc")


def test_a_shell_is_not_in_the_users_home():
    with local_service() as service, RunningSession(service) as running:
        running.send(b'echo "<$HOME|$ENV$BASH_ENV$INPUTRC>"; exit\n')
        told = running.expect(b">\r\n").rpartition(b"<")[2]
        assert running.finish() == 0
    home, others = told.decode().rstrip(">\r\n").split("|")
    assert home != pwd.getpwuid(os.getuid()).pw_dir and others == ""
    assert not set(START_FILES) & set(os.listdir(home))


@pytest.mark.parametrize("words", [["-i"], ["-l"], ["-li"]])
def test_bash_reads_no_file_of_the_user(tmp_path, words):
    theirs = dict(os.environ, HOME=str(tmp_path), BASH_ENV=str(tmp_path / ".bashrc"))
    for name in START_FILES:
        (tmp_path / name).write_text("echo theirs\n")
    asked = [shutil.which("bash")] + words + ["-c", "true"]

    def said(environ):
        # A session of its own: an interactive shell would take the terminal of whoever runs this.
        done = subprocess.run(
            asked, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )
        return done.stdout

    assert b"theirs" in said(theirs)
    before = dict(os.environ)
    os.environ.update(theirs)
    try:
        with empty_home():
            assert b"theirs" not in said(dict(os.environ))
    finally:
        os.environ.clear()
        os.environ.update(before)
