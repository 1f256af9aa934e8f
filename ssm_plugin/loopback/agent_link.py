"""The agent's end of its link, with what an agent adds: session states, and held acknowledgements.

An agent acknowledges input once its target has taken it; that is how a slow target slows a client
down. The core acknowledges on receipt. So the acknowledgements are held back here, on their way
out, while the target is behind. Nothing else waits: what the client acknowledges still comes in.
"""

import os
import struct
import threading
import time
from typing import List, Sequence

from ..errors import ConnectionLost
from ..wire import message, payloads
from .link import Link

CONNECTED = "Connected"
TERMINATING = "Terminating"

# Input that may wait for its target before acknowledgements are held back, in bytes.
LIMIT = 256 * 1024

_ACKNOWLEDGE = message.PADDED[message.ACKNOWLEDGE]
_TYPE = slice(4, 36)


class AgentLink:
    """``reason`` is what the service tells the client when the link ends."""

    def __init__(self, link: Link, session_id: str) -> None:
        self.reason = ""
        self._link = link
        self._session_id = session_id
        self._lock = threading.Lock()
        self._held: List[bytes] = []
        self._behind = 0
        self._holding = False
        self._withheld = False

    def receive(self) -> List[bytes]:
        return self._link.receive()

    def send(self, messages: Sequence[bytes]) -> None:
        if self._holding:
            messages = self._without_acknowledgements(messages)
        self._link.send(messages)

    def ping(self) -> None:
        self._link.ping()

    def farewell(self) -> None:
        """Tell the service that the agent leaves."""
        self.tell_state(TERMINATING)

    def abort(self) -> None:
        self._link.abort(self.reason)

    def close(self) -> None:
        self.abort()

    def tell_state(self, state: str) -> None:
        """Send ``agent_session_state``, which neither end numbers or acknowledges."""
        payload = payloads.build_session_state(self._session_id, state)
        high, low = struct.unpack(">QQ", os.urandom(16))
        flags = message.FLAG_SYN | message.FLAG_FIN
        now = int(time.time() * 1000)
        self._link.send(
            [message.build(message.AGENT_SESSION_STATE, 0, flags, high, low, 0, payload, now)]
        )

    def hand_over(self, size: int) -> None:
        """So many bytes of input are on their way to the target."""
        with self._lock:
            self._behind += size
            self._holding = self._holding or self._behind > LIMIT

    def taken(self, size: int) -> None:
        """The target has taken so many bytes."""
        with self._lock:
            self._behind -= size
            if self._withheld or not self._holding or self._behind > LIMIT:
                return
        self.release()

    def hold(self) -> None:
        """From now on acknowledgements leave by :meth:`flush` only, until :meth:`release`."""
        with self._lock:
            self._holding = self._withheld = True

    def release(self) -> None:
        """Send what was held back, and hold back no more."""
        with self._lock:
            self._holding = self._withheld = False
        self.flush()

    def flush(self) -> None:
        """Send what was held back so far."""
        with self._lock:
            held, self._held = self._held, []
        try:
            self._link.send(held)
        except ConnectionLost:
            pass  # whoever reads from the link hears of it too

    def _without_acknowledgements(self, messages: Sequence[bytes]) -> Sequence[bytes]:
        with self._lock:
            if not self._holding:
                return messages
            self._held += [one for one in messages if one[_TYPE] == _ACKNOWLEDGE]
            return [one for one in messages if one[_TYPE] != _ACKNOWLEDGE]
