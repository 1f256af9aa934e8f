"""The demo: any command against a local service, which leaves nothing behind."""

import os
import re
import signal
import stat
import subprocess
import sys

import pytest

from ssm_plugin.aws.keys import Credentials
from ssm_plugin.commands import demo
from ssm_plugin.loopback.fault_plan import FAULTS
from tests.support.drop_in import DropIn
from tests.support.pty import PtyProcess

DEMO = [sys.executable, "-m", "ssm_plugin", "demo"]


@pytest.fixture
def caller(tmp_path):
    return DropIn(tmp_path)


def call(caller, arguments, stdin=b"", **more):
    return caller.call(DEMO + arguments, stdin, dict(caller.environ, SHELL="/bin/sh", **more))


def test_a_shell_without_a_terminal_prints_the_answer(caller):
    done = call(caller, ["shell"], b"echo $((6*7)); exit\n")
    assert done.status == 0
    assert b"\n42\r\n" in done.stdout
    assert b"Starting session with SessionId: loopback-" in done.stderr


@pytest.mark.parametrize("target", ["i-demo", "ecs:demo/web"])
def test_words_reach_a_command_in_utf_8_whatever_the_locale_is(caller, target):
    environ = dict(caller.environ, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    words = [b"exec", target.encode(), b"--", b"echo", b"\xc3\xbc"]
    # No fork of another program, whose locale it would have.
    done = subprocess.run(
        DEMO + words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, b"\xc3\xbc\n")


def test_it_leaves_this_machine_by_no_proxy(caller):
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        done = call(caller, ["exec", "--", "echo", "hi"], **{name: "socks5://127.0.0.1:1"})
        assert (done.status, done.stdout) == (0, b"hi\n")


def test_it_leaves_this_machine_by_no_configured_endpoint(caller, tmp_path):
    path = tmp_path / "ssm-plugin.yaml"
    path.write_text("network: {stream_endpoint: '127.0.0.1:1', proxy: 'http://127.0.0.1:1'}\n")
    done = call(caller, ["exec", "--", "echo", "hi"], SSM_PLUGIN_CONFIG=str(path))
    assert (done.status, done.stdout) == (0, b"hi\n")


def test_a_shell_on_a_terminal(caller):
    environ = dict(caller.environ, SHELL="/bin/sh", PS1="ready> ")
    with PtyProcess(DEMO + ["shell"], cols=101, rows=33, env=environ) as program:
        program.expect(b"ready> ")
        program.send(b"stty size\r")
        program.expect(b"33 101")
        program.send(b"exit\r")
        assert program.wait() == 0
        assert program.attributes() == program.first_attributes


def test_the_node_may_be_named_and_options_passed_on(caller):
    for words in (["shell", "i-other", "--quiet"], ["--quiet", "shell", "i-other"]):
        done = call(caller, words, b"exit\n")
        assert (done.status, done.stderr) == (0, b"")


def test_options_of_all_commands_count_before_the_command_too(caller, tmp_path):
    configuration, log = tmp_path / "my.yaml", tmp_path / "log"
    configuration.write_text("targets: {db1: i-other}\n")
    options = ["--config", str(configuration), "--log-file", str(log), "--log-level", "debug"]
    done = call(caller, options + ["exec", "db1", "--", "echo", "hi"])
    assert (done.status, done.stdout, done.stderr) == (0, b"hi\n", b"")
    assert "ssm:StartSession on i-other" in log.read_text()
    done = call(caller, ["--document-name", "No-Such", "exec", "i-demo", "--", "true"])
    assert b"No-Such" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["echo", "hi"],
        ["--", "echo", "hi"],
        ["i-other", "echo", "hi"],
        ["--timeout", "50s", "i-other", "echo", "hi"],
        ["i-other", "--timeout", "50s", "--", "echo", "hi"],
        ["--timeout", "50s", "--", "echo", "hi"],
        ["--timeout", "50s", "echo", "hi"],
        ["--shell", "echo hi"],
    ],
)
def test_a_command_runs_on_the_node_whether_it_is_named_or_not(caller, arguments):
    done = call(caller, ["exec"] + arguments)
    assert (done.status, done.stdout) == (0, b"hi\n")


def test_faults_are_the_services(caller):
    done = call(caller, ["--faults", "refuse-upgrade", "shell"])
    assert done.status == 255
    assert b"refused the data channel with HTTP status 403" in done.stderr


def test_the_users_own_aws_configuration_is_left_out(caller):
    environ = {"AWS_ENDPOINT_URL_SSM": "https://real.example", "AWS_PROFILE": "real", "X": "1"}
    kept = demo._environ(environ, "http://127.0.0.1:5", Credentials("AKIDEXAMPLE", "secret"))
    assert "real" not in repr(kept)
    assert (kept["X"], kept["AWS_ENDPOINT_URL"]) == ("1", "http://127.0.0.1:5")
    caller.home.config("[default]\nignore_configured_endpoint_urls = true\n")
    assert call(caller, ["shell"], b"exit\n", **environ).status == 0


