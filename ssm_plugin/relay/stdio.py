"""The port session of one fast connection on standard input and output: the ProxyCommand of SSH."""

import threading
from typing import Callable, Optional, Tuple

from ..channel.events import Started
from ..channel.protocol import MAXIMUM_PAYLOAD
from ..errors import RemoteError, SessionLost, SsmPluginError
from ..plugins.port import StdioRunner
from ..session.events import RunnerEvent
from ..session.protocols import IRunnerSession
from ..session.streams import OutputGone
from ..wire import payloads
from . import messages
from .liveness import CameDown, Liveness, RelayChanged
from .relay import Relay

EXIT_RESET = 255


class OutputFailed(RunnerEvent):
    """Nobody takes our output any more."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class RelayStdioRunner(StdioRunner):
    """``target`` is a host, empty for the node itself, and a port. ``opened`` is called once it is
    connected; nothing has been read from standard input before. ``_room`` guards the credit, for
    which the thread that reads input waits."""

    def __init__(
        self,
        session: IRunnerSession,
        started: Started,
        relay: Relay,
        target: Tuple[str, int],
        opened: Callable[[], object],
    ) -> None:
        super().__init__(session, started)
        self._relay = relay
        self._host, self._port = target
        self._opened = opened
        self._has_ended = False
        self._number = 0
        self._taken = messages.Taken()
        self._credit = messages.Credit()
        self._room = threading.Condition()
        self._stopped = False
        self._liveness = Liveness(session, relay, self._send)

    def start(self) -> None:
        self._liveness.begin()
        secret = self._relay.take_secret()
        if secret is None:
            raise SessionLost("the relay at the node has no secret left")
        self._number = secret[0]
        self._relay.listen_to(self._number, self._came)
        self._send(messages.hello(secret[0], secret[1], self._port, self._host))

    def output(self, payload_type: int, data: bytes) -> None:
        """The relay sends nothing this way."""
        if payload_type == payloads.FLAG:
            self.flagged(data)

    def event(self, event: RunnerEvent) -> None:
        if isinstance(event, CameDown):
            self._take(event.kind, event.data)
        elif isinstance(event, RelayChanged):
            if not self._has_ended:
                self._liveness.relay_changed()
        elif isinstance(event, OutputFailed):
            raise event.error
        else:
            super().event(event)

    def paused(self) -> None:
        super().paused()
        self._liveness.paused()

    def resumed(self) -> None:
        super().resumed()
        self._liveness.resumed()

    def missing(self, reason: str) -> str:
        if self._has_ended:
            return ""
        return "the way to the relay at the node has ended before the connection did"

    def stop(self) -> None:
        self._liveness.stop()
        self._relay.forget(self._number)
        with self._room:
            self._stopped = True
            self._room.notify_all()
        super().stop()

    def may_end(self, quiet: float) -> bool:
        """The end of our input has been told: its other end says when all is over."""
        return False

    def _take(self, kind: bytes, data: bytes) -> None:
        if kind == messages.OPENED:
            self._open()
        elif kind == messages.REFUSED:
            raise RemoteError(
                "the node could not connect to port %d: %s"
                % (self._port, data.decode("utf-8", "replace"))
            )
        elif kind == messages.ECHOED:
            self._liveness.answered(data)
        elif kind in (messages.ENDED, messages.BROKEN):
            self._has_ended = True
            self.session.end(0 if kind == messages.ENDED else EXIT_RESET)

    def _open(self) -> None:
        self._liveness.reached()
        self._opened()
        super().start()

    # The thread of the relay's session

    def _came(self, kind: bytes, data: bytes) -> None:
        """That thread has nothing else to do: so the echo of a key need not wake another one."""
        if kind == messages.OUTPUT:
            self._write(data)
        elif kind == messages.ROOM:
            with self._room:
                self._credit.grant(int(data))
                self._room.notify_all()
        else:
            self.session.tell(CameDown(kind, data))

    def _write(self, data: bytes) -> None:
        try:
            super().output(payloads.OUTPUT, data)
        except (OutputGone, SsmPluginError) as error:
            self._relay.forget(self._number)
            self.session.tell(OutputFailed(error))
            return
        room = self._taken.add(len(data))
        if room:
            self._send(messages.credit(room))

    # The thread that reads input

    def send_input(self, data: Optional[bytes]) -> None:
        """None is its end."""
        if data is None:
            self.session.channel.send_input_data(messages.frame(messages.FIN))
            return
        rest = memoryview(data)
        while rest:
            with self._room:
                self._room.wait_for(lambda: self._credit.left > 0 or self._stopped)
                if self._stopped:
                    raise SessionLost("the session ended with input unsent")
                size = min(len(rest), self._credit.left)
                self._credit.spend(size)
            framed = messages.data_frames(rest[:size], MAXIMUM_PAYLOAD)
            self.session.channel.send_input_data(framed)
            rest = rest[size:]

    # Any of them

    def _send(self, frame: bytes) -> None:
        """Past the window: it is one message, and may stand between any two."""
        self.session.channel.send_control(payloads.OUTPUT, frame)
