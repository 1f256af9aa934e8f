"""A sender on a path that passes on only so much, with a long queue in front of it."""

from collections import deque

import pytest

from ssm_plugin.channel.outbound import Outbound

KIB = 1024
SECONDS = 20.0


class Path:
    """Passes on ``rate`` messages a second, ``rtt`` seconds away. Sends all that it may."""

    def __init__(self, rate, rtt):
        self.sender = Outbound()
        self.rate = rate
        self.rtt = rtt
        self.waits = []
        self._free_at = 0.0
        self._acknowledgements = deque()

    def run(self, seconds):
        now = 0.0
        self._exchange_one()
        while now < seconds:
            for _ in range(self.sender.room(now)):
                self._send(now)
            now, sequence = self._acknowledgements.popleft()
            self.sender.acknowledge(sequence, now)
        return self

    def _exchange_one(self):
        """The handshake shows how far it is."""
        self.sender.keep(b"", -self.rtt)
        self.sender.acknowledge(0, 0.0)

    def _send(self, now):
        self._free_at = max(self._free_at, now + self.rtt / 2) + 1 / self.rate
        self.waits.append(self._free_at - now)
        self._acknowledgements.append((self._free_at + self.rtt / 2, self.sender.next_sequence))
        self.sender.keep(b"m" * KIB, now)


@pytest.mark.parametrize("rtt", [0.02, 0.1])
@pytest.mark.parametrize("rate", [61, 610, 6100])
@pytest.mark.volume
def test_nothing_waits_long_on_a_slow_path_and_the_path_is_used(rate, rtt):
    path = Path(rate, rtt).run(SECONDS)
    assert max(path.waits) < 1.0
    assert len(path.waits) > 0.8 * rate * SECONDS
