import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.jobs import remote_line as module
from ssm_plugin.jobs.remote_line import quote, remote_line
from tests.support.commands import processes_with, wait_until_gone

AWKWARD = [
    "a b",
    "it's",
    '"double"',
    "$HOME $(id) `id`",
    "new\nline\r\n",
    "tab\t\\back\\slash\\",
    "*?[a]{b,c}~!#&|;<>",
    "Grüße, 世界 🎉",
    "{{ssm:secret}} {{{{ }}",
    "",
    "-n",
    "--",
    "\x01\x7f",
]
SHOW = [sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))"]
TRAILER = re.compile(br"(BBAA|[0-9a-f]{40}):[0-9]+[+]?\n\Z")
ABSENT = {
    "bash": rb"\S+: line 1: exec: no-such-command: not found\n",
    "dash": rb"\S+: 1: exec: no-such-command: not found\n",
    "busybox": rb"\S+: (1: exec|exec: line [01]): no-such-command: not found\n",
}
ENDS = {
    "interrupted": signal.SIGINT,
    "terminated": signal.SIGTERM,
    "killed": signal.SIGKILL,
}
SHELLS = [shell for shell in ("bash", "dash", "busybox") if shutil.which(shell)]


def run(argv, **options):
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options
    ) as process:
        # The wrapper waits for its interrupt: all has arrived.
        seen = b""
        for line in process.stdout:
            seen += line
            if TRAILER.search(line):
                process.send_signal(signal.SIGINT)
        return process.wait(10), seen, process.stderr.read()


def wrapped(shell, argv, directory=""):
    start = [shell, "sh"] if shell == "busybox" else [shell]
    return start + ["-c", module._SCRIPT, "ssm-plugin", "AA", "BB", directory] + list(argv)


