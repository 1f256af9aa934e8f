"""A gateway that floods its client, and the client's memory while it does.

    with HostileGateway(FLOODS["ping"]) as gateway:
        peak = peak_of(gateway, command, environ)

A flood is a function of the peer: it opens the session as an agent would, and then yields one piece
of bytes after the other, for ever. What the client sends is never read, but for the open message.
"""

import base64
import itertools
import json
import re
import socket
import subprocess
import threading
import time

from ssm_plugin.wire import message, payloads
from ssm_plugin.wire.smux import SYN, encode_frame

from .link import handshake_complete, handshake_request
from .websocket_peer import BINARY, PING, TEXT, Peer, frame

SECONDS = 1.5  # that a flood lasts
MOST = 150 * 1024 * 1024  # bytes of it: far more than the client may take

PORT = {"type": "LocalPortForwarding", "portNumber": "22"}
KMS = payloads.RequestedAction("KMSEncryption", {"KMSKeyId": "arn:aws:kms:us-east-1:0:key/k"})
DATA_KEY = bytes(range(64))


def output(sequence, payload, payload_type=payloads.OUTPUT):
    return frame(
        BINARY,
        message.build(
            message.OUTPUT_STREAM_DATA, sequence, 0, 1, sequence, payload_type, payload, 1
        ),
    )


def acknowledgement(sequence):
    content = payloads.build_acknowledgement(message.INPUT_STREAM_DATA, 1, 2, sequence)
    return frame(BINARY, message.build(message.ACKNOWLEDGE, 0, 3, 1, 2, 0, content, 1))


def again_and_again(piece):
    return itertools.repeat(piece)


def pings():
    return again_and_again(frame(PING, b"p" * 125) * 100)


def long_pings():
    yield bytes([0x89, 127]) + (1 << 40).to_bytes(8, "big")
    yield from again_and_again(b"p" * 65536)


def texts():
    return again_and_again(frame(TEXT, b"t" * 1000000))


def endless_text():
    yield bytes([0x81, 127]) + (1 << 40).to_bytes(8, "big")
    yield from again_and_again(b"t" * 65536)


def binaries():
    return again_and_again(frame(BINARY, b"b" * 1000000))


def endless_binary():
    yield bytes([0x82, 127]) + (1 << 40).to_bytes(8, "big")
    yield from again_and_again(b"b" * 65536)


def fragments():
    yield frame(BINARY, b"f", final=False)
    yield from again_and_again(frame(0, b"f" * 60000, final=False))


def empty_fragments():
    yield frame(BINARY, b"", final=False)
    yield from again_and_again(frame(0, b"", final=False) * 10000)


def challenges():
    """Each wants an answer, and none is acknowledged."""
    from ssm_plugin.channel.cipher import Cipher
    from ssm_plugin.wire.message import Role

    request = handshake_request("Standard_Stream", None, KMS)
    yield output(0, request, payloads.HANDSHAKE_REQUEST)
    yield 0.5  # the client asks KMS meanwhile
    sealed = Cipher(DATA_KEY, Role.AGENT).seal(b"c" * 40)
    content = payloads.build_challenge(base64.b64encode(sealed).decode("ascii"))
    for sequence in itertools.count(1):
        yield output(sequence, content, payloads.ENCRYPTION_CHALLENGE_REQUEST)


def opened_port():
    yield output(0, handshake_request("Port", PORT), payloads.HANDSHAKE_REQUEST)
    yield output(1, handshake_complete(), payloads.HANDSHAKE_COMPLETE)


def streams():
    """smux streams, each of which is refused by an answer."""
    yield from opened_port()
    numbers = itertools.count(2, 2)
    for sequence in itertools.count(2):
        opening = b"".join(encode_frame(SYN, next(numbers) & 0xFFFFFFFF) for _ in range(128))
        yield output(sequence, opening)


def acknowledgements():
    yield output(0, b"$ ")
    for sequence in itertools.count():
        yield acknowledgement(sequence)


def out_of_order():
    for sequence in itertools.count(1):
        yield output(sequence, b"o" * 8000)


def small_out_of_order():
    for sequence in itertools.count(1):
        yield output(sequence, b"o")


def duplicates():
    return again_and_again(output(0, b"$ ") * 100)


def handshakes():
    yield from opened_port()
    for sequence in itertools.count(2):
        yield output(sequence, handshake_request("Port", PORT), payloads.HANDSHAKE_REQUEST)


FLOODS = {
    "ping": pings,
    "ping of a tebibyte": long_pings,
    "text": texts,
    "text of a tebibyte": endless_text,
    "binary": binaries,
    "binary of a tebibyte": endless_binary,
    "fragments": fragments,
    "empty fragments": empty_fragments,
    "challenges": challenges,
    "smux SYN": streams,
    "acknowledgements": acknowledgements,
    "out of order": out_of_order,
    "out of order, small": small_out_of_order,
    "duplicates": duplicates,
    "handshake again": handshakes,
}


class HostileGateway:
    """Serves one client at ``ws://127.0.0.1:port``, and answers any API call with a data key."""

    def __init__(self, flood):
        self.sent = 0
        self.done = threading.Event()
        self._flood = flood
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    @property
    def response(self):
        url = "ws://127.0.0.1:%d/v1/data-channel/s-1?role=publish_subscribe" % self.port
        return {"SessionId": "s-1", "TokenValue": "token", "StreamUrl": url}

    def _accept(self):
        served = False
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if served or sock.recv(4, socket.MSG_PEEK) == b"POST":
                with Peer(sock) as peer:
                    self._answer_call(peer)
            else:
                # In a thread of its own: the client calls KMS meanwhile.
                served = True
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer_call(self, peer):
        try:
            _, headers = peer.read_request()
            peer.read_exactly(int(headers["content-length"]))
            key = base64.b64encode(DATA_KEY).decode("ascii")
            body = json.dumps({"Plaintext": key, "CiphertextBlob": key}).encode("ascii")
            head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            peer.socket.sendall(head.encode("ascii") + body)
        except (OSError, LookupError, ValueError):
            pass  # the client is gone

    def _serve(self, sock):
        with Peer(sock) as peer:
            try:
                peer.accept()
                peer.read()
                self._send(peer.socket)
            except (OSError, LookupError):
                pass  # the client has had enough
            finally:
                self.done.set()

    def _send(self, sock):
        ends_at = time.monotonic() + SECONDS
        sock.settimeout(SECONDS)
        for piece in self._flood():
            if time.monotonic() > ends_at or self.sent > MOST:
                return
            if isinstance(piece, float):
                threading.Event().wait(piece)
                continue
            sock.sendall(piece)
            self.sent += len(piece)


def peak_of(gateway, argv, environ):
    """The most memory in MiB that the program had by the end of the flood, or by its own end: one
    that refuses the flood may be gone before it is over. Looked at every 10 ms."""
    with subprocess.Popen(
        argv,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            deadline, peak, is_over = time.monotonic() + 30, 0, False
            while not is_over:
                assert time.monotonic() < deadline
                is_over = gateway.done.wait(0.01)
                with open("/proc/%d/status" % process.pid) as status:
                    found = re.search(r"VmHWM:\s*([0-9]+) kB", status.read())
                peak = max(peak, int(found.group(1)) if found else 0)
                is_over = is_over or process.poll() is not None
            assert peak
            return peak / 1024
        finally:
            process.kill()
