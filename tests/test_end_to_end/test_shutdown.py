"""In every state, each ending signal and a dead network end the process soon, and properly.

A table of states and signals. The service is another process, so that it can be stopped like a
network that swallows everything: connections stay, new ones are taken by the kernel, and nobody
answers. What cannot be had here is a name server that does not answer.
"""

import functools
import json
import os
import select
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ssm_plugin.aws.client import ServiceClient, StartedSession
from ssm_plugin.aws.credentials import CredentialProvider
from tests.support.pty import PtyProcess
from tests.support.serving import DemoService

OURS = [sys.executable, "-m", "ssm_plugin"]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "of-no-value",
    "AWS_REGION": "us-east-1",
}
LIMIT = 5.0  # s, from the signal to the end
STARTED = 15.0
PROMPT = b"ready> "
EXITING = b"Exiting session with sessionId: "
CONFIGURATION = """
log: {level: info}
network: {connect_timeout: 1s, ping_interval: 300ms, reconnect_timeout: %s}
"""


class Silent:
    """Takes connections and says nothing."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(8)
        self.socket.settimeout(STARTED)
        self.port = self.socket.getsockname()[1]
        self.accepted = []

    def wait_for_request(self):
        accepted, _ = self.socket.accept()
        self.accepted.append(accepted)
        accepted.settimeout(STARTED)
        assert accepted.recv(10)

    def close(self):
        for sock in self.accepted + [self.socket]:
            sock.close()


class Row:
    """One line of the table: a program that has been brought into its state."""

    def __init__(self, folder, reconnect_timeout="15m"):
        self.folder = folder
        self.program = None
        self.close = []
        (folder / "config.yaml").write_text(CONFIGURATION % reconnect_timeout)
        self.environment = dict(os.environ, SSM_PLUGIN_CONFIG=str(folder / "config.yaml"), **KEYS)
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
            self.environment.pop(name, None)

    def silent(self):
        silent = Silent()
        self.close.append(silent.close)
        return silent

    def service(self, faults=""):
        service = DemoService(self.folder, faults, {"PS1": PROMPT.decode()})
        self.environment.update(service.keys)
        self.close.append(service.close)
        return service

    def start(self, *arguments, **options):
        self.program = PtyProcess(OURS + list(arguments), env=self.environment, **options)
        self.close.append(self.program.close)
        return self.program

    def shell(self, url, **options):
        return self.start("shell", "i-demo", "--endpoint-url", url, **options)

    def drop_in(self, started, url, **options):
        response = {
            "SessionId": started.session_id,
            "StreamUrl": started.stream_url,
            "TokenValue": started.token_value,
        }
        request = '{"Target": "i-demo"}'
        arguments = (json.dumps(response), "us-east-1", "StartSession", "", request, url)
        return self.start(*arguments, **options)

    def open_shell(self, **options):
        service = self.service()
        self.shell(service.endpoint_url, **options).expect(PROMPT, STARTED)
        return service

    def finish(self):
        for close in reversed(self.close):
            close()


def starting(row):
    silent = row.silent()
    row.shell("http://127.0.0.1:%d" % silent.port)
    silent.wait_for_request()
    return b"ssm-plugin: interrupted while "


def dialling(row):
    silent = row.silent()
    stream_url = "ws://127.0.0.1:%d/v1/data-channel/s-1" % silent.port
    row.drop_in(StartedSession("s-1", stream_url, "token"), "http://127.0.0.1:%d" % silent.port)
    silent.wait_for_request()
    return b"ssm-plugin: interrupted while connecting"


def handshake(row):
    row.shell(row.service("down.lose").endpoint_url).expect(b"is Connected", STARTED)
    return EXITING


def opened(row):
    row.open_shell()
    return EXITING


def opened_in_an_outage(row):
    row.open_shell().stop()
    return EXITING


def resuming_refused(row):
    row.open_shell().kill()
    row.program.expect(b"is Resuming")
    return EXITING


def resuming_in_an_outage(row):
    row.open_shell().stop()
    row.program.expect(b"is Resuming")
    return EXITING


def closing(row):
    row.open_shell().stop()
    row.program.signal(signal.SIGTERM)
    row.program.expect(b"is Terminating")
    return b""


def stdout_not_read(row):
    """In the middle of writing output."""
    reader, writer = os.pipe()
    row.close += [lambda: os.close(reader)]
    service = row.service()
    row.shell(service.endpoint_url, stdout=writer)
    os.close(writer)
    read_prompt(reader)
    row.program.send(b"yes\r")
    wait_until_full(reader)
    return b""


def stdout_full(row):
    """Nothing is being written: only the last line would be too much."""
    reader, writer = os.pipe()
    row.close += [lambda: os.close(reader), lambda: os.close(writer)]
    service = row.service()
    client = ServiceClient(
        CredentialProvider(environ=service.keys),
        "us-east-1",
        service.endpoint_url,
        environ=service.keys,
    )
    # The AWS CLI's way, in which the last line goes to stdout, too.
    row.drop_in(client.start_session("i-demo"), service.endpoint_url, stdout=writer)
    read_prompt(reader)
    filler = os.open("/proc/self/fd/%d" % writer, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(filler, b"x" * 4096)
    except BlockingIOError:
        pass
    finally:
        os.close(filler)
    return b"is Terminating"


def read_prompt(reader):
    prompt = b""
    while not prompt.endswith(PROMPT):
        assert select.select([reader], [], [], STARTED)[0]
        prompt += os.read(reader, 65536)


def wait_until_full(reader):
    """By pages, not by bytes: how many bytes fill them depends on the sizes of the writes."""
    deadline = time.monotonic() + STARTED
    writer = os.open("/proc/self/fd/%d" % reader, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while select.select([], [writer], [], 0)[1]:
            assert time.monotonic() < deadline
    finally:
        os.close(writer)


STATES = [
    starting,
    dialling,
    handshake,
    opened,
    opened_in_an_outage,
    resuming_refused,
    resuming_in_an_outage,
    closing,
    stdout_not_read,
    stdout_full,
]


# All three are told by one handler. Of the second: before there is one, without a session, in one,
# after another signal, and while writing; of the third less.
STATES_OF = {
    signal.SIGTERM: STATES,
    signal.SIGINT: [starting, dialling, opened, closing, stdout_not_read],
    signal.SIGHUP: [starting, opened, stdout_not_read],
}
OUTAGES = [opened_in_an_outage, resuming_refused]


class Result:
    def __init__(self, status, seconds, output, line):
        self.status = status
        self.seconds = seconds
        self.output = output
        self.line = line


def play(folder, state, signum):
    """Without a signal it is the outage that ends it, by time limits that are short."""
    row = Row(folder, "15m" if signum else "1s")
    try:
        line = state(row)
        began = time.monotonic()
        if signum:
            row.program.signal(signum)
        status = row.program.wait(3 * LIMIT)
        return Result(status, time.monotonic() - began, row.program.output, line)
    except AssertionError as error:
        return error
    finally:
        row.finish()


def play_all(tmp_path_factory, states, signum):
    """All at the same time: most of each is waiting."""
    folders = [tmp_path_factory.mktemp("row") for _ in states]
    with ThreadPoolExecutor(len(states)) as pool:
        results = pool.map(lambda folder, state: play(folder, state, signum), folders, states)
        return dict(zip(states, results))


@pytest.fixture(scope="module")
def signalled(tmp_path_factory):
    """What became of each state, for a signal."""
    play = functools.partial(play_all, tmp_path_factory)
    return functools.lru_cache()(lambda signum: play(STATES_OF[signum], signum))


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    return play_all(tmp_path_factory, OUTAGES, None)


@pytest.mark.parametrize(
    "signum, state",
    [(signum, state) for signum, states in STATES_OF.items() for state in states],
    ids=lambda value: getattr(value, "name", None) or value.__name__,
)
def test_a_signal_ends_the_process_in_every_state(signalled, signum, state):
    result = signalled(signum)[state]
    assert isinstance(result, Result), str(result)
    # The first of several is the one that counts.
    expected = signal.SIGTERM if state is closing else signum
    assert result.status == 128 + expected, result.output
    assert result.seconds < LIMIT
    assert result.line in result.output
    assert b"Traceback" not in result.output


@pytest.mark.parametrize("state", OUTAGES, ids=lambda state: state.__name__)
def test_an_outage_that_lasts_ends_the_process_by_itself(cut_off, state):
    result = cut_off[state]
    assert isinstance(result, Result), str(result)
    assert result.status == 255
    # A second to resume in, one for the last attempt, and then the end.
    assert result.seconds < 2 + LIMIT
    assert b"ssm-plugin: the session was lost and cannot be resumed: " in result.output
