"""Whether a relay still speaks to us after the connection of its session was lost.

The service tells an agent to pause while nobody is connected. One that has something of a command's
to send then reads no more of that output, for good, and tells nobody: the relay at the node waits
for ever, and so would all who use it. So each of them asks the relay after a resumption.
"""

from typing import Callable

from ..errors import SessionLost
from ..session.protocols import IRunnerSession
from . import messages
from .relay import Relay

# Seconds in which neither the answer comes nor anything else, while both sessions are connected.
QUIET_LIMIT = 10.0


class Liveness:
    """``send`` takes a frame for a stream of the port session ``session``; what the relay answers
    is for :meth:`answered`. All in the thread of that session."""

    def __init__(
        self, session: IRunnerSession, relay: Relay, send: Callable[[bytes], object]
    ) -> None:
        self._relay = relay
        self._send = send
        self._asked = relay.resumptions  # by the number of the resumption
        self._heard = 0
        self._is_paused = False
        self._timer = session.new_timer(self._on_quiet)

    def relay_changed(self) -> None:
        if self._relay.resumptions != self._asked:
            self._asked = self._relay.resumptions
            self._send(messages.frame(messages.ECHO, b"%d" % self._asked))
            self._wait()

    def answered(self, data: bytes) -> None:
        """An earlier answer may have waited for the connection."""
        if data == b"%d" % self._asked:
            self._timer.cancel()

    def paused(self) -> None:
        """The port session has lost its connection: the question may be under way."""
        self._is_paused = True

    def resumed(self) -> None:
        self._is_paused = False

    def _wait(self) -> None:
        self._heard = self._relay.heard
        self._timer.set(QUIET_LIMIT)

    def _on_quiet(self) -> None:
        if self._is_paused or self._relay.is_paused or self._relay.heard != self._heard:
            self._wait()
        else:
            self._relay.give_up(
                SessionLost("the node gave up the relay's output while the connection was lost")
            )
