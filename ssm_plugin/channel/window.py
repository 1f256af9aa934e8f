"""How many messages may be unacknowledged at once.

The window doubles each round trip until something speaks against it: then it is halved and grows by
about one message each round trip. What speaks against it is a timeout or the service's pause. A
round trip much longer than the shortest one stops the growth: more messages would only wait in
somebody's queue, and keystrokes and acknowledgements with them. A single loss that later
acknowledgements reveal is repaired without touching the window: the way is lossy, not full.
"""

SMALLEST = 16
INITIAL = 256
CEILING = 4096

# The agent writes into its target before it acknowledges and shares its processor with us, so a
# loaded but healthy path is this much slower, in seconds, than an idle one.
QUEUEING_ALLOWANCE = 0.1


class Window:
    def __init__(self, ceiling: int = CEILING, initial: int = INITIAL) -> None:
        self.ceiling = ceiling
        self.size = float(min(initial, ceiling))
        self._threshold = float(ceiling)
        self._halved_at = float("-inf")

    def acknowledged(self, in_flight: int, round_trip: float, shortest: float) -> None:
        """A message was acknowledged, ``in_flight`` still wait; both times in seconds."""
        if self.size >= self.ceiling or 2 * in_flight < self.size:
            return  # a window that is not used proves nothing
        if round_trip > 4 * shortest and round_trip > shortest + QUEUEING_ALLOWANCE:
            return
        growth = 1.0 if self.size < self._threshold else 1 / self.size
        self.size = min(self.size + growth, float(self.ceiling))

    def halve(self, sent_at: float, now: float) -> None:
        """A message sent at ``sent_at`` timed out. Those sent before the last halving count as one
        event with it."""
        if sent_at < self._halved_at:
            return
        self._halved_at = now
        self.size = max(self.size / 2, float(min(SMALLEST, self.ceiling)))
        self._threshold = self.size
