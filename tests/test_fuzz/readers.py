"""Everything that reads what others wrote, each as a function that reads one odd input.

A reader returns normally, or raises an error of ours: anything else is a mistake found.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import tempfile
import time
import traceback
from datetime import datetime, timezone
from typing import NamedTuple

from ssm_plugin import config, units
from ssm_plugin.aws import keys, metadata, process
from ssm_plugin.aws.call import Call
from ssm_plugin.aws.profiles import CONFIG_FILE, CREDENTIALS_FILE, read_profile
from ssm_plugin.aws.service_errors import Operation, service_error
from ssm_plugin.channel.events import KeyRequested
from ssm_plugin.channel.handshake import ClientHandshake
from ssm_plugin.channel.mux import MuxSession
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.commands import dropin, program
from ssm_plugin.commands import exec as exec_command
from ssm_plugin.commands import forward as forward_command
from ssm_plugin.commands import run as run_command
from ssm_plugin.commands import shell as shell_command
from ssm_plugin.commands import ssh as ssh_command
from ssm_plugin.commands.command_line import Parser, add_common_options
from ssm_plugin.errors import SsmPluginError
from ssm_plugin.net.address import Address
from ssm_plugin.net.exchange import exchange
from ssm_plugin.net.local_end import names_local_end
from ssm_plugin.net.timing import Deadline
from ssm_plugin.session.session_handler import SessionHandler
from ssm_plugin.wire import message, payloads, smux
from ssm_plugin.wire.message import Role

from .inputs import Source

# For one case: far more than any takes, far less than a hang. In seconds of processor time, which
# other programs do not take from it; and of time that passes, for a reader that only waits.
SECONDS = 2.0
WAITING = 30.0
TOKEN = "AAEAAsecrettokenvalue"
TYPES = ("Port", "Standard_Stream", "InteractiveCommands", "NonInteractiveCommands")

RESPONSE = {
    "SessionId": "user-0123456789abcdef0",
    "StreamUrl": "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/x?role=publish_subscribe",
    "TokenValue": TOKEN,
}
REQUEST = {
    "Target": "i-0123456789abcdef0",
    "DocumentName": "AWS-StartPortForwardingSession",
    "Parameters": {"portNumber": ["80"], "localPortNumber": ["0"], "host": ["h"]},
}
KEYS = {
    "Version": 1, "Code": "Success", "AccessKeyId": "AKIA", "SecretAccessKey": "s",
    "Token": "t", "SessionToken": "t", "Expiration": "2030-01-31T12:00:00Z",
}
REFUSAL = {"__type": "com.amazonaws.ssm#AccessDeniedException", "message": "no", "code": "x"}
CONFIGURATION = b"""\
defaults: {profile: ops, region: eu-west-1}
log: {level: warning, file: ~/log, max_bytes: 10MB, backups: 3}
network: {connect_timeout: 20s, stream_hosts: [a.example], window: 100, pace: 1.5}
targets: {db1: i-0123456789abcdef0}
jobs:
  nightly:
    target: db1
    command: [backup, --all]
    timeout: 30m
    environment: {A: b}
"""
YAML_PIECES = (
    b"a: &a [*a]\n", b"&x x: *x\n", b"<<: {quiet: true}\n", b"log: !!python/object:os.system x\n",
    b"? {a: b}\n: c\n", b"[" * 3000, b"{a: " * 3000, b"- " * 3000, b"!!binary x\n", b"%TAG ! x\n",
    b"--- a\n--- b\n", b"quiet: !!bool maybe\n", b"log: |\n  x\n", b'"\\UFFFFFFFF": 1\n',
    b"targets: {a: 1e999999, b: 0x1, c: 2001-01-01, d: ~}\n", b"jobs: {x: *nowhere}\n",
    b"log: {max_bytes: " + b"9" * 100000 + b"}\n", b"network: {pace: 1e999999}\n",
    b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%b]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)
    ),
)
PROFILES = b"""\
[default]
region = eu-west-1
[profile ops]
credential_process = /bin/x --a "b c"
services = mine
s3 =
    max = 3
