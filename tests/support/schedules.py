"""Random faults upon whole sessions, reproducible by their seed, and what must hold all the same:
the bytes are equal, their order is kept, and the session ends for the right reason.

    with Playground() as playground:
        outcome = playground.play(Schedule(4711))
        assert outcome.broken is None

A schedule is a kind of session, a size of data, faults, and an end, all drawn from the seed. What
threads do at what moment is not: a seed repeats the faults, not the interleaving.
"""

import os
import random
import socket
import tempfile
import threading
import time
import traceback
from contextlib import ExitStack

from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import ServiceError, SessionLost
from ssm_plugin.loopback.agent_handshake import Encryption
from ssm_plugin.net.local_end import bind_tcp
from ssm_plugin.session.types import SessionType

from .echo import EchoServer
from .running import RunningSession, service_client
from .service import local_service

KINDS = ("shell", "encrypted shell", "interactive", "command", "stdio", "mux", "basic")

# Seconds. Silence is noticed after three pings.
NETWORK = NetworkSettings(connect_timeout=5.0, ping_interval=0.4, reconnect_timeout=30.0)

# Messages. A connection must live longer than the first that go out again on it need, with their
# acknowledgements, or nothing ever gets through.
LEAST_LIFE = 60

# A node sends again only its oldest message, some six a second: a hundred lost ones take a while.
TIME_LIMIT = 150.0

SSH = "AWS-StartSSHSession"
FORWARDING = "AWS-StartPortForwardingSession"
COMMAND = "AWS-StartNonInteractiveCommand"
INTERACTIVE = "AWS-StartInteractiveCommand"
OLD_AGENT = "2.3.1000.0"


class Schedule:
    """What happens to one session. ``str()`` of it says all."""

    def __init__(self, seed, kinds=KINDS):
        self.seed = seed
        numbers = self._numbers = random.Random(seed)
        self.kind = numbers.choice(kinds)
        self.size = numbers.choice((1, 1000, 20000, 60000, 120000))
        self.faults = ",".join(self._choose_faults() + ["seed=%d" % seed])
        self.cuts = any(word in self.faults for word in ("drop-", "bye-", "silent"))
        ends = ["ours", "service", "over", "denied"]
        if self.kind in ("shell", "encrypted shell", "interactive", "command"):
            ends += ["node"] * 4
        self.end = "node" if self.kind == "command" else numbers.choice(ends)

    def __str__(self):
        return "seed %d: %s, %d bytes, end %s, faults %s" % (
            self.seed,
            self.kind,
            self.size,
            self.end,
            self.faults,
        )

    def data(self, salt=0):
        return random.Random("%d/%d" % (self.seed, salt)).getrandbits(8 * self.size).to_bytes(
            self.size, "big"
        )

    def _choose_faults(self):
        numbers = self._numbers
        count = numbers.choice((1, 2, 2, 3, 3, 4))
        chosen = numbers.sample(
            (
                "lose=%.1f%%" % numbers.uniform(0.1, 5),
                "down.lose=%.1f%%" % numbers.uniform(0.1, 10),
                "up.lose=%.1f%%" % numbers.uniform(0.1, 10),
                "double=%.1f%%" % numbers.uniform(0.1, 20),
                "reorder=%.1f%%" % numbers.uniform(0.1, 20),
                "corrupt=%.1f%%" % numbers.uniform(0.1, 4),
                "no-acknowledge=%.1f%%" % numbers.uniform(0.1, 10),
                "delay=%.1f%%:%dms" % (numbers.uniform(0.1, 20), numbers.randint(1, 60)),
                "drop-after=%d" % numbers.randint(1, 200),
                "bye-after=%d" % numbers.randint(1, 200),
                "drop-every=%d" % numbers.randint(LEAST_LIFE, 400),
                "bye-every=%d" % numbers.randint(LEAST_LIFE, 400),
                "silent=%d:%dms" % (numbers.randint(0, 100), numbers.randint(100, 1800)),
                "pause=%d:%dms" % (numbers.randint(0, 100), numbers.randint(10, 500)),
                "refuse-upgrade=1",
                "refuse-token=1",
                "force-handshake",
            ),
            count,
        )
        # The first dial is not repeated: it is the user who tries again.
        return [one for one in chosen if one != "refuse-upgrade=1"]


class Outcome:
    """``broken`` is None, or says which promise was. ``unknown``: the end of the session fell into
    a gap between two connections, and so neither its reason nor an exit code came through."""

    def __init__(self, schedule):
        self.schedule = schedule
        self.broken = None
        self.unknown = False
        self.seconds = 0.0
        self.connections = 0


