"""What we receive: put in order, each message once.

Everything deliverable, whether it came in order or waited in the reorder buffer, leaves through the
one list that :meth:`Inbound.take` returns.
"""

from typing import Dict, List, Tuple

from ..wire.message import Buffer

# Messages. Both ends of AWS's own pair hold this many or more.
REORDER_LIMIT = 10000

# Bytes of payload in them: enough for that many of an agent's.
REORDER_BYTES = 12 * 1024 * 1024

Delivery = Tuple[int, Buffer]  # payload type, payload


class Inbound:
    """``limit`` is in messages, ``most_bytes`` in bytes of payload."""

    def __init__(self, limit: int = REORDER_LIMIT, most_bytes: int = REORDER_BYTES) -> None:
        self.expected = 0
        self.repeated = 0  # messages that came once more
        self._limit = limit
        self._most_bytes = most_bytes
        self._early_bytes = 0
        self._known = 0  # there are messages up to this number, itself not among them
        self._early: Dict[int, Delivery] = {}
        self._ready: List[Delivery] = []

    def accept(self, sequence: int, payload_type: int, payload: Buffer) -> bool:
        """Whether the message is to be acknowledged: delivered, kept for later, or known already.

        A known one is acknowledged again: the agent missed the first acknowledgement, and resends
        nothing else until it sees one.
        """
        if sequence == self.expected:
            self._ready.append((payload_type, payload))
            self.expected = sequence + 1
            if self._early:
                self._drain()
            return True
        if sequence < self.expected or sequence in self._early:
            self.repeated += 1
            return True
        if not self.note(sequence) or len(self._early) >= self._limit:
            return False
        if self._early_bytes + len(payload) > self._most_bytes:
            return False
        self._early_bytes += len(payload)
        # A copy: the slice would keep its whole receive buffer alive.
        self._early[sequence] = (payload_type, bytes(payload))
        return True

    def note(self, sequence: int) -> bool:
        """Learn that there is a message of this number. False if the number is far too high to be
        true."""
        if sequence > self.expected + 10 * self._limit:
            return False
        self._known = max(self._known, sequence + 1)
        return True

    @property
    def is_incomplete(self) -> bool:
        """Whether a message is missing for certain: a later one was seen, kept or not."""
        return self.expected < self._known

    def take(self) -> List[Delivery]:
        ready, self._ready = self._ready, []
        return ready

    def _drain(self) -> None:
        while self.expected in self._early:
            delivery = self._early.pop(self.expected)
            self._early_bytes -= len(delivery[1])
            self._ready.append(delivery)
            self.expected += 1
