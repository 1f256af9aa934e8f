"""The other side of a WebSocket connection, over any socket: frame by frame, faults included."""

import base64
import hashlib
import struct
import threading

from ssm_plugin.errors import ConnectionLost

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def frame(opcode, payload, final=True):
    """One unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + struct.pack(">H", size)
    else:
        length = b"\x7f" + struct.pack(">Q", size)
    return bytes([(0x80 if final else 0) | opcode]) + length + bytes(payload)


class Peer:
    """Blocking; for one thread."""

    def __init__(self, sock, time_limit=10):
        self.socket = sock
        self.socket.settimeout(time_limit)
        self._file = sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def read_request(self):
        """The request line, and the headers with their names in lower case."""
        lines = []
        while True:
            line = self._file.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                break
            lines.append(line)
        pairs = (line.split(": ", 1) for line in lines[1:])
        return lines[0], {name.lower(): value for name, value in pairs}

    def accept(self, extra=b""):
        """Answer the upgrade; ``extra`` follows in the same packet."""
        request, headers = self.read_request()
        digest = hashlib.sha1((headers["sec-websocket-key"] + _KEY_SUFFIX).encode("ascii"))
        accept = base64.b64encode(digest.digest())
        self.socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n" + extra
        )
        return request, headers

    def refuse(self, status):
        self.read_request()
        self.socket.sendall(
            b"HTTP/1.1 %d Whatever\r\nLocation: ws://elsewhere/\r\nContent-Length: 0\r\n\r\n"
            % status
        )

    def send(self, opcode, payload, final=True):
        self.socket.sendall(frame(opcode, payload, final))

    def read(self):
        """The next frame's opcode and payload."""
        first, second = self.read_exactly(2)
        assert second & 0x80, "a client masks"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.read_exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.read_exactly(8))
        mask = self.read_exactly(4)
        payload = self.read_exactly(size)
        repeated = (mask * (size // 4 + 1))[:size]
        number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
        return first & 0x0F, number.to_bytes(size, "big")

    def close(self):
        self._file.close()
        self.socket.close()

    def read_exactly(self, size):
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionLost("the client is gone")
        return data


class AgentConnection:
    """A peer as a connection for a data channel in the agent's role."""

    def __init__(self, peer):
        self._peer = peer
        self._sending = threading.Lock()  # a pong must not land in the middle of a message
        peer.socket.settimeout(None)

    def receive(self):
        try:
            opcode, payload = self._peer.read()
            if opcode == PING:
                self._send(frame(PONG, payload))
        except (OSError, ValueError) as error:
            raise ConnectionLost("broken: %s" % error) from error
        if opcode == CLOSE:
            raise ConnectionLost("the client said goodbye")
        return [payload] if opcode == BINARY else []

    def answer_through(self, post):
        """Pings are answered at once."""

    def send(self, messages):
        self._send(b"".join(frame(BINARY, message) for message in messages))

    def ping(self):
        self._send(frame(PING, b""))

    def farewell(self):
        self._send(frame(CLOSE, b"\x03\xe8Bye"))

    def abort(self):
        try:
            self._peer.socket.shutdown(2)
        except OSError:
            pass  # already gone

    def close(self):
        self._peer.close()

    def _send(self, data):
        try:
            with self._sending:
                self._peer.socket.sendall(data)
        except OSError as error:
            raise ConnectionLost("broken: %s" % error) from error
