"""The retransmission timeout, estimated from round trips (RFC 6298, with the agent's constants).

All times are seconds. The estimate starts at 200 ms; a sample moves SRTT by 1/8 and RTTVAR by 1/4
of the difference; the timeout is SRTT + max(10 ms, 4 * RTTVAR), at most 1 s. By Karn's rule the
owner gives no sample for a message that was sent more than once.
"""

INITIAL_TIMEOUT = 0.2
MAXIMUM_TIMEOUT = 1.0
GRANULARITY = 0.01


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
        """A new connection may take another way: what was shortest on the old one says nothing."""
        self.minimum = float("inf")
