"""A sender on a path that passes on only so much, with a long queue in front of it."""

from collections import deque

import pytest

from ssm_plugin.channel.outbound import Outbound

SECONDS = 20.0


class Path:
    """Passes on ``rate`` messages a second, ``rtt`` seconds away. Sends all that it may."""

    def __init__(self, rate, rtt):
        self.sender = Outbound()
        self.rate = rate
        self.rtt = rtt
        self.waits = []
        self.now = 0.0
        self._free_at = 0.0
        self._acknowledgements = deque()
        self._exchange_one()

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            for _ in range(self.sender.room(self.now)):
                self._send(b"%d" % self.sender.next_sequence)
                self.sender.keep(b"%d" % self.sender.next_sequence, self.now)
            self.now, sequence = self._acknowledgements.popleft()
            self.sender.acknowledge(sequence, self.now)
            for frame in self.sender.released(self.now):
                self._send(frame)
        return self

    def lose(self, rate, rtt):
        """The connection is lost with all that is on its way. The next one is this fast."""
        self.rate = rate
        self.rtt = rtt
        self.waits = []
        self._free_at = self.now
        self._acknowledgements.clear()
        for frame in self.sender.replay(self.now):
            self._send(frame)

    def _exchange_one(self):
        """The handshake shows how far it is."""
        self.sender.keep(b"0", -self.rtt)
        self.sender.acknowledge(0, 0.0)

    def _send(self, frame):
        self._free_at = max(self._free_at, self.now + self.rtt / 2) + 1 / self.rate
        self.waits.append(self._free_at - self.now)
        self._acknowledgements.append((self._free_at + self.rtt / 2, int(frame)))


@pytest.mark.parametrize("rtt", [0.02, 0.1])
@pytest.mark.parametrize("rate", [61, 610, 6100])
@pytest.mark.volume
def test_nothing_waits_long_on_a_slow_path_and_the_path_is_used(rate, rtt):
    path = Path(rate, rtt).run(SECONDS)
    assert max(path.waits) < 1.0
    assert len(path.waits) > 0.8 * rate * SECONDS


@pytest.mark.parametrize("rate, rtt", [(61, 0.02), (61, 0.6), (610, 0.1), (6100, 0.1)])
@pytest.mark.volume
def test_nothing_waits_long_after_a_loss_that_leads_to_a_slower_path(rate, rtt):
    path = Path(20000, 0.1).run(2.0)
    kept = len(path.sender)
    path.lose(rate, rtt)
    path.run(SECONDS)
    assert max(path.waits) < 1.0 + rtt
    assert len(path.waits) > min(0.8 * rate * SECONDS, kept)


@pytest.mark.volume
def test_what_a_good_path_held_is_there_again_soon_after_a_loss():
    path = Path(20000, 0.1).run(2.0)
    kept = len(path.sender)
    path.lose(20000, 0.1)
    path.run(1.5)
    assert len(path.waits) > 2 * kept > 2000