[services mine]
ssm =
    endpoint_url = https://h
"""
INI_PIECES = (
    b"[", b"[]\n", b"]\n", b"[profile]\n", b"[profile 'x]\n", b"[profile ops]\n", b" indented\n",
    b"= x\n", b"region\n", b"s3 =\n  no equals\n", b"a = %(b)s\n", b"[default]\n[default]\n",
    b"; c\n", b"[services]\n", b"services = \n", b"[" + b"x" * 70000 + b"]\n",
)
HEADS = (
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 403 No\r\n", b"HTTP/1.0 500\r\n", b"HTTP/1.1 100 C\r\n\r\n",
    b"HTTP/1.1 204 \r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 999 \r\n", b"ICY 200 OK\r\n", b"\r\n",
)
HEADERS = (
    b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: " + b"9" * 5000 + b"\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"no colon\r\n", b": x\r\n",
    b"x-amzn-ErrorType: Throttling:x\r\n", b"Date: Thu, 32 Foo 9999999 99:99:99 GMT\r\n",
    b"A: " + b"x" * 70000 + b"\r\n", b" folded\r\n",
)
CHUNKS = (b"5\r\nhello\r\n", b"-5\r\nx\r\n", b"f" * 17 + b"\r\n", b"3\r\nhello\r\n", b"0\r\n\r\n")
NOW = datetime(2026, 11, 1, tzinfo=timezone.utc).timestamp()


def argument_json(source):
    first = source.json(RESPONSE)
    arguments = [first, "eu-west-1", "StartSession", source.one(["", "ops"]), source.json(REQUEST)]
    environ = {}
    if source.chance(50):
        arguments[0], environ = program.RESPONSE_VARIABLE, {program.RESPONSE_VARIABLE: first}
    invocation = dropin.parse(arguments + ["https://ssm.example"], environ)
    assert TOKEN not in repr(invocation)
    session = SessionHandler().create_session(dropin.session_arguments(invocation))
    assert TOKEN not in repr(session)
    names_local_end(session.config.parameters)


def configuration(source):
    def generated():
        return b"".join(
            source.one(YAML_PIECES) if source.chance(50) else CONFIGURATION
            for _ in range(1 + source.number(2))
        )

    path = os.path.join(source.folder, "config.yaml")
    with open(path, "wb") as file:
        file.write(source.mixed(CONFIGURATION, generated))
    config.load(path, {})


def profiles(source):
    def generated():
        return b"".join(
            source.one(INI_PIECES) if source.chance(60) else PROFILES
            for _ in range(1 + source.number(4))
        )

    environ = {"HOME": source.folder}
    for variable in (CONFIG_FILE, CREDENTIALS_FILE):
        environ[variable] = os.path.join(source.folder, variable)
        with open(environ[variable], "wb") as file:
            file.write(source.mixed(PROFILES, generated))
    profile = read_profile(source.one([None, "default", "ops", source.text()]), environ)
    assert repr(profile)
    profile.plain()


def http(source):
    body = source.json_bytes(source.one([KEYS, REFUSAL, RESPONSE]))

    def generated():
        answer = source.one(HEADS) if source.chance(60) else HEADS[0]
        answer += b"".join(source.one(HEADERS) for _ in range(source.number(2)))
        if source.chance(50):
            answer += b"Content-Length: %d\r\n" % len(body)
        if b"chunked" in answer:
            chunks = b"".join(source.one(CHUNKS) for _ in range(source.number(4)))
            return answer + b"\r\n%x\r\n" % len(body) + body + b"\r\n" + chunks
        return answer + b"\r\n" + body

    good = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    response = answered(source.mixed(good, generated))
    assert len(response.body) <= 65536
    for understand in (
        lambda: Call(Operation("ssm:StartSession", "i-1"), {}).read(response),
        lambda: Call(Operation("ec2:DescribeInstances", ""), {}).read(response),
        lambda: keys.from_document("it", metadata.document(response, "it"), "Token"),
        lambda: metadata._keys(metadata.document(response, "it")),
        lambda: process._read(response.body, "it"),
        lambda: str(service_error(Operation("ssm:StartSession", "i-1"), response, NOW)),
    ):
        one_line(understand)


def answered(data):
    """What the answer ``data`` is read as."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        try:
            theirs.sendall(data)
        except BlockingIOError:
            pass  # what fits is enough: the rest would be cut by the limit
        theirs.shutdown(socket.SHUT_WR)
        address = Address("http", "h", 80)
        return exchange(ours, "POST", "/", address, {}, b"", Deadline(1, "it"), 65536)


