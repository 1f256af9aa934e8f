"""A client of the local service made of the protocol core alone: no session, no terminal.

    with local_service() as service, ChannelClient(service) as client:
        client.expect(b"# ")
        client.send(b"exit\\n")
        assert client.wait_closed() == ""
"""

import queue
import socket
import time
import uuid
from urllib.parse import urlsplit

from ssm_plugin.channel.events import (
    ChannelClosed,
    Failed,
    KeyRequested,
    Output,
    Started,
    Terminating,
)
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.transport.data_channel import DataChannel, Disconnected
from ssm_plugin.transport.websocket import open_websocket
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role

TARGET = "i-0123456789abcdef0"
TYPES = ("Standard_Stream", "InteractiveCommands", "NonInteractiveCommands", "Port")
TIME_LIMIT = 40.0


class ChannelClient:
    """Starts a session of that document and opens it. ``parameters``: one value each.

    What arrived: ``output``, ``errors``, ``exit_code``, ``flags``, ``started``, ``key_request``,
    ``closed`` (the service's reason). ``provide_key(key_request)`` returns the 64 bytes and their
    sealed form.
    """

    def __init__(
        self, service, document="", parameters=None, supported=TYPES, provide_key=None, window=4096
    ):
        values = {name: [value] for name, value in (parameters or {}).items()}
        self.service = service
        self.session = service.gateway.start_session(
            StartRequest(TARGET, document, values, "test")
        )
        self.output = b""
        self.errors = b""
        self.exit_code = None
        self.flags = []
        self.started = None
        self.key_request = None
        self.leaving = False
        self.closed = None
        self._provide_key = provide_key
        self._seen = 0
        self.events = queue.Queue()
        self.protocol = ChannelProtocol(Role.CLIENT, supported, window)
        self._connections = []
        self.channel = DataChannel(self.protocol, self.events.put, self.events.qsize, self.dial)
        self.channel.open()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.channel.close()
        for connection in self._connections:
            connection.close()

    def dial(self):
        url = self.service.gateway.stream_url(self.session)
        parts = urlsplit(url)
        sock = socket.create_connection((parts.hostname, parts.port), TIME_LIMIT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = open_websocket(url, {}, sock, TIME_LIMIT)
        self._connections.append(connection)
        connection.send_text(
            payloads.open_message(
                str(uuid.uuid4()), self.session.token, str(uuid.uuid4()), "1.2.896.0"
            )
        )
        return connection

    def reconnect(self):
        """As after ResumeSession."""
        self.channel.attach(self.dial())

    def send(self, data, payload_type=payloads.OUTPUT):
        self.channel.send_input_data(data, payload_type)

    def resize(self, columns, rows):
        self.channel.send_control(payloads.SIZE, payloads.build_size(columns, rows))

    def expect(self, wanted, timeout=TIME_LIMIT):
        """Wait for ``wanted`` in the output; all new output up to and with it."""
        self.wait_for(lambda: wanted in self.output[self._seen :], timeout)
        start = self._seen
        self._seen = self.output.index(wanted, start) + len(wanted)
        return self.output[start : self._seen]

    def wait_closed(self, timeout=TIME_LIMIT):
        """The reason that the service gives for the end."""
        self.wait_for(lambda: self.closed is not None, timeout)
        return self.closed

    def wait_for(self, condition, timeout=TIME_LIMIT):
        deadline = time.monotonic() + timeout
        while not condition():
            assert self.closed is None, "closed: {!r} {!r}".format(self.closed, self.output[-500:])
            try:
                self.take(self.events.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError("did not come; {!r}".format(self.output[-2000:])) from None

    def take(self, event):
        if isinstance(event, Output):
            self._take_output(event.payload_type, event.data)
            self.channel.delivered(len(event.data))
        elif isinstance(event, Started):
            self.started = event
        elif isinstance(event, KeyRequested):
            self.key_request = event
            self.channel.provide_key(*self._provide_key(event))
        elif isinstance(event, ChannelClosed):
            self.closed = event.reason
        elif isinstance(event, Failed):
            raise event.error
        elif isinstance(event, Terminating):
            self.leaving = True
        else:
            assert isinstance(event, Disconnected), event

    def _take_output(self, payload_type, data):
        if payload_type == payloads.OUTPUT:
            self.output += data
        elif payload_type == payloads.STDERR:
            self.errors += data
        elif payload_type == payloads.EXIT_CODE:
            self.exit_code = payloads.parse_exit_code(data)
        elif payload_type == payloads.FLAG:
            self.flags.append(payloads.parse_flag(data))
