"""What an idle mux session sends, so that nobody takes it for dead."""

from ..session.session import Session
from .mux_streams import MuxStreams

# Seconds. A gateway takes an idle tunnel for dead that sends nothing for longer. A ping is enough,
# and does not count as use of the session: the account's idle time-out still ends it.
PING_WITHIN = 25.0


class MuxKeepAlive:
    """Pings for gateways, and NOPs for those agents that want them. In the session's thread."""

    def __init__(self, session: Session, streams: MuxStreams) -> None:
        self._session = session
        self._streams = streams
        self._timer = session.new_timer(self._send)

    def begin(self) -> None:
        """The session is open."""
        self._session.channel.ping_within(PING_WITHIN)
        self.go_on()

    def pause(self) -> None:
        """The connection is lost."""
        self._timer.cancel()

    def go_on(self) -> None:
        seconds = self._streams.next_timer()
        if seconds is not None:
            self._timer.set(seconds)

    def _send(self) -> None:
        self._streams.on_timer()
        self.go_on()