class Broken(Exception):
    pass


def promise(held, what):
    if not held:
        raise Broken(what)


class Playground:
    """The local services that schedules are played at: the usual one, one with an old agent, one
    that encrypts. Any number of threads may play."""

    def __enter__(self):
        with ExitStack() as exits:
            # There is no such service yet.
            encryption = Encryption("key-1", lambda *sealed: self.encrypting.kms.decrypt(*sealed))
            self.usual = exits.enter_context(local_service())
            self.old = exits.enter_context(local_service(agent_version=OLD_AGENT))
            self.encrypting = exits.enter_context(local_service(encryption=encryption))
            self.echo = exits.enter_context(EchoServer())
            self.folder = exits.enter_context(tempfile.TemporaryDirectory())
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exception):
        return self._exits.__exit__(*exception)

    def play(self, schedule):
        """Play it to its end; never raises."""
        began = time.monotonic()
        outcome = Outcome(schedule)
        try:
            _PLAYS[schedule.kind](self, schedule, outcome)
        except Exception:
            outcome.broken = traceback.format_exc()
        outcome.seconds = time.monotonic() - began
        return outcome


def _run(local, schedule, **options):
    if local is not None and "service" not in options:
        options["service"] = service_client(local, NETWORK, kms_endpoint_url=local.endpoint_url)
    return RunningSession(local, faults=schedule.faults, network=NETWORK, **options)


def _finish(playground, local, schedule, running, outcome):
    """Let the session end as the schedule wants, and see that it did."""
    outcome.connections = running.at_service.connections
    ends = {
        "ours": (7, "Exiting session with sessionId: {}."),
        "service": (255, "SessionId: {} : enough of it"),
        "over": (255, "Session: {} timed out."),
        "node": (0, "Exiting session with sessionId: {}."),
        "denied": (None, None),
    }
    status, line = ends[schedule.end]
    if schedule.end == "ours":
        running.session.end(7)
    elif schedule.end == "service":
        running.at_service.terminate("enough of it")
    elif schedule.end == "over":
        running.at_service.misbehave("lose-channel-closed")
        running.at_service.terminate()
        _drop_until_over(running)
    elif schedule.end == "denied":
        _finish_denied(running)
        return
    got = running.finish(TIME_LIMIT)
    over = ends["over"][1].format(running.session.session_id) in running.notices.decode()
    if over and schedule.end in ("service", "node") and schedule.cuts:
        # Whoever is not connected at that moment learns from ResumeSession alone that it is over.
        outcome.unknown = True
        status, line = ends["over"]
    promise(got == status, "status %s, not %s, notices %r" % (got, status, running.notices))
    expected = line.format(running.session.session_id)
    promise(expected in running.notices.decode(), "no %r in %r" % (expected, running.notices))


def _drop_until_over(running):
    """More than once, if the session was just being resumed, by leave that it had got before."""
    deadline = time.monotonic() + TIME_LIMIT
    while not running.ended(0.2) and time.monotonic() < deadline:
        running.at_service.drop_connection()


def _finish_denied(running):
    service = running.session.environment.service

    def denied(session_id):
        raise ServiceError("ssm:ResumeSession was denied", "AccessDeniedException", 400)

    service.resume_session = denied
    _drop_until_over(running)
    try:
        running.finish(TIME_LIMIT)
    except SessionLost as error:
        promise("was denied" in str(error), "another reason: %s" % error)
    else:
        raise Broken("the session ended with status %s" % running.status)


# The kinds of sessions


def _play_shell(playground, schedule, outcome, local=None, document="", parameters=None):
    local = local or playground.usual
    data = schedule.data()
    script = "stty raw -echo; echo rea''dy; head -c %d; head -c 1 >/dev/null" % len(data)
    options = {}
    if document:
        parameters = {"command": script}
        options["session_type"] = SessionType.INTERACTIVE_COMMANDS
    with _run(local, schedule, document=document, parameters=parameters, **options) as running:
        if not document:
            running.send(b"PS1=; %s; exit\n" % script.encode())
        running.expect(b"ready", TIME_LIMIT)
        running.wait_for(lambda: running.output.find(b"\n", running._seen) >= 0, TIME_LIMIT)
        start = running.output.index(b"\n", running._seen) + 1
        running.send(data)
        running.wait_for(lambda: len(running.output) >= start + len(data), TIME_LIMIT)
        promise(running.output[start:] == data, "the echo is not what was sent")
        if schedule.end == "node":
            running.send(b"!")
        _finish(playground, local, schedule, running, outcome)
        promise(running.output[start:] == data, "more came than was sent")