def payload(source):
    sample = source.one(PAYLOADS)
    return source.json_bytes(sample)[:65537] if source.chance(80) else source.bytes()


def frame(source):
    """A message, most of them with all but the payload right."""
    kind = source.one(sorted(message.PADDED))
    sequence = source.one((0, 1, 2, 3, -1, 10**6, 2**63 - 1, -(2**63)))
    made = message.build(
        kind, sequence, source.number(3), 1, 2, source.number(13), payload(source), 1
    )
    return source.damaged(made) if source.chance(25) else made


ACTIONS = [
    {"ActionType": "SessionType", "ActionParameters": {
        "SessionType": "Port", "Properties": {"portNumber": "80", "type": "LocalPortForwarding"}}},
    {"ActionType": "KMSEncryption", "ActionParameters": {"KMSKeyId": "k", "Challenge": "c"}},
]
PAYLOADS = (
    {"AgentVersion": "3.3.0.0", "RequestedClientActions": ACTIONS},
    {"ClientVersion": "1.2", "ProcessedClientActions": [
        {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}],
     "Errors": []},
    {"HandshakeTimeToComplete": 1000, "CustomerMessage": "hello"},
    {"Challenge": "Y2hhbGxlbmdl"},
    {"AcknowledgedMessageType": "output_stream_data",
     "AcknowledgedMessageId": "00000000-0000-0001-0000-000000000002",
     "AcknowledgedMessageSequenceNumber": 0, "IsSequentialMessage": True},
    {"Output": "over", "SessionId": "s", "DestinationId": "d"},
    {"cols": 80, "rows": 24},
)
PARSERS = (
    payloads.acknowledged_sequence, payloads.parse_channel_closed,
    payloads.parse_handshake_request, payloads.parse_handshake_response,
    payloads.parse_handshake_complete, payloads.parse_challenge, payloads.parse_size,
    payloads.parse_flag, payloads.parse_exit_code,
)


def wire(source):
    data = frame(source) if source.chance(90) else source.bytes()
    parsed = message.parse(data)
    assert str(parsed) and parsed.message_id and len(parsed.payload) <= len(data)
    for parse in PARSERS:
        one_line(lambda parse=parse: parse(parsed.payload))


def handshake(source):
    """The handshake alone, and the whole core around it."""
    one_line(lambda: handshake_alone(source))
    protocol = ChannelProtocol(source.one(list(Role)), TYPES)
    protocol.connection_made(0.0)
    for now in range(1 + source.number(4)):
        protocol.receive([frame(source) for _ in range(source.number(3))], float(now))
        for event in protocol.events():
            if isinstance(event, KeyRequested) and not protocol.ended:
                protocol.provide_key(bytes(range(64)), "sealed", float(now))
        protocol.on_timer(now + 0.5)
        protocol.data_to_send()


def handshake_alone(source):
    client_side = ClientHandshake(TYPES)
    for step in (5, 8, 7, 1, source.number(13)):
        sample = {5: PAYLOADS[0], 8: PAYLOADS[3], 7: PAYLOADS[2]}.get(step, PAYLOADS[0])
        reply = client_side.step(step, source.json_bytes(sample)[:65537])
        for event in reply.events:
            assert repr(event)
            if isinstance(event, KeyRequested):
                client_side.provide_key(bytes(range(64)), "sealed")


