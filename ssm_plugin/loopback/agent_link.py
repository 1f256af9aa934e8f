"""The agent's end of its link, with what an agent adds: session states, and held acknowledgements.

An agent acknowledges input once its target has taken it; that is how a slow target slows a client
down. The core acknowledges on receipt. So the acknowledgements are held back here, on their way
out, while the target is behind. Nothing else waits: what the client acknowledges still comes in.
"""

import threading
from typing import Callable, List, Sequence

from ..errors import ConnectionLost
from ..wire import message
from . import control
from .pipe import PipeEnd

CONNECTED = "Connected"
TERMINATING = "Terminating"

# Input that may wait for its target before acknowledgements are held back, in bytes.
LIMIT = 256 * 1024

_ACKNOWLEDGE = message.PADDED[message.ACKNOWLEDGE]
_PAUSE = message.PADDED[message.PAUSE_PUBLICATION]
_DATA = message.PADDED[message.INPUT_STREAM_DATA]
_TYPE = slice(4, 36)
_PAYLOAD = slice(message.PREFIX.size, None)


class AgentLink:
    """``reason`` is what the service tells the client when the link ends. ``unanswered`` are bytes
    in the client's data after which acknowledgements are held back; sealed data is not looked
    into. ``is_idle`` tells whether no event waits for the agent. ``is_paused``: the service has
    told the agent to pause, and nothing came since; the core is to know if ``stops_in_pauses``."""

    def __init__(self, link: PipeEnd, session_id: str, is_idle: Callable[[], bool]) -> None:
        self.reason = ""
        self.unanswered = b""
        self.is_paused = False
        self.stops_in_pauses = True
        self._link = link
        self._session_id = session_id
        self._is_idle = is_idle
        self._lock = threading.Lock()
        self._held: List[bytes] = []
        self._behind = 0
        self._answering = False
        self._released = False
        self._hearing = threading.Event()
        self._hearing.set()

    def go_deaf(self) -> None:
        """Take no more messages, the end of the session included, until told to listen."""
        self._hearing.clear()

    def listen(self) -> None:
        self._hearing.set()

    def receive(self) -> List[bytes]:
        self._hearing.wait()
        messages = self._link.receive()
        self._hearing.wait()
        if messages:
            self.is_paused = messages[-1][_TYPE] == _PAUSE
            if not self.stops_in_pauses:
                messages = [one for one in messages if one[_TYPE] != _PAUSE]
        if self.unanswered and any(map(self._is_unanswered, messages)):
            self._answering = True
        return messages

    def send(self, messages: Sequence[bytes]) -> None:
        with self._lock:
            if self._must_hold():
                self._held += [one for one in messages if one[_TYPE] == _ACKNOWLEDGE]
                messages = [one for one in messages if one[_TYPE] != _ACKNOWLEDGE]
        self._link.send(messages)

    def ping(self) -> None:
        self._link.ping()

    def answer_through(self, post: Callable[[bytes], object]) -> None:
        self._link.answer_through(post)

    def farewell(self) -> None:
        """Nothing to say: an agent drops its connection."""

    def abort(self) -> None:
        self._link.abort(self.reason)
        self.listen()

    def close(self) -> None:
        self.abort()

    def tell_state(self, state: str) -> None:
        """Send ``agent_session_state``, which neither end numbers or acknowledges."""
        self._link.send([control.session_state(self._session_id, state)])

    def hand_over(self, size: int) -> None:
        """``size`` bytes of input are on their way to the target."""
        with self._lock:
            self._behind += size

    def taken(self, size: int) -> None:
        """The target has taken so many bytes."""
        with self._lock:
            self._behind -= size
        self.settle()

    def settle(self) -> None:
        """Send what was held back, if its time has come. To be called after each event."""
        with self._lock:
            if self._must_hold():
                return
            held, self._held = self._held, []
        try:
            self._link.send(held)
        except ConnectionLost:
            pass  # whoever reads from the link hears of it too

    def release(self) -> None:
        """Send what was held back, and never hold back anything again."""
        with self._lock:
            self._released = True
        self.settle()

    def _must_hold(self) -> bool:
        if self._released:
            return False
        # Input that the agent's thread has not seen yet may be too much, or may not.
        return self._answering or self._behind > LIMIT or not self._is_idle()

    def _is_unanswered(self, frame: bytes) -> bool:
        return frame[_TYPE] == _DATA and any(byte in frame[_PAYLOAD] for byte in self.unanswered)