def _play_encrypted(playground, schedule, outcome):
    _play_shell(playground, schedule, outcome, playground.encrypting)


def _play_interactive(playground, schedule, outcome):
    _play_shell(playground, schedule, outcome, None, INTERACTIVE)


def _play_command(playground, schedule, outcome):
    """Its end waits until all output is here: what is under way at the end of a command has two
    seconds, as at a real node, and is lost if the connection is not back by then."""
    handle, path = tempfile.mkstemp(dir=playground.folder)
    os.close(handle)
    count = schedule.size // 5
    script = "seq 1 %d; seq 1 %d >&2; while test -e %s; do sleep 0.02; done; exit 42" % (
        count, count // 3, path)
    parameters = {"command": "sh -c '%s'" % script, "separateOutputStream": "true"}
    options = {"document": COMMAND, "session_type": SessionType.NON_INTERACTIVE_COMMANDS}
    out, err = _numbers(count), _numbers(count // 3)
    with _run(playground.usual, schedule, parameters=parameters, **options) as running:
        running.wait_for(
            lambda: len(running.output) >= len(out) and len(running.errors) >= len(err), TIME_LIMIT
        )
        os.unlink(path)
        outcome.connections = running.at_service.connections
        status = running.finish(TIME_LIMIT)
        promise(running.output == out, "stdout differs")
        # It was over when we came back, or the node had stopped waiting for us to come back.
        outcome.unknown = schedule.cuts and status == 255
        said = running.errors[len(err):].decode()
        promise(running.errors[:len(err)] == err, "stderr differs")
        promise(not said or outcome.unknown, "more came on stderr: %r" % said)
        promise(
            status == 42 or outcome.unknown,
            "status %s, notices %r" % (status, bytes(running.notices)),
        )


def _numbers(count):
    return "".join("%d\n" % number for number in range(1, count + 1)).encode()


def _play_stdio(playground, schedule, outcome):
    data = schedule.data()
    parameters = {"portNumber": str(playground.echo.port)}
    with _run(
        playground.usual,
        schedule,
        document=SSH,
        parameters=parameters,
        session_type=SessionType.PORT,
    ) as running:
        running.send(data)
        running.wait_for(lambda: len(running.output) >= len(data), TIME_LIMIT)
        promise(running.output == data, "the echo is not what was sent")
        _see_stderr(running)
        _finish(playground, playground.usual, schedule, running, outcome)
        promise(running.output == data, "more came than was sent")


def _see_stderr(running):
    """In a stream session the notices go to stderr."""
    running.notices = running.errors


def _play_forward(playground, schedule, outcome, local=None, streams=3):
    local = local or playground.usual
    parameters = {"portNumber": str(playground.echo.port), "localPortNumber": "0"}
    with bind_tcp() as listener, _run(
        local,
        schedule,
        document=FORWARDING,
        parameters=parameters,
        session_type=SessionType.PORT,
        listener=listener,
    ) as running:
        failures = []
        threads = [
            threading.Thread(
                target=_echo_through, args=(listener.port, schedule.data(salt), failures)
            )
            for salt in range(streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIME_LIMIT)
        promise(not failures, "; ".join(failures))
        promise(not any(thread.is_alive() for thread in threads), "a stream hangs")
        _finish(playground, local, schedule, running, outcome)


def _play_basic(playground, schedule, outcome):
    _play_forward(playground, schedule, outcome, playground.old, streams=1)


def _echo_through(port, data, failures):
    """Send ``data`` through the local port and get the same back."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIME_LIMIT) as sock:
            sock.settimeout(TIME_LIMIT)
            sender = threading.Thread(target=sock.sendall, args=(data,))
            sender.start()
            received = bytearray()
            while len(received) < len(data):
                piece = sock.recv(65536)
                if not piece:
                    break
                received += piece
            sender.join(TIME_LIMIT)
            if received != data:
                failures.append("%d of %d bytes came back" % (len(received), len(data)))
    except OSError as error:
        failures.append("a stream broke: %s" % error)


_PLAYS = {
    "shell": _play_shell,
    "encrypted shell": _play_encrypted,
    "interactive": _play_interactive,
    "command": _play_command,
    "stdio": _play_stdio,
    "mux": _play_forward,
    "basic": _play_basic,
}
