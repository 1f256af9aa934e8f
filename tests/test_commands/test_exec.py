import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ssm_plugin.loopback.agent_documents import NON_INTERACTIVE, Document
from tests.support import program
from tests.support.commands import TIME_LIMIT, processes_with, wait_until_gone
from tests.support.drop_in import with_built_file
from tests.support.running import TARGET
from tests.support.service import local_service
from tests.support.threads import wait_until

SCRIPT = "echo out; echo err >&2; exit 7"
EXPECTED = (7, b"out\n", b"err\n")


@pytest.fixture(scope="module")
def service():
    options = {"documents": {"Plain": Document(NON_INTERACTIVE, separate_output=False)}}
    with local_service(**options) as service:
        yield service


def test_output_errors_and_status_from_an_environment_as_bare_as_crons(cli):
    assert cli.exec("--", "sh", "-c", SCRIPT) == EXPECTED


def test_the_same_with_everything_closed_but_output(cli):
    line = 'exec 0<&-; exec "$@"'
    with subprocess.Popen(
        ["sh", "-c", line, "sh"] + cli.argv("exec", TARGET, "--", "sh", "-c", SCRIPT),
        env=cli.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.communicate(timeout=TIME_LIMIT) == (b"out\n", b"err\n")
    assert process.returncode == 7


@pytest.mark.skipif(not shutil.which("setsid"), reason="needs setsid")
def test_the_same_under_setsid(cli):
    with subprocess.Popen(
        ["setsid", "--wait"] + cli.argv("exec", TARGET, "--", "sh", "-c", SCRIPT),
        env=cli.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.communicate(timeout=TIME_LIMIT) == (b"out\n", b"err\n")
    assert process.returncode == 7


def test_the_input_of_a_loop_around_us_stays_its_own(cli):
    loop = 'while read -r word; do "$@" "$word" || exit; done'
    argv = ["sh", "-c", loop, "sh"] + cli.argv("exec", TARGET, "--", "echo")
    with program.start(
        argv, env=cli.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.communicate(b"one\ntwo\n", timeout=TIME_LIMIT)[0] == b"one\ntwo\n"


def test_four_at_once_under_xargs(cli):
    argv = ["xargs", "-P4", "-n1"] + cli.argv("exec", TARGET, "--", "sh", "-c", "echo $0; exit 7")
    with program.start(
        argv, env=cli.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        out = process.communicate(b"1 2 3 4 5 6\n", timeout=TIME_LIMIT)[0]
    assert sorted(out.split()) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert process.returncode == 123  # as xargs has it: some ended with a status from 1 to 125


@pytest.mark.parametrize(
    "words",
    [
        ("--", "printf", "%s|", "a b", "it's", "$HOME", "--", "-x", "ü\n"),
        ("printf", "%s|", "a b", "it's", "$HOME", "--", "-x", "ü\n"),
        ("--timeout", "1m", "--", "printf", "%s|", "a b", "it's", "$HOME", "--", "-x", "ü\n"),
        ("--timeout", "1m", "printf", "%s|", "a b", "it's", "$HOME", "--", "-x", "ü\n"),
    ],
)
def test_arguments_arrive_as_they_are_wherever_our_options_end(cli, words):
    assert cli.exec(*words) == (0, "a b|it's|$HOME|--|-x|ü\n|".encode(), b"")


def test_options_may_come_before_the_target(cli):
    assert cli.run("exec", "--timeout", "1m", TARGET, "--", "echo", "x") == (0, b"x\n", b"")


def test_a_shells_line_in_place_of_a_command(cli):
    assert cli.exec("--shell", "echo $((6*7)) && exit 3") == (3, b"42\n", b"")


def test_a_plain_document_gives_the_status_too(cli):
    status, stdout, stderr = cli.exec("--document-name", "Plain", "--", "sh", "-c", SCRIPT)
    assert (status, stdout, stderr) == (7, b"out\nerr\n", b"")


@pytest.mark.parametrize(
    "words, said",
    [
        ([], b"no COMMAND"),
        (["--"], b"no COMMAND"),
        (["--shell", "x", "--", "y"], b"not both"),
        (["--shell", " "], b"no command"),
        (["--no-such-option", "--", "x"], b"--no-such-option"),
        (["--timeout", "soon", "--", "x"], b"soon"),
        (["--timeout", "0", "--", "x"], b"more than 0"),
        (["--parallel", "0", "--", "x"], b"parallel"),
        (["--stdin", "/no/such/file", "--", "x"], b"/no/such/file"),
        (["--targets-file", "/no/file", "--", "x"], b"in /no/file: No such file or directory\n"),
        (["--output-dir", "/dev/null/x", "--", "x"], b"/dev/null"),
    ],
)
def test_a_mistake_is_one_line_and_255(cli, words, said):
    status, stdout, stderr = cli.exec(*words)
    assert (status, stdout) == (255, b"")
    assert said in stderr
    assert stderr.count(b"\n") == 1


@pytest.mark.parametrize("targets", ["web-1", "web-1,web-2"])
@pytest.mark.parametrize("word, said", [("", "no command"), ("\udcff", "argument 0")])
def test_what_can_be_no_command_is_one_mistake_of_all_targets(cli, service, targets, word, said):
    calls = len(service.ssm.calls())
    status, stdout, stderr = cli.run("exec", targets, "--", word)
    assert (status, stdout) == (255, b"")
    assert said.encode() in stderr and stderr.count(b"\n") == 1
    assert len(service.ssm.calls()) == calls


def test_a_file_of_targets_that_is_no_text_is_told_in_words(cli, tmp_path):
    (tmp_path / "targets").write_bytes(b"i-1\n\xff\n")
    status, _, stderr = cli.run("exec", "--targets-file", "targets", "--", "true")
    assert status == 255
    assert stderr == b"ssm-plugin: cannot read the targets in targets: it is not UTF-8 text\n"


@pytest.mark.parametrize("word", ["uname -a", "cat /etc/hosts", "echo one\necho two", "a\tb/c"])
def test_a_line_given_as_one_word_starts_nothing_and_names_the_option_for_it(cli, service, word):
    sessions = len(service.sessions())
    status, stdout, stderr = cli.exec(word)
    assert (status, stdout) == (255, b"")
    assert stderr.decode() == (
        "ssm-plugin: the COMMAND '%s ...' is one word with white space in it, and no shell "
        "splits it: give a shell's line with --shell, or the words one by one\n" % word.split()[0]
    )
    assert len(service.sessions()) == sessions


def test_a_path_may_have_a_space_in_it(cli, tmp_path):
    program = tmp_path / "my program"
    program.write_text("#!/bin/sh\necho runs\n")
    program.chmod(0o755)
    assert cli.exec("--", str(program)) == (0, b"runs\n", b"")


def test_a_path_with_a_space_that_is_not_there_is_explained_afterwards(cli, tmp_path):
    status, _, stderr = cli.exec("--", "/bin/uname -a")
    assert status == 127
    assert b"--shell" in stderr.splitlines()[-1]
    assert b"--shell" in cli.run("exec", "i-1,i-2", "--", "/bin/uname -a")[2].splitlines()[-1]
    assert b"--shell" not in cli.exec("--quiet", "--", "/bin/uname -a")[2]
    assert b"--shell" not in cli.exec("--", "no-such-program")[2]


@pytest.mark.parametrize("words", [("--json",), ("--json", "--targets-file", "more")])
def test_a_closed_pipe_in_place_of_the_object_is_141_and_no_mistake(cli, tmp_path, words):
    (tmp_path / "more").write_text("i-1\n")
    reader, writer = os.pipe()
    os.close(reader)
    argv = cli.argv("exec", TARGET, *(words + ("--", "true")))
    with program.start(
        argv, env=cli.environ, cwd=str(tmp_path), stdin=subprocess.DEVNULL,
        stdout=writer, stderr=subprocess.PIPE,
    ) as process:
        os.close(writer)
        assert process.communicate(timeout=TIME_LIMIT)[1] == b""
    assert process.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.may_skip
@pytest.mark.parametrize("words", [("--json", "--", "true"), ("--", "echo", "x")])
def test_a_full_disk_behind_standard_output_is_told_by_that_name(cli, words):
    with open("/dev/full", "wb") as full, program.start(
        cli.argv("exec", TARGET, *words), env=cli.environ, stdin=subprocess.DEVNULL,
        stdout=full, stderr=subprocess.PIPE,
    ) as process:
        said = process.communicate(timeout=TIME_LIMIT)[1]
    assert process.returncode == 255
    assert said == b"ssm-plugin: cannot write to standard output: No space left on device\n"


def test_no_target_is_a_mistake(cli):
    status, _, stderr = cli.run("exec", "--", "true")
    assert status == 255
    assert b"no TARGET" in stderr


def test_a_start_that_is_refused_is_one_line_and_255(cli, service):
    service.answer_with("StartSession", "TargetNotConnected", "i-x is not connected")
    status, stdout, stderr = cli.exec("--", "true")
    assert (status, stdout) == (255, b"")
    assert stderr.count(b"\n") == 1
    assert b"TargetNotConnected" in stderr


def test_a_time_limit_gives_124_and_says_so(cli, tmp_path):
    mark = "mark-%s" % tmp_path
    start = time.monotonic()
    status, _, stderr = cli.exec("--timeout", "500ms", "--", "sh", "-c", "sleep 1000", mark)
    assert status == 124
    assert b"time limit of 0.5 s" in stderr
    assert time.monotonic() - start < 30
    assert wait_until_gone(mark, 10)


@pytest.mark.volume
def test_a_time_limit_holds_while_nobody_reads_our_output(cli, tmp_path):
    mark = "mark-%s" % tmp_path
    with cli.start("exec", TARGET, "--timeout", "1s", "--", "yes", mark) as process:
        assert process.wait(TIME_LIMIT) == 124
    assert wait_until_gone(mark, 10)


@pytest.mark.parametrize("ending", ["a signal", "a time limit"])
@pytest.mark.volume
def test_several_targets_end_while_nobody_reads_our_output(cli, tmp_path, ending):
    """Also where the output has no line end, which we would write in the end."""
    mark = "mark-%s" % tmp_path
    options = ["--timeout", "1s"] if ending == "a time limit" else []
    script = "echo on; yes | tr '\\n' x"
    words = ["exec", "i-1,i-2"] + options + ["--", "sh", "-c", script, mark]
    with cli.start(*words) as process:
        assert process.stdout.readline().endswith(b": on\n")
        if ending == "a signal":
            process.send_signal(signal.SIGTERM)
        assert process.wait(TIME_LIMIT) == (143 if ending == "a signal" else 124)
    assert wait_until_gone(mark, 10)


def test_json_is_one_object_and_nothing_else_on_stdout(cli, service):
    status, stdout, stderr = cli.exec("--json", "--", "sh", "-c", SCRIPT)
    assert (status, sorted(stderr.split())) == (7, [b"err", b"out"])  # two streams: any order
    value = json.loads(stdout)
    assert stdout.count(b"\n") == 1
    assert (value["status"], value["reason"], value["target"]) == (7, "", TARGET)
    assert value["session_id"] == service.session().session_id
    assert (value["stdout_bytes"], value["stderr_bytes"]) == (4, 4)
    assert value["started_at"] <= value["ended_at"]


def test_json_of_a_failure_has_its_reason(cli, service):
    service.answer_with("StartSession", "AccessDeniedException", "no")
    status, stdout, stderr = cli.exec("--json", "--", "true")
    value = json.loads(stdout)
    assert (status, value["status"], stderr) == (255, 255, b"")
    assert "AccessDenied" in value["reason"]


def test_input_from_a_file_and_from_a_pipe(cli, tmp_path):
    data = os.urandom(100000)
    path = tmp_path / "data"
    path.write_bytes(data)
    show = "import sys, hashlib; print(hashlib.md5(sys.stdin.buffer.read()).hexdigest())"
    status, direct, _ = cli.exec("--stdin", str(path), "--", "python3", "-c", show)
    assert status == 0
    again = cli.exec("--stdin", "-", "--", "python3", "-c", show, input=data)
    assert again == (0, direct, b"")


def test_input_that_cannot_be_read_is_no_empty_one(cli, tmp_path, service):
    before = len(service.sessions())
    status, _, stderr = cli.exec("--stdin", str(tmp_path), "--", "cat")
    why = "ssm-plugin: cannot read %s: Is a directory\n" % tmp_path
    assert (status, stderr) == (255, why.encode())
    assert len(service.sessions()) == before
    status, _, stderr = cli.exec("--stdin", "/proc/self/mem", "--", "cat")
    assert (status, stderr.count(b"\n")) == (255, 1)
    assert stderr.endswith(b"cannot read /proc/self/mem: Input/output error\n")


def test_input_for_several_targets_is_a_mistake(cli):
    status, _, stderr = cli.run("exec", "i-1,i-2", "--stdin", "-", "--", "cat")
    assert status == 255
    assert b"one target" in stderr


def test_several_targets_get_prefixes_a_table_and_the_worst_status(cli):
    status, stdout, stderr = cli.run(
        "exec", "i-1,i-2,i-1", "--shell", 'echo "line"; printf end; echo oops >&2; exit 3'
    )
    assert status == 3
    assert sorted(stdout.splitlines()) == [b"i-1: end", b"i-1: line", b"i-2: end", b"i-2: line"]
    lines = stderr.splitlines()
    assert sorted(lines[:2]) == [b"i-1: oops", b"i-2: oops"]
    assert [line.split()[:2] for line in lines[2:]] == [
        [b"TARGET", b"STATUS"], [b"i-1", b"3"], [b"i-2", b"3"]
    ]


def test_targets_from_a_file_and_output_in_files(cli, tmp_path):
    (tmp_path / "targets").write_text("# ours\ni-1\n\ni-2  # the second\n")
    status, stdout, stderr = cli.run(
        "exec", "--targets-file", "targets", "--output-dir", "out", "--", "sh", "-c", SCRIPT
    )
    assert (status, stdout) == (7, b"")
    assert stderr.startswith(b"TARGET")
    for name in ("i-1", "i-2"):
        assert (tmp_path / "out" / (name + ".out")).read_text() == "out\n"
        assert (tmp_path / "out" / (name + ".err")).read_text() == "err\n"


def test_a_name_in_a_file_of_targets_may_hold_what_begins_a_comment_elsewhere(cli, tmp_path):
    (tmp_path / "targets").write_bytes(b"\xef\xbb\xbfi-1#2\r\n  # i-3\r\n#i-4\r\ni-5\t#\r\n")
    status, stdout, _ = cli.run("exec", "--targets-file", "targets", "--", "echo", "on")
    assert (status, sorted(stdout.splitlines())) == (0, [b"i-1#2: on", b"i-5: on"])


def test_quiet_shows_no_table_when_all_is_well(cli):
    assert cli.run("exec", "i-1,i-2", "--quiet", "--", "true") == (0, b"", b"")


def test_json_of_several_is_one_object(cli):
    status, stdout, _ = cli.run("exec", "i-1,i-2", "--json", "--", "sh", "-c", SCRIPT)
    value = json.loads(stdout)
    assert (status, value["status"]) == (7, 7)
    assert [one["status"] for one in value["targets"]] == [7, 7]


def test_output_of_one_target_can_go_to_files_too(cli, tmp_path):
    assert cli.exec("--output-dir", "o", "--", "sh", "-c", SCRIPT) == (7, b"", b"")
    assert (tmp_path / "o" / (TARGET + ".out")).read_text() == "out\n"


def begin(cli, mark, *options, **more):
    script = "echo on; sleep 1000 & sleep 1000"
    process = cli.start("exec", TARGET, *(options + ("--", "sh", "-c", script, mark)), **more)
    assert process.stdout.readline() == b"on\n"
    assert processes_with(mark)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_us_ends_the_command(cli, tmp_path, number):
    mark = "mark-%s" % tmp_path
    with begin(cli, mark) as process:
        process.send_signal(number)
        assert wait_until_gone(mark, 10)
        assert process.wait(20) == 128 + number
        assert process.stderr.read() == b""


def test_the_same_with_several_targets(cli, tmp_path):
    mark = "mark-%s" % tmp_path
    script = "echo on; sleep 1000"
    with cli.start("exec", "i-1,i-2", "--", "sh", "-c", script, mark) as process:
        for _ in range(2):
            assert process.stdout.readline().endswith(b": on\n")
        process.send_signal(signal.SIGTERM)
        assert wait_until_gone(mark, 10)
        assert process.wait(20) == 143
        assert b"ended by signal 15" in process.stderr.read()


def test_a_reader_that_leaves_ends_the_command(cli, tmp_path):
    mark = "mark-%s" % tmp_path
    with cli.start("exec", TARGET, "--", "sh", "-c", "yes", mark) as process:
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert wait_until_gone(mark, 10)
        assert process.wait(20) == 141


@pytest.mark.parametrize("size", [2, 200000])
@pytest.mark.volume
def test_an_interrupt_while_nobody_reads_still_ends_the_command(cli, tmp_path, size):
    """It comes while we write, or between two writes: then the next one must not block."""
    mark = "mark-%s" % tmp_path
    with cli.start("exec", TARGET, "--", "sh", "-c", "yes", mark) as process:
        assert process.stdout.read(size) == b"y\n" * (size // 2)
        process.send_signal(signal.SIGTERM)
        assert wait_until_gone(mark, 10)  # we are one of those that are waited for
        assert process.wait(20) == 143


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_end_of_our_parent_is_ours(cli, tmp_path):
    mark = "mark-%s" % tmp_path
    parent = "import subprocess, sys; subprocess.call(sys.argv[1:])"
    argv = cli.argv("exec", TARGET, "--", "sh", "-c", "echo on; sleep 1000", mark)
    with subprocess.Popen(
        [sys.executable, "-c", parent] + argv,
        env=cli.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"on\n"
        process.kill()
        assert wait_until_gone(mark, 10)


@pytest.mark.parametrize(
    "how",
    [
        "nohup $* >out 2>&1 & exit",
        "$* >out 2>&1 & exit",
        "setsid $* >out 2>&1 & exit",
    ],
)
def test_what_was_sent_to_the_background_outlives_its_shell(cli, tmp_path, service, how):
    argv = cli.argv("exec", TARGET, "--", "sh", "-c", "sleep${IFS}0.7;echo${IFS}done>>$0",
                    str(tmp_path / "done"))
    quoted = how.replace("$*", '"$@"')
    subprocess.check_call(
        ["sh", "-c", quoted, "sh"] + argv, env=cli.environ, cwd=str(tmp_path), timeout=TIME_LIMIT
    )
    wait_until((tmp_path / "done").exists)


@pytest.mark.parametrize("via", ["sessions", "run-command"])
def test_what_a_script_left_in_the_background_outlives_it(cli, tmp_path, via):
    """The shell of a script has it ignore SIGINT, and is its parent until the script ends."""
    mark, began, gate = "mark-%s" % tmp_path, str(tmp_path / "began"), str(tmp_path / "gate")
    os.mkfifo(began)
    os.mkfifo(gate)
    line = 'echo on >"$1"; read -r word <"$2"; echo "$word"'
    argv = cli.argv("exec", TARGET, "--via", via, "--", "sh", "-c", line, mark, began, gate)
    script = '"$@" >out 2>err & read -r word <began'
    subprocess.check_call(
        ["sh", "-c", script, "sh"] + argv, env=cli.environ, cwd=str(tmp_path), timeout=TIME_LIMIT
    )
    assert not wait_until_gone(mark, 0.7)
    opened = os.open(gate, os.O_RDWR)
    os.write(opened, b"done\n")
    assert wait_until_gone(mark, TIME_LIMIT)
    os.close(opened)
    assert (tmp_path / "out").read_bytes() == b"done\n"


@pytest.mark.e2e
@pytest.mark.usefixtures("measured_starts")
def test_the_aws_cli_ends_with_255_when_the_command_fails(cli, service, zipapp, aws_cli):
    parameters = {"command": ["sh -c '%s'" % SCRIPT], "separateOutputStream": ["true"]}
    path = os.pathsep.join([os.path.dirname(sys.executable), os.defpath])
    environ = dict(with_built_file(cli.environ, zipapp, path), AWS_DEFAULT_REGION="us-east-1")
    environ.pop("PYTHONPATH")
    command = [
        aws_cli, "ssm", "start-session", "--target", TARGET, "--endpoint-url", service.endpoint_url,
        "--document-name", "AWS-StartNonInteractiveCommand", "--parameters", json.dumps(parameters),
    ]
    with subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        stdout, stderr = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 255
    assert b"\nout\n" in stdout, stderr
    assert b"err\n" in stderr
    assert b"exit status 7" in stderr