def smux_stream(source):
    mux = MuxSession(source.one(list(Role)), source.chance(50), 0.0)
    if mux._role is Role.CLIENT:
        mux.open()

    def generated():
        return b"".join(
            smux.encode_frame(command, source.one((0, 3, 5, 2**32 - 1)),
                              source.bytes(50) if command == smux.PSH else b"")
            for command in (source.number(3) for _ in range(source.number(8)))
        )

    sample = smux.encode_frame(smux.SYN, 3) + smux.encode_frame(smux.PSH, 3, b"hello")
    data = source.mixed(sample, generated)
    place = source.number(len(data))
    for now, piece in enumerate((data[:place], data[place:])):
        events = mux.receive(piece, float(now))
        assert sum(len(getattr(event, "data", b"")) for event in events) <= len(data)
        mux.on_timer(now + 20.0)
        mux.data_to_send()


COMMANDS = {
    "shell": shell_command, "exec": exec_command, "forward": forward_command,
    "ssh": ssh_command, "run": run_command,
}
WORDS = (
    "i-0123456789abcdef0", "--", "--profile", "ops", "--timeout", "30m", "8080:80", "0:h:80",
    "[::1]:1:2", "--unix", "/tmp/x", "--json", "--parameter", "a=b", "--log-level", "debug", "-h",
    "--quiet", "22", "ls", "--config", "/dev/null", "--parallel", "--bind", "127.0.0.1",
)


def command_line(source):
    words = [
        source.one(WORDS) if source.chance(65) else source.word() for _ in range(source.number(6))
    ]
    program.choose(words, source.chance(50))
    one_line(lambda: dropin.parse(words, {}))
    one_line(lambda: units.parse_duration(source.text()))
    one_line(lambda: units.parse_size(source.text()))
    name = source.one(sorted(COMMANDS))
    parser = Parser(prog="ssm-plugin " + name, add_help=False)
    COMMANDS[name].add_arguments(parser)
    add_common_options(parser)
    options = parser.parse_args(words)
    assert isinstance(options, argparse.Namespace)
    if name == "shell":
        shell_command.parameters_from(options.parameter)
    if name == "forward":
        forward_command._forwards(options)
    if name == "exec":
        exec_command._argv(options)


READERS = {
    "arguments": argument_json,
    "configuration": configuration,
    "profiles": profiles,
    "http": http,
    "wire": wire,
    "handshake": handshake,
    "smux": smux_stream,
    "command-line": command_line,
}


def one_line(function):
    """Call it. An error of ours is in order, if it is one line without the token."""
    try:
        return function()
    except SsmPluginError as error:
        text = str(error)
        assert text and "Traceback" not in text and TOKEN not in text
        return None


class Found(NamedTuple):
    """A mistake: ``seed`` repeats it."""

    seed: int
    what: str


class Outcome(NamedTuple):
    cases: int
    refused: int
    slowest: float  # seconds of processor time
    found: list


class Hang(Exception):
    """A case that took longer than it may."""


def _hang(signum, frame):
    raise Hang("it takes longer than it may")


def run(name, cases, seed=1, reader=None, seconds=SECONDS, waiting=WAITING):
    """Give the reader of that name ``cases`` inputs, seeds ``seed`` and following. On the main
    thread: an alarm ends what hangs."""
    reader = reader or READERS[name]
    folder = tempfile.mkdtemp()
    refused, slowest, found = 0, 0.0, []
    previous = {number: signal.signal(number, _hang) for number in (signal.SIGPROF, signal.SIGALRM)}
    try:
        for number in range(seed, seed + cases):
            source = Source(random.Random(number))
            source.folder = folder
            began = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, waiting)
            try:
                reader(source)
            except SsmPluginError as error:
                assert str(error)
                refused += 1
            except Exception:
                found.append(Found(number, traceback.format_exc(limit=-4)))
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
            took = time.process_time() - began
            slowest = max(slowest, took)
            if took > seconds and not (found and found[-1].seed == number):
                found.append(Found(number, "it took %.1f s" % took))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        shutil.rmtree(folder)
    return Outcome(cases, refused, slowest, found)
