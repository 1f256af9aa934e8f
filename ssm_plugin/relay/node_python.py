"""The relay as it runs at the node, under Python 2.7 and 3: a text, which is never run here.

It writes no byte string with ``%`` (3.0 to 3.4 cannot), knows no monotonic clock (2.7) but that of
``os.times``, and looks up names in threads, so that a slow one holds up nobody. No single quotes:
each costs four more in the command line.
"""

SOURCE = r'''
import os, sys
try:
    import binascii, errno, fcntl, select, socket, struct, threading
except ImportError:
    os.execvp("perl", ["perl", "-e", sys.argv[5]] + sys.argv[1:5])
TOKEN, LEASE, SPARE, PORT = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
HELLO, DATA, FIN, CREDIT, RESET, MORE, ECHO = range(7)
WINDOW, PIECE, FULL, STRANGERS, SILENCE = 1 << 20, 32768, 1 << 18, 64, 5
IN, OUT, GONE = select.POLLIN, select.POLLOUT, select.POLLERR | select.POLLHUP | select.POLLNVAL
LATER = (errno.EAGAIN, errno.EINTR)

def now():
    return os.times()[4]

# --- What goes down: numbered lines of base64 on standard output.
out, number, heard, told = bytearray(), 0, now(), 0

def tell(stream, kind, data=b""):
    global number
    number += 1
    head = "~%d %d %s %d " % (number, stream, kind, len(data))
    out.extend(head.encode("ascii") + binascii.b2a_base64(data))

def flush():
    global told
    before = len(out)
    try:
        while out:
            del out[:os.write(1, bytes(out[:65536]))]
    except EnvironmentError as error:
        if error.errno not in LATER:
            os._exit(0)
    # Where nothing is taken at all, there is nothing to add either.
    if FULL // 2 < len(out) < before and now() - told >= 1:
        told = now()
        tell(0, "w")

# --- Secrets: each has the number of the one stream that it is good for.
secrets, issued = {}, 0

def issue():
    global issued
    issued += 1
    secrets[issued] = os.urandom(16)
    tell(issued, "s", secrets[issued])

def is_known(stream, secret):
    mine, wrong = bytearray(secrets.get(stream) or os.urandom(16)), len(secret) ^ 16
    for a, b in zip(mine, bytearray(secret)):
        wrong |= a ^ b
    return not wrong and stream in secrets

# --- One connection from the agent, and the target that it leads to.
class Stream(object):
    def __init__(self, sock):
        sock.setblocking(False)
        self.up, self.target, self.id, self.since = sock, None, 0, now()
        self.got, self.waiting, self.taken, self.credit = bytearray(), bytearray(), 0, WINDOW
        self.up_ended = self.down_ended = self.deaf = self.hung = False
        self.error = 0  # of the write that failed

    def read_up(self, events):
        global heard
        try:
            data = self.up.recv(65536)
        except EnvironmentError as error:
            if error.errno in LATER:
                return
            data = b""
        if not data:
            # The rest of an upload that is whole is still for a target that has ended before.
            owed = self.target and self.up_ended and self.down_ended
            return self.hang_up() if owed else self.drop()
        if self.id:
            heard = now()
        self.got.extend(data)
        while self.up and len(self.got) >= 3:
            kind, size = struct.unpack(">BH", bytes(self.got[:3]))
            if not self.id and (kind != HELLO or size > 300):
                return self.drop()
            if len(self.got) < 3 + size:
                return
            data = bytes(self.got[3:3 + size])
            del self.got[:3 + size]
            self.take(kind, data)

    def take(self, kind, data):
        global heard
        if not self.id:
            stream, secret, port = struct.unpack(">I16sH", data[:22].ljust(22, b"\0"))
            if not is_known(stream, secret):
                return self.drop()
            del secrets[stream]
            strangers.remove(self)
            self.id, heard = stream, now()
            issue()
            if port:
                self.start_to_dial(data[22:].decode("ascii", "replace"), port)
            else:
                tell(self.id, "o")
        elif kind == DATA:
            self.waiting.extend(data)
            if len(self.waiting) > WINDOW:
                return self.fail("more came than there was room for")
            self.write_target()
        elif kind == FIN:
            self.up_ended = True
            self.write_target()
        elif kind == CREDIT:
            self.credit += int(data)
        elif kind == RESET:
            self.close_target(True)
        elif kind == MORE:
            issue()
        elif kind == ECHO:
            tell(self.id, "e", data)

    def start_to_dial(self, host, port):
        thread = threading.Thread(target=self.dial, args=(host, port))
        thread.daemon = True
        try:
            thread.start()
        except Exception as error:  # there are no more threads
            self.connected(None, str(error))

    def dial(self, host, port):
        sock, why = None, ""
        for one in [host] if host else ["127.0.0.1", "::1"]:
            try:
                sock = socket.create_connection((one, port), 10)
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                break
            except Exception as error:
                why = why or str(error)
        dialled.append((self, sock, why))
        os.write(bell, b"!")

    def connected(self, sock, why):
        self.target = sock
        if sock is None:
            self.down_ended = self.deaf = True
            tell(self.id, "x", why.encode("utf-8", "replace")[:200])
        elif self.up is None:
            self.close_target(True)
        else:
            tell(self.id, "o")
            self.write_target()

    def write_target(self):
        if self.target is None:
            return
        try:
            while self.waiting and not self.deaf:
                sent = self.target.send(bytes(self.waiting[:65536]))
                del self.waiting[:sent]
                self.count(sent)
            if self.up_ended and not self.deaf:
                self.deaf = True
                self.target.shutdown(socket.SHUT_WR)
        except EnvironmentError as error:
            if error.errno in LATER:
                return
            if self.down_ended:
                return self.fail("")
            self.deaf, self.error = True, error.errno
        if self.deaf:
            self.count(len(self.waiting))
            del self.waiting[:]
        if self.up_ended and self.down_ended:
            self.close_target(False)

    def count(self, size):
        self.taken, self.since = self.taken + size, now()
        if self.taken >= WINDOW // 4:
            tell(self.id, "c", str(self.taken).encode("ascii"))
            self.taken = 0

    def read_target(self):
        try:
            data = self.target.recv(min(PIECE, self.credit))
        except EnvironmentError as error:
            return None if error.errno in LATER else self.fail("")
        self.credit -= len(data)
        if data:
            return tell(self.id, "d", data)
        self.down_ended = True
        # A reset shows in one call only. Where a write has met it, this looks like an end; it is
        # one if the write has failed with EPIPE: then the target had ended before it went.
        if self.error in (0, errno.EPIPE):
            tell(self.id, "f")
        if self.error:
            self.fail("")
        elif self.deaf:
            self.close_target(False)

    def fail(self, why):
        tell(self.id, "r", why.encode("ascii"))
        self.close_target(True)

    def close_target(self, reset):
        sock, self.target, self.deaf, self.down_ended = self.target, None, True, True
        if sock:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            want(sock.fileno(), None, None)
            sock.close()
        if self.up is None:
            streams.discard(self)

    def hang_up(self):
        want(self.up.fileno(), None, None)
        self.up.close()
        self.up, self.since = None, now()

    def drop(self):
        if self in strangers:
            strangers.remove(self)
        if self.up:
            self.hang_up()
        self.close_target(True)

    def watch(self):
        if self.up:
            want(self.up.fileno(), IN, self.read_up)
        if self.target:
            mask = IN if self.may_read() else 0
            if self.waiting or self.up_ended and not self.deaf:
                mask |= OUT
            # The end of both directions is always told: it would wake us without end.
            want(self.target.fileno(), None if self.hung and not mask else mask, self.ready)

    def may_read(self):
        return self.credit > 0 and len(out) < FULL and not self.down_ended

    def ready(self, events):
        self.hung = self.hung or bool(events & GONE)
        if self.target and events & OUT:
            self.write_target()
        if self.target and events & (IN | GONE) and self.may_read():
            self.read_target()
        elif self.target and events & GONE and self.down_ended:
            self.fail("")

# --- The loop.
streams, strangers, dialled, watched, poll = set(), [], [], {}, select.poll()

def want(fd, mask, handler):
    if mask is None:
        if watched.pop(fd, None):
            poll.unregister(fd)
    elif watched.get(fd) != (mask, handler):
        poll.register(fd, mask)
        watched[fd] = mask, handler

def answered(events):
    os.read(rings, 4096)
    while dialled:
        stream, sock, why = dialled.pop(0)
        stream.connected(sock, why)

def listen():
    # Both addresses of the name localhost: nobody else may have the other one.
    for wanted in [PORT] + [0] * 20:
        four = socket.socket()
        try:
            four.bind(("127.0.0.1", wanted))
        except EnvironmentError:
            continue
        found = [four]
        try:
            six = socket.socket(socket.AF_INET6)
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            six.bind(("::1", four.getsockname()[1]))
            found.append(six)
        except EnvironmentError as error:
            if error.errno == errno.EADDRINUSE:
                continue
        for sock in found:
            sock.listen(128)
            sock.setblocking(False)
        return found

def accept(listener):
    try:
        stream = Stream(listener.accept()[0])
    except EnvironmentError:
        # Out of descriptors, it stays readable.
        return select.select([], [], [], 0.01)
    if len(strangers) >= STRANGERS:
        strangers[0].drop()
    streams.add(stream)
    strangers.append(stream)

def wait():
    try:
        return poll.poll(1000)
    except select.error:
        return []

def run():
    parent = os.getppid()
    for sock in listeners:
        want(sock.fileno(), IN, lambda events, sock=sock: accept(sock))
    want(rings, IN, answered)
    while os.getppid() == parent and now() - heard < LEASE:
        flush()
        poll.register(1, OUT if out else 0)
        for stream in streams:
            stream.watch()
        for fd, events in wait():
            if fd == 1 and events & GONE:
                return
            if fd in watched:
                watched[fd][1](events)
        for stream in strangers[:]:
            if now() - stream.since >= SILENCE:
                stream.drop()
        for stream in [one for one in streams if one.up is None]:
            # It is owed the rest, but takes nothing of it.
            if now() - stream.since >= LEASE:
                stream.drop()

listeners = listen()
rings, bell = os.pipe()
fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_NONBLOCK)
out.extend(("\n@%s %d\n" % (TOKEN, listeners[0].getsockname()[1])).encode("ascii"))
for _ in range(SPARE):
    issue()
run()
os._exit(0)
'''
