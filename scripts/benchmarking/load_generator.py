"""A message gateway and an agent in one, for measuring a client from outside.

Run as a process of its own; it serves one connection. What it sends is prepared beforehand and only
numbered on the way out, what it receives is looked at where it matters: a message costs it a
fraction of what it costs any client.

It writes lines of JSON to stdout: ``port``, then ``opened_at`` (the first frame has come),
``ready_at`` (the handshake is over), ``began_at`` and ``reached_at`` (everything has arrived), each
a reading of ``time.monotonic``, ``stream_opened`` where it looks into smux, and at the end the
figures. It takes two words, a line each, from stdin:
``begin`` (send the load) and ``end`` (close the session, tell the figures, leave).
"""

import argparse
import base64
import hashlib
import json
import os
import random
import select
import socket
import ssl
import struct
import sys
import time
from collections import deque

from ssm_plugin.wire import message, payloads, smux

PAYLOAD = 1024
PREPARED = 4096  # messages; they are sent round and round
AT_ONCE = 256  # messages that are numbered and queued together
RESEND_AFTER = 0.5  # s; longer than any round trip that is measured
BLOCK = 32  # messages that carry one smux frame of 32 KiB
BULK_STREAM, ECHO_STREAM = 3, 5
OLD_AGENT, NEW_AGENT = "2.3.800.0", "3.3.40.0"  # the old one knows no multiplexing
CREATED = 1700000000000
SESSION_TYPES = {"shell": "Standard_Stream", "command": "NonInteractiveCommands"}

# Reads of a TLS connection before the rest of the work has its turn.
READS = 16

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SEQUENCE_IN_FRAME = 4 + 48
_number = struct.Struct(">q").pack_into
_int = int.from_bytes


def frame(payload):
    """A binary frame from the server: no mask."""
    if len(payload) < 126:
        return bytes((0x82, len(payload))) + payload
    return struct.pack(">BBH", 0x82, 126, len(payload)) + payload


def data_frame(payload_type, payload, sequence=0, message_type=message.OUTPUT_STREAM_DATA):
    flags = 0 if message_type == message.OUTPUT_STREAM_DATA else 3
    high, low = 0x4000, 1 << 63
    return frame(
        message.build(message_type, sequence, flags, high, low, payload_type, payload, CREATED)
    )


def acknowledgement(sequence):
    text = payloads.build_acknowledgement(message.INPUT_STREAM_DATA, 0x4000, 1 << 63, sequence)
    return data_frame(0, text, 0, message.ACKNOWLEDGE)