@pytest.mark.parametrize(
    "signum, options", [(signal.SIGTERM, []), (signal.SIGINT, ["--faults", "lose=1%"])]
)
def test_serve_runs_until_a_signal_ends_it(caller, tmp_path, signum, options):
    ready = tmp_path / "ready"
    argv = DEMO + ["serve", "--ready-file", str(ready)] + options
    with caller.spawn(argv) as process:
        text = b""
        while not text.endswith(b"i-demo\n\n"):
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece
            text += piece
        assert b"aws ssm start-session --target i-demo\n" in text
        process.send_signal(signum)
        _, stderr = process.communicate(timeout=40)
    assert (process.returncode, stderr) == (0, b"")
    assert ready.read_text().strip().encode() in text


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["demo"], b"the demo does not run inside a demo"),
        (["nonsense"], b"there is no command 'nonsense'"),
        (["exec", "--timeout", "soon", "--", "ls"], b"argument --timeout"),
        (["serve", "--port", "65536"], b"'65536' is not a port, from 0 to 65535"),
        (["serve", "--quux"], b"unrecognized arguments: --quux; see 'ssm-plugin demo s"),
        (["serve", "--faults", "nonsense"], b"cannot read fault 'nonsense'"),
        (["serve", "--ready-file", "/nowhere/at/all"], b"cannot write /nowhere/at/all"),
    ],
)
def test_mistakes_are_one_line(caller, arguments, said):
    done = call(caller, arguments)
    assert done.status == 255
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]])
def test_what_help_says_is_below_is_there(caller, arguments):
    text = call(caller, arguments).stdout.decode()
    assert text.count("see below") == 2
    assert "\nnodes, in a file for --nodes;" in text and "\nfaults, with commas" in text


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "--help"]])
def test_its_help_lists_the_faults_in_80_columns(caller, arguments):
    done = call(caller, arguments, COLUMNS="80")
    assert (done.status, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.startswith("usage: ssm-plugin demo")
    table, prose = FAULTS.split("\n\n")
    assert table in text
    assert prose.split() == text.split(table)[1].split()  # filled to the width
    assert max(map(len, text.splitlines())) <= 80


def test_a_shell_without_a_terminal_gets_no_codes_for_one(caller):
    environ = dict(caller.environ, SHELL="/bin/bash", TERM="xterm-256color")
    done = caller.call(DEMO + ["shell"], b"echo kind=$TERM; exit\n", environ)
    assert b"kind=dumb" in done.stdout
    assert b"\x1b" not in done.stdout


class Serving:
    """``demo serve`` with a ready file; ``exports`` is what it printed for clients."""

    def __init__(self, caller, folder, *options):
        self.ready = folder / "ready"
        argv = DEMO + list(options) + ["serve", "--ready-file", str(self.ready)]
        self.process = caller.spawn(argv)
        text = b""
        while not text.endswith(b"i-demo\n\n"):
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, self.process.stderr.read()
            text += piece
        lines = text.decode().splitlines(True)
        self.exports = "".join(line for line in lines if line.startswith("export "))
        self.variables = dict(
            pair.split("=", 1) for pair in self.exports.split() if pair != "export"
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=40)


def test_serve_prints_what_clients_need_and_writes_them_for_its_user_alone(caller, tmp_path):
    with Serving(caller, tmp_path) as serving:
        keys_file = tmp_path / "ready.env"
        assert serving.exports.count("\n") == 6
        assert keys_file.read_text() == serving.exports
        assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
        url = serving.ready.read_text()
        assert url == serving.variables["AWS_ENDPOINT_URL_SSM"] + "\n"
        environ = dict(caller.environ, **serving.variables)
        script = '. "%s" && exec "$0" -m ssm_plugin exec i-demo -- echo hi' % keys_file
        done = caller.call(["/bin/sh", "-c", script, sys.executable], environ=caller.environ)
        assert (done.status, done.stdout) == (0, b"hi\n"), done.stderr
        environ["AWS_SECRET_ACCESS_KEY"] = "another"
        done = caller.call([sys.executable, "-m", "ssm_plugin", "shell", "i-demo"], b"", environ)
        assert done.status == 255
        assert b"InvalidSignatureException: The request signature we calculated" in done.stderr


def test_doctor_asks_the_local_service_alone(caller, tmp_path):
    with Serving(caller, tmp_path) as serving:
        environ = dict(caller.environ, **serving.variables)
        argv = [sys.executable, "-m", "ssm_plugin", "doctor", "i-demo"]
        done = caller.call(argv, environ=environ)
    assert (done.status, done.stderr) == (0, b"")
    found = done.stdout.decode().splitlines()
    assert [line for line in found if "amazonaws.com" in line] == []
    where = serving.variables["AWS_ENDPOINT_URL_SSM"][len("http://"):]
    assert [line.split("  ")[0][2:] for line in found if where in line] == [
        "way to ssm", "way to ssmmessages"]
    assert any("arn:aws:iam::000000000000:user/demo" in line for line in found)


def test_keys_are_new_for_each_run_and_of_the_form_of_awss(caller, tmp_path):
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        with Serving(caller, tmp_path / name) as serving:
            found.append(serving.variables)
    for name, form in (("ACCESS_KEY_ID", "AKIA[A-Z2-7]{16}"), ("SECRET_ACCESS_KEY", "[+/\\w]{40}")):
        one, other = (each["AWS_" + name] for each in found)
        assert one != other
        assert re.match(form + r"\Z", one)


def test_the_file_of_keys_is_never_written_through_a_link(caller, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "ready.env").symlink_to(victim)
    with Serving(caller, tmp_path) as serving:
        assert victim.read_text() == "untouched"
        assert (tmp_path / "ready.env").read_text() == serving.exports


def test_neither_secret_nor_token_is_in_the_log(caller, tmp_path):
    log = tmp_path / "log"
    options = ["--log-level", "debug", "--log-file", str(log)]
    with Serving(caller, tmp_path, *options) as serving:
        environ = dict(caller.environ, **serving.variables)
        argv = [sys.executable, "-m", "ssm_plugin", "exec", "i-demo"] + options + ["--", "ls"]
        assert caller.call(argv, b"", environ).status == 0
    assert serving.variables["AWS_SECRET_ACCESS_KEY"] not in log.read_text()
    assert "TokenValue" not in log.read_text()


def test_the_port_can_be_chosen_and_one_in_use_is_said_in_one_line(caller, tmp_path):
    with Serving(caller, tmp_path) as serving:
        port = serving.ready.read_text().strip().rpartition(":")[2]
        done = call(caller, ["serve", "--port", port])
        said = "cannot listen on port %s of 127.0.0.1: Address already in use\n" % port
        assert (done.status, done.stderr.decode()) == (255, "ssm-plugin: " + said)
    with Serving(caller, tmp_path, "--port", port) as serving:
        assert serving.ready.read_text() == "http://127.0.0.1:%s\n" % port


def test_the_aws_cli_needs_no_more_than_the_three_lines(caller, tmp_path, aws_cli):
    with Serving(caller, tmp_path) as serving:
        environ = dict(caller.environ, **serving.variables)
        argv = [aws_cli, "ssm", "describe-sessions", "--state", "Active", "--output", "text"]
        done = caller.call(argv, b"", environ)
        assert (done.status, done.stderr) == (0, b"")


NODES = """\
nodes:
- {name: db1}
- {name: "web-{n}", count: 2, tags: {Role: web}}
"""


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["list", "web-1", "i-demo"], b"web-1"),
        (["exec", "web-1", "--", "echo", "hi"], b"hi"),
        (["exec", "web-1", "echo", "hi"], b"hi"),
        (["exec", "tag:Role=web", "--", "echo", "hi"], b"web-2: hi"),
        (["exec", "--", "echo", "hi"], b"hi"),
    ],
)
def test_nodes_of_a_file_have_names(caller, tmp_path, arguments, said):
    (tmp_path / "nodes.yaml").write_text(NODES)
    done = call(caller, ["--nodes", str(tmp_path / "nodes.yaml")] + arguments)
    assert done.status == 0, done.stderr
    assert said in done.stdout


def test_a_file_of_nodes_that_is_wrong_is_one_line(caller, tmp_path):
    (tmp_path / "nodes.yaml").write_text("nodes: [{nmae: db1}]")
    done = call(caller, ["serve", "--nodes", str(tmp_path / "nodes.yaml")])
    assert (done.status, done.stderr.count(b"\n")) == (255, 1)
    assert b"nodes.1.nmae: unknown key; did you mean 'name'?" in done.stderr


def test_the_nodes_of_a_demo_are_not_kept_for_completion(caller, tmp_path):
    done = call(caller, ["list"], HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert done.status == 0
    assert list(tmp_path.rglob("nodes.json")) == []


def test_the_doctor_has_nothing_to_say_against_the_demo_s_node(caller):
    done = call(caller, ["doctor", "i-demo"])
    assert done.status == 0, done.stdout
    assert done.stdout.endswith(b"stands in the way of a session with i-demo.\n")
