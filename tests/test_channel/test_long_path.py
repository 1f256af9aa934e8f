"""A sender on a path that is longer than the timeout that it begins with, and loses nothing."""

import heapq

import pytest

from ssm_plugin.channel.congestion import INITIAL_TIMEOUT
from ssm_plugin.channel.outbound import Outbound


class LongPath:
    """Each sending is acknowledged ``rtt`` s later. All is sent that may be; the sender is woken
    when it wants to be."""

    def __init__(self, rtt):
        self.sender = Outbound()
        self.sent = 0
        self.acknowledged = 0
        self._rtt = rtt
        self._acknowledgements = []

    def run(self, seconds):
        now = 0.0
        while now < seconds:
            for _ in range(self.sender.room(now)):
                self._send(b"%d" % self.sender.next_sequence, now)
                self.sender.keep(b"%d" % self.sender.next_sequence, now)
            due_at = self.sender.due_at()
            if due_at is not None and due_at < self._acknowledgements[0][0]:
                now = max(now, due_at)
                resent = self.sender.overdue(now)
            else:
                now, sequence = heapq.heappop(self._acknowledgements)
                self.acknowledged += self.sender.acknowledge(sequence, now)
                resent = self.sender.lost(now)
            for frame in resent:
                self._send(frame, now)
        return self

    def _send(self, frame, now):
        self.sent += 1
        heapq.heappush(self._acknowledgements, (now + self._rtt, int(frame)))


@pytest.mark.parametrize("rtt", [1.01 * INITIAL_TIMEOUT, 0.3, 0.6, 0.95])
@pytest.mark.volume
def test_the_window_opens_as_on_a_short_path(rtt):
    path = LongPath(rtt).run(13 * rtt)
    assert path.acknowledged > 8000
    assert path.sent < 1.05 * path.sender.next_sequence


@pytest.mark.volume
def test_once_the_round_trip_is_known_nothing_is_sent_twice():
    path = LongPath(0.3).run(3.0)
    resends = path.sender.resends
    path.run(9.0)
    assert path.sender.resends == resends