HALTING = """#!/bin/sh
[ %(moment)s = before ] || %(tool)s "$@"
echo >%(folder)s/reached
read -r on <%(folder)s/on
[ %(moment)s = after ] || exec %(tool)s "$@"
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("tool", ["mkdir", "mkfifo"])
@pytest.mark.parametrize("how", ["interrupted", "terminated", "killed", "killed with its group"])
@pytest.mark.parametrize("shell", SHELLS)
def test_what_ends_while_its_input_is_prepared_leaves_nothing(shell, how, tool, moment, tmp_path):
    """And has not begun. bash passes over an interrupt that comes while it waits for a program,
    unless it has a trap."""
    directory, begun, program = tmp_path / "input", tmp_path / "begun", tmp_path / tool
    places = {"folder": tmp_path, "tool": shutil.which(tool), "moment": moment}
    program.write_text(HALTING % places)
    program.chmod(0o755)
    for name in ("reached", "on"):
        os.mkfifo(str(tmp_path / name))
    environ = dict(os.environ, PATH="%s:%s" % (tmp_path, os.environ["PATH"]))
    with subprocess.Popen(
        wrapped(shell, ["touch", str(begun)], str(directory)),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        (tmp_path / "reached").read_text()
        if how == "killed with its group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.send_signal(ENDS[how])
        writer = os.open(str(tmp_path / "on"), os.O_RDWR)
        os.write(writer, b"\n")
        process.wait(20)
        assert wait_until_gone(str(directory), 10)
        os.close(writer)
    assert (directory.exists(), begun.exists()) == (False, False)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_whose_input_cannot_be_prepared_does_not_begin(shell, tmp_path):
    begun, theirs = tmp_path / "begun", tmp_path / "input"
    theirs.write_text("somebody else's")
    status, output, errors = run(wrapped(shell, ["touch", str(begun)], str(theirs)))
    assert (status, output, begun.exists()) == (255, b"", False)
    assert b"File exists" in errors
    assert wait_until_gone(str(theirs), 10)
    assert theirs.exists()


def test_arguments_arrive_as_they_were_given():
    line = remote_line(SHOW + AWKWARD)
    status, output, errors = run(shlex.split(line.text))
    assert (status, errors) == (0, b"")
    assert output == ascii(AWKWARD).encode() + b"\n" + line.marker + b":0+\n"


def test_a_shell_reads_the_line_as_the_agent_splits_it():
    line = remote_line(SHOW + AWKWARD)
    status, output, _ = run(["sh", "-c", "exec " + line.text])
    assert (status, output.splitlines()[0]) == (0, ascii(AWKWARD).encode())


def test_nothing_in_the_line_looks_like_a_parameter_of_the_service():
    assert "{{" not in remote_line(["echo", "{{ssm:secret}}", "{{{{{"]).text


def test_the_marker_does_not_stand_in_the_line_that_a_process_list_shows():
    line = remote_line(["ps"])
    assert line.marker.decode() not in line.text
    assert remote_line(["ps"]).marker != line.marker


@pytest.mark.parametrize("argv", [[], [""], ["printf", "\udcff"], ["printf", "a\0b"]])
def test_what_no_session_can_carry_is_a_mistake_of_the_caller(argv):
    with pytest.raises(UsageError):
        remote_line(argv)


def test_a_line_that_the_service_would_refuse_is_refused_here():
    with pytest.raises(UsageError) as caught:
        remote_line(["echo", "x" * 70000])
    assert "65535" in str(caught.value)


def test_quotes_are_put_only_where_they_are_needed():
    assert quote(["echo", "plain", "a b"]) == "echo plain 'a b'"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "script, status, output, errors",
    [
        ("echo out; echo err >&2; exit 7", 7, b"out\nBBAA:7+\n", b"err\n"),
        ("kill -KILL $$", 137, b"BBAA:137+\n", b""),
        ("printf unfinished", 0, b"unfinishedBBAA:0+\n", b""),
        ("exit 255", 255, b"BBAA:255+\n", b""),
    ],
)
def test_the_wrapper_reports_in_every_shell(shell, script, status, output, errors):
    assert run(wrapped(shell, ["sh", "-c", script])) == (status, output, errors)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_that_is_not_there_gives_127_and_says_so(shell):
    status, output, errors = run(wrapped(shell, ["no-such-command"]))
    assert (status, output) == (127, b"BBAA:127+\n")
    assert re.match(ABSENT[shell], errors)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("shell", SHELLS)
def test_the_same_is_said_of_one_that_gets_input(shell, raw, tmp_path):
    """Not with the name of the FIFO that the input comes through."""
    (tmp_path / "i").write_text(".\n.\n")
    words = shlex.split(remote_line(["no-such-command"], str(tmp_path), raw).text)
    start = [shell, "sh"] if shell == "busybox" else [shell]
    assert re.match(ABSENT[shell], run(start + words[8:])[2])


@pytest.mark.parametrize("shell", SHELLS)
def test_words_of_the_shell_are_no_commands(shell):
    """``echo -e`` is one program here, whatever the shell's own echo would do."""
    status, output, _ = run(wrapped(shell, ["printf", "%s", "-e"]))
    assert (status, output) == (0, b"-eBBAA:0+\n")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_wrapper_ends_all_that_the_command_started(shell, number, tmp_path):
    mark = "mark-%d-%s" % (number, tmp_path.name)
    stubborn = "trap '' INT QUIT TERM HUP; sleep 1000 & echo on; sleep 1000 & wait; wait"
    process = subprocess.Popen(
        wrapped(shell, ["sh", "-c", stubborn, mark]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout.readline() == b"on\n"
        process.send_signal(number)
        assert process.wait(20) == 137
        assert process.stdout.read() == b"BBAA:137+\n"
        assert process.stderr.read() == b""
    assert wait_until_gone(mark, 10)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_killed_wrapper_takes_the_command_with_it(shell, whole_group, tmp_path):
    mark = "mark-" + tmp_path.name
    directory = str(tmp_path / "input")
    # After a moment, in which the process that watches leaves the wrapper's group.
    script = "trap '' INT TERM; sleep .3; echo on; sleep 1000"
    process = subprocess.Popen(
        wrapped(shell, ["sh", "-c", script, mark], directory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout.readline() == b"on\n"
        assert len(processes_with(mark)) >= 1
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        process.wait(20)
        assert wait_until_gone(mark, 10)
    assert not os.path.exists(directory)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_command_leaves_behind_is_not_ended(shell, tmp_path):
    mark = "mark-" + tmp_path.name
    script = "sh -c 'sleep 2.5; true' %s >/dev/null 2>&1 &" % mark
    assert run(wrapped(shell, ["sh", "-c", script]))[0] == 0
    assert not wait_until_gone(mark, 1.5)
    assert wait_until_gone(mark, 10)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_trailer_tells_whether_the_output_was_live(shell, tmp_path):
    path = tmp_path / "out"
    with path.open("wb") as out, subprocess.Popen(
        wrapped(shell, ["true"]), stdin=subprocess.DEVNULL, stdout=out
    ) as process:
        assert process.wait(10) == 0
    assert path.read_bytes() == b"BBAA:0\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_gets_an_interrupt_before_anything_worse(shell, tmp_path):
    graceful = "trap 'echo bye; exit 5' INT TERM; echo on; sleep 1000 & wait"
    process = subprocess.Popen(
        wrapped(shell, ["sh", "-c", graceful]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"bye\nBBAA:5+\n"
        assert process.wait(20) == 5
