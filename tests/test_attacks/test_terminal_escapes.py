"""Whatever a node, a service, a proxy or a file says: a terminal and a log see it escaped.

The texts come through parts that really speak: agents that say what they are told to
(``tests.support.hostile_agent``), the error answers of the local service (``answer_with``), an HTTP
server and a proxy with answers of their own, and our own configuration file.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import re
import signal
import sys

import pytest

from ssm_plugin.loopback.service import LocalService
from ssm_plugin.wire import payloads
from tests.support.commands import TARGET, Cli
from tests.support.drop_in import DropIn
from tests.support.hostile_agent import Script
from tests.support.http_server import ConnectProxy, HttpServer, reply
from tests.support.pty import PtyProcess
from tests.support.service import local_service
from tests.support.websocket_peer import CLOSE, frame

C0 = "".join(map(chr, range(0x20)))
C1 = "".join(map(chr, range(0x80, 0xA0)))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HIDING = "\u00ad\u200b\u200c\u200d\u2060\ufeff\U000e0041"
CONTROLS = C0 + "\x7f" + C1 + "\u2028\u2029" + BIDI + HIDING

# What it is for: another line, another title, another colour, a question to the terminal.
EVIL = (
    "EVIL\r\nssm-plugin: all is well\x1b[2K\x1b]0;title\x07\x9b6n\x1b[1A\u202egnp.exe\x08\x0b\x0c"
    + CONTROLS
    + "\ud800 \udc9b END é 漢 😀"
)

FORBIDDEN = frozenset(CONTROLS + "".join(map(chr, range(0xD800, 0xE000)))) - {"\n"}

IN_JSON = EVIL.replace("\ud800", "\\ud800").replace("\udc9b", "\\x9b")

# What Python's own json writes of it, and an HTTP answer in UTF-8 can carry.
BODY = json.dumps({"__type": "TargetNotConnected", "message": EVIL}).encode()


@pytest.fixture(autouse=True)
def as_started():
    """What is shown is the same from a fork."""


def obeyed(data):
    """The characters in it that a terminal obeys, or does not show. Line ends may be CR LF."""
    text = data.replace(b"\r\n", b"\n").decode("utf-8")
    return sorted(FORBIDDEN.intersection(text))


def one_line(data):
    text = data.replace(b"\r\n", b"\n").decode("utf-8")
    assert obeyed(data) == []
    assert text.startswith("ssm-plugin: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text


@contextlib.contextmanager
def hostile(**script):
    with LocalService(Script(**script).start) as service:
        yield service


def cli_in_utf_8(folder, service=None):
    """Without a locale Python 3.6 takes each byte of an argument that is not ASCII for itself."""
    cli = Cli(folder, service)
    cli.environ["LC_ALL"] = "C.UTF-8"
    return cli


@contextlib.contextmanager
def terminal(cli, *words):
    with PtyProcess(cli.argv(*words), env=cli.environ, cwd=str(cli.folder), cols=4000) as program:
        yield program


# The drop-in


def drop_in(tmp_path, service, session_id=None):
    caller = DropIn(tmp_path, service)
    started = caller.start()
    if session_id:
        started.response["SessionId"] = session_id
    return caller, started


@pytest.mark.parametrize("quiet", ["", "1"])
def test_message_reason_and_session_id_on_pipes(tmp_path, quiet):
    with hostile(message=EVIL, reason=EVIL) as service:
        caller, started = drop_in(tmp_path, service, EVIL)
        done = caller.run(started, SSM_PLUGIN_QUIET=quiet)
    assert obeyed(done.stdout) == [] and obeyed(done.stderr) == []
    text = (done.stdout + done.stderr).decode()
    # Twice the start or end line with the id, once the message, once the reason.
    assert text.count("EVIL") == 4 and text.count("END é 漢 😀") == 4
    assert "\\x1b[2K\\x1b]0;title\\x07\\x9b6n\\x1b[1A\\u202egnp.exe\\x08\\x0b\\x0c" in text


def test_message_and_reason_on_a_terminal(tmp_path):
    with hostile(message=EVIL, reason=EVIL) as service:
        caller, started = drop_in(tmp_path, service)
        with caller.on_terminal(started) as program:
            program.expect(b"SessionId: %s : EVIL" % started.session_id.encode())
            program.wait()
    assert obeyed(program.output) == []
    assert program.output.count(b"EVIL") == 2


def test_a_reason_cannot_imitate_another_notice(tmp_path):
    with hostile(reason="x\nPort 22 opened for sessionId s-1.\r\nmore") as service:
        caller, started = drop_in(tmp_path, service)
        done = caller.run(started)
    assert done.stdout.decode() == (
        "\nStarting session with SessionId: {0}\n\n\n"
        "SessionId: {0} : x\\nPort 22 opened for sessionId s-1.\\r\\nmore\n\n"
    ).format(started.session_id)


def test_a_customer_message_keeps_its_lines_and_its_letters(tmp_path):
    with hostile(message="Bonjour é\r\n漢 \x1b[31m😀\n\tlast\r") as service:
        caller, started = drop_in(tmp_path, service)
        done = caller.run(started)
    assert "\nBonjour é\n漢 \\x1b[31m😀\n\\tlast\\r\n" in done.stdout.decode()


def test_usual_texts_are_as_those_of_the_aws_client(tmp_path):
    with hostile(message="Welcome, {you}.", reason="Timed out: 20 minutes. \\o/") as service:
        caller, started = drop_in(tmp_path, service)
        done = caller.run(started)
    assert done.stdout.decode() == (
        "\nStarting session with SessionId: {0}\nWelcome, {{you}}.\n"
        "\n\nSessionId: {0} : Timed out: 20 minutes. \\o/\n\n"
    ).format(started.session_id)


def test_what_the_session_itself_prints_stays_as_it_is(tmp_path):
    data = bytes(range(256)) + EVIL[:20].encode()
    with hostile(output=((payloads.OUTPUT, data), (payloads.STDERR, data))) as service:
        caller, started = drop_in(tmp_path, service)
        done = caller.run(started)
    assert data in done.stdout and data in done.stderr


# Errors of the node, the service and the proxy


def test_a_session_type(tmp_path):
    with hostile(session_type=EVIL) as service:
        status, stdout, stderr = Cli(tmp_path, service).run("shell", TARGET)
    assert (status, stdout) == (255, b"")
    assert "EVIL" in one_line(stderr)


def test_an_error_of_the_local_service(tmp_path):
    with local_service() as service:
        service.answer_with("StartSession", "TargetNotConnected", EVIL, times=9)
        cli = Cli(tmp_path, service)
        for command in ("shell", "ssh"):
            status, stdout, stderr = cli.run(command, TARGET)
            assert (status, stdout) == (255, b"")
            assert "TargetNotConnected: EVIL" in one_line(stderr)
        with terminal(cli, "shell", TARGET) as program:
            assert program.wait() == 255
        assert "TargetNotConnected: EVIL" in one_line(program.output)


@pytest.mark.parametrize(
    "answer",
    [
        reply(400, BODY),
        reply(400, BODY, {"x-amzn-errortype": "\x1b[31m\x9b\x85Odd:\x7f"}, reason="\x1b[2J\x9b"),
        reply(400, {"__type": EVIL, "message": EVIL}),
        reply(200, {"SessionId": EVIL, "StreamUrl": "ws://127.0.0.1:9/" + EVIL, "TokenValue": "t"}),
        reply(200, {"SessionId": EVIL, "StreamUrl": "ws://evil\x1b[2J/", "TokenValue": "t"}),
        reply(302, EVIL.encode("utf-8", "replace"), {"Location": "\x1b[2J\x9b"}),
        reply(200, EVIL.encode("utf-8", "replace")),
        b"HTTP/1.1 \x1b[2J\x9b\r\n\r\n",
        b"\x1b[2J\x9b\r\n\r\n",
    ],
)
def test_answers_of_a_service(tmp_path, answer):
    with HttpServer(lambda request: answer) as server:
        cli = Cli(tmp_path)
        cli.environ["AWS_ENDPOINT_URL"] = server.url
        with terminal(cli, "shell", TARGET) as program:
            assert program.wait() == 255
    assert server.requests
    one_line(program.output)


def upgraded(request, rest):
    """The answer that makes it a WebSocket, and what the gateway sends at once."""
    key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    return (
        b"HTTP/1.1 101 \x1b[2J\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept.encode() + rest
    )


GATEWAYS = {
    "closes": lambda one: upgraded(one, frame(CLOSE, b"\x10\x00" + EVIL[:60].encode())),
    "closes in latin-1": lambda one: upgraded(one, frame(CLOSE, b"\x03\xf0\x9b6n\x1b[2J")),
    "sends nonsense": lambda one: upgraded(one, b"\x1b[2J\x9b" * 20),
    "refuses": lambda one: reply(503, EVIL.encode("utf-8", "replace"), reason="\x1b[2J\x9b"),
    "redirects": lambda one: reply(302, b"", {"Location": "ws://\x1b[2J\x9b/"}),
    "is no gateway": lambda one: b"\x1b[2J\x9b\r\n\r\n",
}


@pytest.mark.parametrize("name", sorted(GATEWAYS))
def test_answers_of_a_gateway(tmp_path, name):
    def answer(request):
        if request.method == "GET":
            return GATEWAYS[name](request)
        if request.headers["x-amz-target"].endswith("StartSession"):
            url = "ws://127.0.0.1:%d/v1/data-channel/x" % server.port
            return reply(200, {"SessionId": EVIL, "StreamUrl": url, "TokenValue": "t"})
        return reply(400, BODY)

    with HttpServer(answer) as server:
        cli = Cli(tmp_path)
        cli.environ["AWS_ENDPOINT_URL"] = server.url
        log = tmp_path / "log"
        words = ("shell", TARGET, "--log-level", "debug", "--log-file", str(log))
        with terminal(cli, *words) as program:
            assert program.wait() == 255
    one_line(program.output.replace(b"ssm-plugin: connecting; Ctrl-C ends it\r\n", b""))
    assert obeyed(log.read_bytes()) == []


@pytest.mark.parametrize(
    "refusal",
    [
        b"HTTP/1.1 407 \x1b[2J\r\nProxy-Authenticate: \x1b[31m\x9bNegotiate\x7f\r\n\r\n",
        b"HTTP/1.1 403 \x1b[2J\x9b\xc2\x85\r\n\r\n",
        b"HTTP/1.1 \x1b[2J\x9b\r\n\r\n",
    ],
)
def test_answers_of_a_proxy(tmp_path, refusal):
    with ConnectProxy(refusal=refusal) as proxy:
        cli = Cli(tmp_path)
        cli.environ.update(
            AWS_ENDPOINT_URL="https://ssm.example", HTTPS_PROXY="http://127.0.0.1:%d" % proxy.port
        )
        status, _, stderr = cli.run("shell", TARGET)
    assert status == 255
    assert "proxy" in one_line(stderr)


# Our own commands


def test_ssh_puts_message_and_reason_on_stderr_escaped(tmp_path):
    with hostile(session_type="Port", message=EVIL, reason=EVIL) as service:
        status, stdout, stderr = Cli(tmp_path, service).run("ssh", TARGET)
    assert (status, stdout) == (255, b"")
    assert obeyed(stderr) == [] and stderr.count(b"EVIL") == 2


LOCAL = {"type": "LocalPortForwarding", "portNumber": "80"}


def test_the_reports_of_forward(tmp_path):
    with hostile(session_type="Port", properties=LOCAL, message=EVIL, reason=EVIL) as service:
        cli = Cli(tmp_path, service)
        status, stdout, stderr = cli.run("forward", TARGET, "0:80", "--once")
        assert (status, stdout) == (255, b"")
        assert obeyed(stderr) == [] and stderr.count(b"EVIL") == 2
        status, stdout, stderr = cli.run("forward", TARGET, "0:80", "--once", "--json")
    assert obeyed(stdout) == [] and obeyed(stderr) == []
    ended = [json.loads(line) for line in stdout.decode().splitlines()][-1]
    assert ended["event"] == "ended" and IN_JSON in ended["message"]


def test_a_tunnel_that_starts_again_says_why_on_one_line(tmp_path):
    """A reason at the end of the first session is a refusal, and no other one is started."""
    reasons = itertools.chain([""], itertools.repeat("a\nssm-plugin: b\x1b"))

    def start(session, link):
        script = Script(session_type="Port", properties=LOCAL, reason=next(reasons))
        return script.start(session, link)

    with LocalService(start) as service:
        cli = Cli(tmp_path, service)
        with cli.start("forward", TARGET, "0:80") as process:
            lines = [process.stderr.readline()]
            while lines[-1] and b"no session, as " not in lines[-1]:
                if b"ended: a" in lines[-1]:
                    process.send_signal(signal.SIGUSR1)  # it says how things are
                lines.append(process.stderr.readline())
            process.terminate()
            process.communicate(timeout=40)
    end = b"ended: a\\nssm-plugin: b\\x1b; the local end stays open"
    assert any(end in line for line in lines)
    assert b"ended: a\\nssm-plugin: b\\x1b; 0 connections so far" in lines[-1]


def test_the_result_of_a_command(tmp_path):
    with hostile(session_type="NonInteractiveCommands", message=EVIL, reason=EVIL) as service:
        cli = Cli(tmp_path, service)
        status, stdout, stderr = cli.run("exec", TARGET, "--", "true")
        assert (status, stdout) == (255, b"")
        assert "EVIL" in one_line(stderr)
        status, stdout, stderr = cli.run("exec", TARGET, "--json", "--", "true")
    assert (obeyed(stdout), stderr) == ([], b"")
    assert IN_JSON in json.loads(stdout.decode())["reason"]


def test_the_table_of_many_targets(tmp_path):
    name = "i-web\x1b[2J\n\u202e\u2028\x9b"
    with hostile(session_type="NonInteractiveCommands", reason=EVIL) as service:
        cli = cli_in_utf_8(tmp_path, service)
        status, stdout, stderr = cli.run("exec", name + ",i-2", "--", "true")
    assert (status, stdout) == (255, b"")
    assert obeyed(stderr) == []
    lines = stderr.decode().splitlines()
    assert len(lines) == 3 and lines[1].startswith("i-web\\x1b[2J\\n\\u202e\\u2028\\x9b ")
    assert lines[2].startswith("i-2  ") and "EVIL" in lines[1] and "EVIL" in lines[2]


PAINT = r"printf 'one\ttab é\r\ni-1: \033[1mtwo\033[0m\ri-2: \302\233 \342\200\256three\n'"
WIPES_PROGRESS = b"\r\x1b[K"  # our own; no node here sends exactly this
PAINTED = b"one\ttab \xc3\xa9\r\ni-1: \x1b[1mtwo\x1b[0m\ri-2: \xc2\x9b \xe2\x80\xaethree\n"


def test_on_a_terminal_a_node_of_many_writes_lines_of_its_own_only(tmp_path):
    with local_service() as service:
        with terminal(Cli(tmp_path, service), "exec", "i-1,i-2", "--shell", PAINT) as program:
            assert program.wait() == 0
    output = program.output.replace(WIPES_PROGRESS, b"")
    assert obeyed(output.replace(b"\t", b"")) == []
    text = output.replace(b"\r\n", b"\n").decode()
    for node in ("i-1", "i-2"):
        assert "%s: one\ttab é\n" % node in text
        assert (
            "%s: i-1: \\x1b[1mtwo\\x1b[0m\\ri-2: \\x9b \\u202ethree\n" % node
        ) in text


def test_in_a_file_or_a_pipe_its_bytes_stay_as_they_are(tmp_path):
    with local_service() as service:
        status, stdout, _ = Cli(tmp_path, service).run("exec", "i-1,i-2", "--shell", PAINT)
    lines = PAINTED.split(b"\n")[:-1]
    for node in (b"i-1: ", b"i-2: "):
        assert all(node + line + b"\n" in stdout for line in lines)


def test_a_target_s_name_is_a_prefix_of_one_line(tmp_path):
    with local_service() as service:
        cli = Cli(tmp_path, service)
        status, stdout, _ = cli.run("exec", "i-a\n\x1bb,i-2", "--shell", "echo hello")
    assert sorted(stdout.decode().splitlines()) == ["i-2: hello", "i-a\\n\\x1bb: hello"]


def test_one_target_s_output_stays_as_it_is_on_a_terminal_too(tmp_path):
    with local_service() as service:
        with terminal(Cli(tmp_path, service), "exec", "i-1", "--shell", PAINT) as program:
            assert program.wait() == 0
    assert program.output == PAINTED.replace(b"\n", b"\r\n")


def test_a_job_that_fails(tmp_path):
    with hostile(session_type="NonInteractiveCommands", reason=EVIL) as service:
        cli = Cli(tmp_path, service)
        cli.configure('jobs: {j: {target: "i-1\\x9b\\u202e", command: "true"}}\n')
        status, stdout, stderr = cli.run("run", "j")
    assert (status, stdout) == (255, b"")
    assert "i-1\\x9b\\u202e: the status of the command" in one_line(stderr)


@pytest.mark.parametrize("option", ["--list", "--check", "--dry-run"])
def test_jobs_are_shown_line_by_line(tmp_path, option):
    cli = cli_in_utf_8(tmp_path)
    job = '{target: "a\\x9b\\u2028", command: "b\\x9b\\n\\xe9"}'
    cli.configure('jobs: {"j\\x9b\\u202e": %s}\n' % job)
    status, stdout, stderr = cli.run("run", "j\x9b\u202e", option)
    assert (status, stderr, obeyed(stdout)) == (0, b"", [])
    if option != "--check":
        assert "j\\x9b\\u202e" in stdout.decode() and "é" in stdout.decode()


@pytest.mark.parametrize(
    "text, words",
    [
        ('"\\e[2J\\u202e": 1\n', ()),
        ("targets: {a: '\x1b'}\n", ()),
        ('defaults: {region: "eu\\e[2J\\x9b"}\n', ()),
        ("", ("--profile", EVIL[:60].replace("\x00", ""))),
    ],
)
def test_mistakes_in_what_the_user_wrote(tmp_path, text, words):
    cli = Cli(tmp_path)
    cli.configure(text)
    status, _, stderr = cli.run("shell", "i-1\x1b[2J", *words)
    assert status == 255
    one_line(stderr)


# Logs


START = re.compile(r"20[0-9-]+T[0-9:.]+Z [0-9]+ (DEBUG|INFO|WARNING|ERROR) ")


def test_a_log_with_tracebacks(tmp_path):
    file = tmp_path / "log"
    words = ("--log-level", "debug", "--log-file", str(file))
    forged = "\n2026-01-01T00:00:00.000Z 1 INFO session MainThread: all is well" + EVIL
    with hostile(session_type="Port", message=EVIL, reason=forged) as service:
        assert Cli(tmp_path, service).run("ssh", TARGET, *words)[0] == 255
    with hostile(session_type=forged) as service:
        assert Cli(tmp_path, service).run("shell", TARGET, *words)[0] == 255
    data = file.read_bytes()
    assert b"Traceback" in data and b"EVIL" in data
    assert obeyed(data) == []
    for line in data.decode().split("\n")[:-1]:
        assert START.match(line) or line.startswith("    "), line
        assert not line.startswith("2026-01-01")


def test_a_log_on_a_terminal(tmp_path):
    with hostile(session_type=EVIL) as service:
        words = ("shell", TARGET, "--log-level", "debug")
        with terminal(Cli(tmp_path, service), *words) as program:
            assert program.wait() == 255
    # The log's lines end in CR LF, as a raw terminal needs; one that is not turns LF into CR LF.
    lines = program.output.split(b"\r\n")
    assert [line[:12] for line in lines if not line.endswith(b"\r")] == [b"ssm-plugin: ", b""]
    data = program.output.replace(b"\r\r\n", b"\n")
    assert b"Traceback" in data and obeyed(data) == []


# The demo


def test_the_demo_shows_faults_that_cannot_be_read_escaped():
    argv = [sys.executable, "-m", "ssm_plugin", "demo", "serve", "--faults", "\x1b[2J\u202e=\r1"]
    with PtyProcess(argv, cols=400) as program:
        assert program.wait() == 255
    one_line(program.output)
