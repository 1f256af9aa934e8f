"""Agents that only echo or count, a client made of websocket-client, and plain API calls."""

import contextlib
import http.client
import json
import os
import resource
import socket
import struct
import threading
import uuid
from urllib.parse import urlsplit

import websocket

from ssm_plugin.errors import ConnectionLost
from ssm_plugin.loopback.gateway_session import RunningAgent
from ssm_plugin.shortage import prepare_for_ends_of_threads
from ssm_plugin.wire import message, payloads

TIMEOUT = 10


class EchoAgent(RunningAgent):
    """Sends back what comes, message by message. ``received`` is what it was sent."""

    def __init__(self, session, link):
        self.session = session
        self.link = link
        self.received = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while True:
                messages = self.link.receive()
                self.received.extend(messages)
                self.handle(messages)
        except ConnectionLost:
            self.ended.set()

    def handle(self, messages):
        self.link.send(messages)

    def close(self, seconds):
        self._thread.join(seconds)
        assert not self._thread.is_alive()


class SilentAgent(EchoAgent):
    def handle(self, messages):
        pass


class Agents:
    """A factory that keeps its agents."""

    def __init__(self, kind=EchoAgent):
        self.kind = kind
        self.made = []

    def __call__(self, session, link):
        self.made.append(self.kind(session, link))
        return self.made[-1]


class Client:
    """One WebSocket connection that has sent its open message."""

    def __init__(self, opening, token=None, **options):
        options.setdefault("sockopt", [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])
        self.socket = websocket.create_connection(
            opening["StreamUrl"], timeout=TIMEOUT, **options
        )
        self.socket.send(open_message(opening["TokenValue"] if token is None else token))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.shutdown()

    def send(self, *messages):
        for one in messages:
            self.socket.send_binary(one)

    def receive(self, count=1):
        """The next messages; frames of any other kind are an error."""
        found = []
        for _ in range(count):
            opcode, data = self.socket.recv_data()
            assert opcode == websocket.ABNF.OPCODE_BINARY, (opcode, data)
            found.append(data)
        return found

    def receive_close(self):
        """Code and reason of the close frame that comes next."""
        opcode, data = self.socket.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE, (opcode, data)
        return struct.unpack(">H", data[:2])[0], data[2:].decode()

    def receive_end(self):
        """The reason in the channel_closed that comes next, and then the close frame."""
        closed = message.parse(self.receive()[0])
        assert closed.message_type == message.CHANNEL_CLOSED
        assert self.receive_close()[0] == 1000
        return payloads.parse_channel_closed(closed.payload)


@contextlib.contextmanager
def no_descriptors_left():
    """The process can open nothing more. Threads that end meanwhile need none."""
    prepare_for_ends_of_threads()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[0], limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for filler in fillers:
            os.close(filler)


def open_message(token):
    return payloads.open_message(str(uuid.uuid4()), token, str(uuid.uuid4()), "1.2.896.0")


def data(number, payload=b"data", message_type=message.INPUT_STREAM_DATA):
    return message.build(message_type, number, 0, 1, number, payloads.OUTPUT, payload, 1)


def acknowledgement(number):
    payload = payloads.build_acknowledgement(message.OUTPUT_STREAM_DATA, 1, 2, number)
    return message.build(message.ACKNOWLEDGE, 0, 3, 1, number, 0, payload, 1)


def number(one):
    return message.parse(one).sequence


def call(service, operation, fields=None, prefix="AmazonSSM", headers=None, body=None):
    """Status and fields of one API call."""
    parts = urlsplit(service.endpoint_url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
    try:
        sent = {"X-Amz-Target": prefix + "." + operation}
        sent.update(headers or {})
        connection.request("POST", "/", json.dumps(fields or {}) if body is None else body, sent)
        response = connection.getresponse()
        assert response.getheader("x-amzn-RequestId")
        return response.status, json.loads(response.read().decode())
    finally:
        connection.close()


def start(service, target="i-0123456789abcdef0", **fields):
    status, opening = call(service, "StartSession", dict(fields, Target=target))
    assert status == 200, opening
    return opening


def resume(service, session_id):
    status, opening = call(service, "ResumeSession", {"SessionId": session_id})
    assert status == 200, opening
    return opening