def unmasked(data, mask):
    key = _int(mask * (len(data) // 4 + 1), "big") >> 8 * (4 - len(data) % 4)
    return (_int(data, "big") ^ key).to_bytes(len(data), "big")


class LoadGenerator:
    def __init__(self, options):
        self.options = options
        self.mux = options.type == "mux"
        self.inspects = options.echo or (self.mux and not options.upload)
        self.queue = deque()  # memoryviews to send
        self.queued = 0
        self.arrived = deque()  # (when it counts as received, bytes)
        self.rest = b""
        self.single = []  # frames sent one by one, kept as some clients lose the first ones
        self.resend_at = None
        self.sent = 0  # output messages, the number of the next one
        self.acknowledged = 0
        self.bulk_left = 0
        self.paced_at = 0.0  # when the next message may go, where there is a pace
        self.received = set()
        self.handshaken = self.began = self.reached = self.ended = False
        self.splitter = smux.FrameSplitter()
        self.early = {}  # input to be inspected, by number
        self.expected = 0
        self.figures = {"bytes": 0, "duplicates": 0, "first_at": None, "last_at": None}
        self.losses = random.Random(1)
        self.total = int(options.mib * 1024)  # messages
        self.acknowledgements = [
            acknowledgement(sequence) for sequence in range(options.upload and self.total + 64)
        ]
        self.prepared = memoryview(bytearray(b"".join(self.prepare())))
        self.frame_size = len(self.prepared) // PREPARED
        self.position = 0  # in prepared, in messages

    def prepare(self):
        """Frames whose payloads are, for mux, smux frames of all streams in turn."""
        size = 1 if self.options.pace else BLOCK  # at a pace, an echo comes between any two
        content = os.urandom(size * PAYLOAD - 8)
        for block in range(PREPARED // size):
            stream_id = BULK_STREAM + 2 * (block % self.options.streams)
            data = smux.encode_frame(smux.PSH, stream_id, content)
            for start in range(0, len(data), PAYLOAD):
                yield data_frame(payloads.OUTPUT, data[start:start + PAYLOAD])

    # The session

    def serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.options.tls)
            sock = context.wrap_socket(sock, server_side=True)
        self.sock = sock
        self.upgrade()
        sock.setblocking(False)
        inputs = [sock, 0]
        while not self.ended:
            readable, _, _ = select.select(
                inputs, [sock] if self.queue else [], [], self.timeout()
            )
            if 0 in readable:
                self.obey(os.read(0, 64))
            if sock in readable and not self.receive():
                break
            self.look_at_arrived()
            self.resend()
            self.fill_queue()
            self.send()
        self.say(**self.figures)

    def upgrade(self):
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.sock.recv(65536)
        lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
        name = b"sec-websocket-key:"
        keys = [line[len(name):].strip() for line in lines if line.lower().startswith(name)]
        digest = hashlib.sha1(keys[0] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    def shake_hands(self):
        options = self.options
        properties = {"portNumber": "22", "type": "", "localPortNumber": str(options.local_port)}
        if options.type in ("basic", "mux"):
            properties["type"] = "LocalPortForwarding"
        action = payloads.RequestedAction(
            payloads.SESSION_TYPE_ACTION,
            {
                "SessionType": SESSION_TYPES.get(options.type, "Port"),
                "Properties": None if options.type in SESSION_TYPES else properties,
            },
        )
        agent = OLD_AGENT if options.type == "basic" else NEW_AGENT
        request = payloads.HandshakeRequest(agent, (action,))
        self.put(payloads.HANDSHAKE_REQUEST, payloads.build_handshake_request(request))

    def complete(self):
        self.handshaken = True
        complete = payloads.HandshakeComplete(1000000, "")
        self.put(payloads.HANDSHAKE_COMPLETE, payloads.build_handshake_complete(complete))
        if self.options.type == "shell":
            self.put(payloads.OUTPUT, b"$ ")
        self.say(ready_at=time.monotonic())

    def obey(self, word):
        if word == b"begin\n":
            self.began = True
            self.bulk_left = 0 if self.options.upload else self.total
            self.say(began_at=time.monotonic())
        else:
            closed = payloads.build_channel_closed("s", "m", CREATED, "d", "")
            self.enqueue(data_frame(0, closed, 0, message.CHANNEL_CLOSED))
            self.sock.setblocking(True)
            self.sock.settimeout(5.0)
            while self.queue:
                self.sock.sendall(self.queue.popleft())
            self.ended = True

    @staticmethod
    def say(**fields):
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    # Sending

    def put(self, payload_type, payload):
        """One message, numbered."""
        self.single.append(data_frame(payload_type, payload, self.sent))
        self.enqueue(self.single[-1])
        self.sent += 1
        self.resend_at = time.monotonic() + RESEND_AFTER

    def resend(self):
        """As a node does; unless bulk was sent, which is nowhere kept."""
        if self.resend_at is None or time.monotonic() < self.resend_at:
            return
        self.resend_at = None
        if self.acknowledged < self.sent == len(self.single):
            self.enqueue(b"".join(self.single[self.acknowledged:]))
            self.resend_at = time.monotonic() + RESEND_AFTER

    def enqueue(self, data):
        self.queue.append(memoryview(data))
        self.queued += len(data)

    def fill_queue(self):
        """Number prepared messages, as many as the window lets go, in whole smux frames."""
        while self.bulk_left and self.queued < 65536:
            count = self.count_to_send()
            if count <= 0:
                return
            size = self.frame_size
            start = self.position * size
            for offset in range(count):
                at = start + offset * size + _SEQUENCE_IN_FRAME
                _number(self.prepared, at, self.sent + offset)
            self.enqueue(self.prepared[start:start + count * size])
            self.sent += count
            self.bulk_left -= count
            self.position = (self.position + count) % PREPARED

    def count_to_send(self):
        """Prepared messages that may go now. At a pace one at a time, and a lateness is not made
        up for, as with an agent, which sleeps after each."""
        count = min(self.bulk_left, self.options.window - (self.sent - self.acknowledged))
        if self.options.pace:
            now = time.monotonic()
            if count <= 0 or now < self.paced_at:
                return 0
            self.paced_at = now + self.options.pace
            return 1
        count = min(AT_ONCE, count)
        if self.mux and count < self.bulk_left:
            count -= count % BLOCK
        return min(count, PREPARED - self.position)

    def send(self):
        while self.queue:
            try:
                size = self.sock.send(self.queue[0])
            except _NOT_NOW:
                return
            except OSError:  # the client has left, and with TLS that may be seen here first
                self.ended = True
                return
            self.queued -= size
            if size == len(self.queue[0]):
                self.queue.popleft()
            else:
                self.queue[0] = self.queue[0][size:]

    # Receiving

    def timeout(self):
        times = [self.arrived[0][0]] if self.arrived else []
        times += [self.resend_at] if self.resend_at else []
        if self.bulk_left and self.options.pace:
            times.append(self.paced_at)
        if self.options.tls and self.sock.pending():
            return 0.0
        return max(0.0, min(times) - time.monotonic()) if times else None

    def receive(self):
        """Take what has come; False at the end. A read of TLS gives one record at most."""
        for _ in range(READS if self.options.tls else 1):
            try:
                data = self.sock.recv(1 << 18)
            except _NOT_NOW:
                break
            except OSError:
                return False
            self.arrived.append((time.monotonic() + self.options.rtt, data))
            if not data:
                return False
        return True

    def look_at_arrived(self):
        """What came a round trip ago counts as received now."""
        now = time.monotonic()
        acknowledgements = []
        while self.arrived and self.arrived[0][0] <= now:
            self.look_at(self.rest + self.arrived.popleft()[1], acknowledgements)
        if acknowledgements:
            self.enqueue(b"".join(acknowledgements))
            self.figures["last_at"] = time.monotonic()
            self.check_reached()

    def look_at(self, data, acknowledgements):
        """All whole frames in ``data``. Of a masked message only a few bytes are made readable."""
        position, end = 0, len(data)
        while end - position >= 6:
            length = data[position + 1] & 0x7F
            start = position + 6
            if length == 126:
                length = data[position + 2] << 8 | data[position + 3]
                start += 2
            stop = start + length
            if stop > end:
                break
            mask = data[start - 4:start]
            if data[position] != 0x82 or length < 120:
                self.take_rare(data[position] & 15, unmasked(data[start:stop], mask))
            elif data[start + 4] ^ mask[0] == ord("a"):
                self.acknowledged += 1
            else:
                sequence = _int(data[start + 52:start + 56], "big") ^ _int(mask, "big")
                if not self.is_lost(sequence):
                    known = self.acknowledgements
                    acknowledgements.append(
                        known[sequence] if sequence < len(known) else acknowledgement(sequence)
                    )
                    self.take(sequence, data[start + 115] ^ mask[3], length - 120, data, stop, mask)
            position = stop
        self.rest = data[position:]

    def is_lost(self, sequence):
        if not self.options.lose or sequence in self.received or not self.began:
            return False
        return self.losses.random() < self.options.lose

    def take(self, sequence, payload_type, size, data, stop, mask):
        if sequence in self.received:
            self.figures["duplicates"] += 1
            return
        self.received.add(sequence)
        if payload_type == payloads.HANDSHAKE_RESPONSE and not self.handshaken:
            self.complete()
        if payload_type != payloads.OUTPUT:
            size = 0
        self.figures["bytes"] += size
        if size and self.began and self.figures["first_at"] is None:
            self.figures["first_at"] = time.monotonic()
        if self.inspects:
            self.early[sequence] = unmasked(data[stop - size:stop], mask) if size else b""
            while self.expected in self.early:
                self.inspect(self.early.pop(self.expected))
                self.expected += 1

    def inspect(self, data):
        """Input in order, where its content matters."""
        if not self.mux:
            if data:
                self.put(payloads.OUTPUT, data)
            return
        for command, stream_id, payload in self.splitter.feed(data):
            if command == smux.SYN:
                self.say(stream_opened=stream_id)
            elif command == smux.PSH and stream_id == ECHO_STREAM and self.options.echo:
                self.put(payloads.OUTPUT, smux.encode_frame(smux.PSH, stream_id, payload))

    def take_rare(self, opcode, payload):
        if opcode == 1:
            self.say(opened_at=time.monotonic())
            self.shake_hands()
        elif opcode == 8:
            self.ended = True
        elif opcode == 9:
            self.enqueue(bytes((0x8A, len(payload))) + payload)

    def check_reached(self):
        reached = self.options.upload and self.figures["bytes"] >= self.total * PAYLOAD
        if reached and not self.reached:
            self.reached = True
            self.say(reached_at=time.monotonic())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", default="stdio")
    parser.add_argument("--mib", type=float, default=0)
    parser.add_argument("--upload", action="store_true")
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--local-port", type=int, default=0)
    parser.add_argument("--window", type=int, default=2000, help="messages")
    parser.add_argument("--rtt", type=float, default=0.0, help="seconds")
    parser.add_argument("--lose", type=float, default=0.0, help="part of the client's messages")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds after each message")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="serve wss")
    generator = LoadGenerator(parser.parse_args())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        generator.say(port=listener.getsockname()[1])
        sock, _ = listener.accept()
    with sock:
        generator.serve(sock)


if __name__ == "__main__":
    main()
