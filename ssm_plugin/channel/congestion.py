"""How many messages may be unacknowledged at once, and when one is sent again.

The window doubles each round trip until a timeout or a pause asked for by the service. Then it is
halved, and grows by an eighth each round trip. While it is small, it doubles twice in a round where
most acknowledgements come as soon as the first one. On a narrow path they come one after the other.
A single loss that later acknowledgements reveal is repaired without touching the window: the way is
lossy, not full. A new connection begins with a small window, which doubles each round trip up to
what the old one had.

More messages than the path can hold only fill a queue on the way, and keystrokes and
acknowledgements wait behind them. A queue shows in the round trips: where even the quickest of a
round takes too long, the window shrinks to what empties the queue again.

The retransmission timeout is estimated from round trips (RFC 6298, with the agent's constants). The
estimate starts at 200 ms. A sample moves SRTT by 1/8 and RTTVAR by 1/4 of the difference. The
timeout is SRTT + max(10 ms, 4 * RTTVAR), at most 1 s. By Karn's rule the owner gives no sample for
a message that was sent more than once. All times are seconds.
"""

# Messages.
SMALLEST_WINDOW = 16
INITIAL_WINDOW = 16  # about what TCP begins with; half a second at 500 kbit/s, doubled
CEILING = 4096

# Messages that the stand-in for the agent begins with. The agent itself has no window.
AGENTS_WINDOW = 512

# Messages. A smaller window may double twice in a round trip.
QUICK_START = 128

# Waiting in queues may take as long as the way itself, or this many seconds if that is more.
QUEUEING_ALLOWANCE = 0.003

# Messages. A queue alone never shrinks the window below this: others may have filled it. Unless the
# queue takes so many seconds: then the path is slow, and a key waits behind all that is in flight.
LEAST_FOR_QUEUE = 128
LONG_QUEUE = 0.25

# Seconds that a round's own first message may have waited for the window to grow after it. The
# quickest acknowledgement of a round may be of a message that is older than the round.
_GROWTH_ALLOWANCE = 0.05

_NEVER = float("-inf")

INITIAL_TIMEOUT = 0.2
MAXIMUM_TIMEOUT = 1.0
GRANULARITY = 0.01


class Window:
    def __init__(self, ceiling: int = CEILING, initial: int = INITIAL_WINDOW) -> None:
        self.ceiling = ceiling
        self.size = float(min(initial, ceiling))
        self._threshold = float(ceiling)
        self._halved_at = _NEVER
        self._soon = _NEVER  # the longest round trip that still is as soon as the first one
        self._until_doubled = 0  # acknowledgements that have to come as soon

    def round_passed(self, in_flight: int, own: float, quickest: float, shortest: float) -> None:
        """A round trip has passed, and ``in_flight`` messages wait. In seconds: the one that its
        first message took, its quickest acknowledgement, and the shortest round trip ever."""
        allowed = shortest + max(shortest, QUEUEING_ALLOWANCE)
        self._soon = _NEVER
        if quickest > allowed:
            slow = quickest - shortest > LONG_QUEUE
            least = min(self.size, SMALLEST_WINDOW if slow else LEAST_FOR_QUEUE)
            self.size = max(self.size * allowed / quickest, least)
        elif own > shortest + max(shortest / 2, _GROWTH_ALLOWANCE):
            pass  # it begins to queue
        elif 2 * in_flight >= self.size:  # a window that is not used proves nothing
            growth = 1.0 if self.size < self._threshold else 0.125
            if self.size < min(QUICK_START, self._threshold):
                self._soon = own + QUEUEING_ALLOWANCE
                self._until_doubled = in_flight * 3 // 4
            self.size = min(self.size * (1 + growth), float(self.ceiling))

    def acknowledged(self, elapsed: float) -> None:
        """A message that was sent once has been acknowledged, ``elapsed`` seconds later."""
        if elapsed <= self._soon:
            self._until_doubled -= 1
            if self._until_doubled == 0:
                self.size = min(self.size * 2, float(self.ceiling))

    def restart(self) -> None:
        """Begin small, on a new path. What the old one could hold is reached quickly."""
        self._threshold = max(self._threshold, self.size)
        self.size = min(self.size, float(min(INITIAL_WINDOW, self.ceiling)))

    def replayed(self) -> None:
        """A message that had to be sent again over a new path has been acknowledged."""
        if self.size < self._threshold:
            self.size += 1

    def halve(self, sent_at: float, now: float) -> None:
        """A message sent at ``sent_at`` timed out. Those sent before the last halving count as one
        event with it."""
        if sent_at < self._halved_at:
            return
        self._halved_at = now
        self._soon = _NEVER
        self.size = max(self.size / 2, float(min(SMALLEST_WINDOW, self.ceiling)))
        self._threshold = self.size


class RoundTripEstimator:
    def __init__(self) -> None:
        self.smoothed = 0.0
        self.variation = 0.0
        self.minimum = float("inf")
        self.timeout = INITIAL_TIMEOUT

    def sample(self, elapsed: float) -> None:
        if elapsed < self.minimum:
            self.minimum = elapsed
        if self.smoothed:
            difference = elapsed - self.smoothed
            self.smoothed += difference / 8
            self.variation += (abs(difference) - self.variation) / 4
        else:
            self.smoothed = elapsed
            self.variation = elapsed / 2
        self.timeout = min(
            MAXIMUM_TIMEOUT, self.smoothed + max(GRANULARITY, 4 * self.variation)
        )

    def forget_path(self) -> None:
        """A new connection may take another path: the shortest round trip of the old one does not
        count."""
        self.minimum = float("inf")
