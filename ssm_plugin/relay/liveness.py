"""Whether a port session reaches its relay, and whether that lives and still speaks to us.

The service tells an agent to pause while nobody is connected. One that has something of a command's
to send then reads no more of that output, for good, and tells nobody: the relay at the node waits
for ever, and so would all who use it. So each of them asks the relay after a resumption. The relay
in turn hears from us again and again: else it ends.
"""

from typing import Callable

from ..errors import SessionLost
from ..session.events import RunnerEvent
from ..session.protocols import IRunnerSession
from . import messages
from .relay import Relay

# Seconds for the first stream to reach the relay.
UP_LIMIT = 10.0

# Seconds in which neither the answer comes nor anything else, while both sessions are connected.
QUIET_LIMIT = 10.0


class RelayChanged(RunnerEvent):
    """The relay has new secrets, has lost its connection, has it back, or has ended."""


class CameDown(RunnerEvent):
    """The relay said this of a stream."""

    def __init__(self, kind: bytes, data: bytes) -> None:
        self.kind = kind
        self.data = data


class Liveness:
    """Belongs to the runner of the port session ``session``, and lives in the thread of that
    session. The runner calls :meth:`relay_changed` for each :class:`RelayChanged`, and
    :meth:`answered` for each ECHOED. ``send`` puts a frame into a stream that leads to the relay.

    It raises, there, why the relay is not reached, or does not work any more. That ends the
    session."""

    def __init__(
        self, session: IRunnerSession, relay: Relay, send: Callable[[bytes], object]
    ) -> None:
        self._session = session
        self._relay = relay
        self._send = send
        self._is_reached = False
        self._asked = relay.resumptions  # the latest question is this number
        self._heard = 0  # of the relay, when it was last asked or looked after
        self._is_paused = False  # the port session's connection
        self._up_timer = session.new_timer(self._not_up)
        self._ping_timer = session.new_timer(self._ping)
        self._quiet_timer = session.new_timer(self._on_quiet)

    def begin(self) -> None:
        """A first stream is about to be opened. Raises why the relay does not work."""
        self._relay.watch(self._tell)
        self.relay_changed()
        self._up_timer.set(UP_LIMIT)

    def reached(self) -> None:
        """The first stream is open."""
        self._is_reached = True
        self._up_timer.cancel()
        self._ping_timer.set(self._relay.lease / 4)
        self.relay_changed()

    def relay_changed(self) -> None:
        """Raises why the relay does not work any more. After a resumption, asks whether it does."""
        if self._relay.failure is not None:
            raise self._relay.failure
        if self._is_reached and self._relay.resumptions != self._asked:
            self._asked = self._relay.resumptions
            self._send(messages.frame(messages.ECHO, b"%d" % self._asked))
            self._wait()

    def answered(self, data: bytes) -> None:
        """One to an earlier question, which has waited for the connection, does not count."""
        if data == b"%d" % self._asked:
            self._quiet_timer.cancel()

    @property
    def is_cut_off(self) -> bool:
        """Whether either session is without its connection."""
        return self._is_paused or self._relay.is_paused

    def paused(self) -> None:
        """The port session has lost its connection: a question may be under way."""
        self._is_paused = True

    def resumed(self) -> None:
        self._is_paused = False

    def stop(self) -> None:
        self._relay.unwatch(self._tell)

    def _tell(self) -> None:
        self._session.tell(RelayChanged())

    def _not_up(self) -> None:
        raise SessionLost("the relay at the node was not reached within %g s" % UP_LIMIT)

    def _ping(self) -> None:
        """A word that changes nothing: the relay hears that we are there."""
        self._send(messages.credit(0))
        self._ping_timer.set(self._relay.lease / 4)

    def _wait(self) -> None:
        """For the answer, or anything else that shows that the relay is heard."""
        self._heard = self._relay.heard
        self._quiet_timer.set(QUIET_LIMIT)

    def _on_quiet(self) -> None:
        if self.is_cut_off or self._relay.heard != self._heard:
            self._wait()
        else:
            self._relay.give_up(
                SessionLost("the node gave up the relay's output while the connection was lost")
            )
