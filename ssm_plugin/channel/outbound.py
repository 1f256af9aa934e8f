"""What we send: numbered, kept until acknowledged, sent again when it seems lost.

A message is kept before it is sent, and leaves only by its acknowledgement. Three things tell of a
loss:

- a message sent later has been acknowledged, and a quarter of a round trip has passed between the
  two sendings (each message has its own acknowledgement, so order tells);
- nothing at all was acknowledged for the retransmission timeout, which is doubled each time, until
  a message that was sent only once is acknowledged;
- the connection was lost.

After a reconnection everything kept is sent again, before anything new. It goes by a window that
begins small: the new path may be slower, and a connection that breaks early takes along the
acknowledgements of a burst. By Karn's rule such a message gives no sample, but its time to the
acknowledgement is at most the round trip, so a long one still shows a queue.

The agent resends only its oldest message, at most one in 100 ms, and never doubles its timeout;
``patient`` gives that behaviour to its stand-in.
"""

from collections import OrderedDict
from typing import List, Optional

from .congestion import (
    AGENTS_WINDOW,
    CEILING,
    INITIAL_WINDOW,
    LONG_QUEUE,
    MAXIMUM_TIMEOUT,
    RoundTripEstimator,
    Window,
)

# Everything overdue goes out, but no more than this at a time: a burst after a stall would be
# followed by the next stall.
RESEND_BURST = 64

# Seconds between two messages that the agent sends again.
AGENTS_PAUSE = 0.1

# Doublings that are enough to make the longest timeout of the shortest one.
_LONGEST_BACKOFF = 128

# Seconds. The message that ends a pause may be lost with its connection, and an acknowledgement
# cannot end it while nothing is in flight.
LONGEST_PAUSE = 5.0

# Bytes that may be kept besides what the window holds. Answers bypass the window: a node that keeps
# asking and acknowledges nothing would make us keep them without end.
_MOST_BESIDES = 4 * 1024 * 1024
_LONGEST_DATA = 1200  # bytes of one message of data

_LONG_AGO = float("-inf")

# AWS's client gives up when the oldest message is unacknowledged for this many seconds.
STALL_LIMIT = 300.0


class Sent:
    __slots__ = ("sequence", "frame", "first_sent_at", "sent_at", "resends")

    def __init__(self, sequence: int, frame: bytes, now: float) -> None:
        self.sequence = sequence
        self.frame = frame
        self.first_sent_at = now
        self.sent_at = now
        self.resends = 0


class Outbound:
    """``window`` is the ceiling in messages, ``pace`` a limit in messages per second, or None."""

    def __init__(
        self, window: int = CEILING, pace: Optional[float] = None, patient: bool = False
    ) -> None:
        self.next_sequence = 0
        self.resends = 0
        self._kept_bytes = 0
        self._most_bytes = window * _LONGEST_DATA + _MOST_BESIDES
        self.rtt = RoundTripEstimator()
        self.window = Window(window, AGENTS_WINDOW if patient else INITIAL_WINDOW)
        self._in_flight: "OrderedDict[int, Sent]" = OrderedDict()  # by time of last sending
        self._waiting: "OrderedDict[int, Sent]" = OrderedDict()  # not sent on this connection yet
        self._shortest = 0.0  # round trip of the connection before, in seconds
        self._longest = 0.0  # what a replayed message takes that was in no long queue; 0: not known
        self._oldest = 0
        self._round_began = _LONG_AGO
        self._quickest = float("inf")  # round trip since then
        self._acknowledged_at = _LONG_AGO
        self._newest_acknowledged = _LONG_AGO  # when it was sent
        self._backoff = 1
        self._alive_since = _LONG_AGO
        self._burst_at = _LONG_AGO
        self._paused_until = _LONG_AGO
        self._pace = _Pace(pace) if pace else None
        self._patient = patient

    def __len__(self) -> int:
        return len(self._in_flight) + len(self._waiting)

    @property
    def is_overfull(self) -> bool:
        """Whether more is kept than can be needed."""
        return self._kept_bytes > self._most_bytes

    def room(self, now: float) -> int:
        """How many new messages may be sent now."""
        if now < self._paused_until:
            return 0
        room = int(self.window.size) - len(self)
        if self._pace:
            room = min(room, self._pace.allowance(now))
        return max(room, 0)

    def pause(self, now: float) -> None:
        """The service asks for less. What is kept stays, and is still resent."""
        self._paused_until = now + LONGEST_PAUSE
        self.window.halve(now, now)

    def end_pause(self) -> None:
        self._paused_until = _LONG_AGO

    def keep(self, frame: bytes, now: float) -> None:
        """Take the message numbered ``next_sequence``, which is about to be sent."""
        sequence = self.next_sequence
        self._in_flight[sequence] = Sent(sequence, frame, now)
        self._kept_bytes += len(frame)
        self.next_sequence = sequence + 1
        if self._pace:
            self._pace.spend()

    def acknowledge(self, sequence: int, now: float) -> bool:
        """Retire a message, which ends a pause too. False if it was not waiting."""
        sent = self._in_flight.pop(sequence, None)
        if sent is None:
            return self._retire_waiting(sequence)
        self._kept_bytes -= len(sent.frame)
        sent_at = sent.sent_at
        elapsed = now - sent_at
        if not sent.resends:
            self._backoff = 1
            if elapsed < self._quickest:
                self._quickest = elapsed
            if sent_at >= self._round_began:
                self._end_round(elapsed, now)
            else:
                self.window.acknowledged(elapsed)
        elif self._waiting:
            self._replay_acknowledged(elapsed)
        # What comes faster than any round trip is the answer to an earlier sending.
        if sent_at > self._newest_acknowledged and elapsed >= self.rtt.minimum:
            self._newest_acknowledged = sent_at
        self._acknowledged_at = now
        self._paused_until = _LONG_AGO
        return True

    def lost(self, now: float) -> List[bytes]:
        """Messages that later acknowledgements show to be lost, to be sent again at once."""
        if self._patient:
            return []
        reordering = max(self.rtt.minimum, 0.001) / 4
        return self._resend(self._newest_acknowledged - reordering, now)

    def released(self, now: float) -> List[bytes]:
        """Messages that waited for a new connection's window, and for which there is room now."""
        frames: List[bytes] = []
        while self._waiting and (self._patient or len(self._in_flight) < int(self.window.size)):
            sequence, sent = self._waiting.popitem(last=False)
            self._in_flight[sequence] = sent
            frames.append(self._again(sent, now))
        return frames

    def overdue(self, now: float) -> List[bytes]:
        """Messages whose timeout has passed, to be sent again."""
        head = self._head()
        if head is None or now < self._due(head):
            return []
        if self.rtt.smoothed:  # else the timeout is a guess: a long way is no reason to send less
            self.window.halve(head.sent_at, now)
        # The head in any case: rounding can make it seem younger than the timeout.
        frames = self._resend(max(head.sent_at, now - self._timeout()), now)
        if not self._patient:
            self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
        self._burst_at = now
        return frames

    def replay(self, now: float) -> List[bytes]:
        """Everything kept is to be sent again, in order, over a new connection: what of it may go
        at once. The rest follows by :meth:`released`."""
        self._alive_since = now
        self._backoff = 1
        self.end_pause()
        kept = sorted(list(self._in_flight.items()) + list(self._waiting.items()))
        self._in_flight.clear()
        self._waiting = OrderedDict(kept)
        if not self._patient:
            self.window.restart()
        self._longest = 0.0
        if self.rtt.minimum < float("inf"):
            self._shortest = self.rtt.minimum
        self.rtt.forget_path()
        return self.released(now)

    def forget_round_trips(self) -> None:
        """The path has changed: earlier round trips say nothing about later ones."""
        self.rtt = RoundTripEstimator()
        self._round_began = _LONG_AGO
        self._quickest = float("inf")

    def excuse(self, now: float) -> None:
        """No acknowledgement could arrive before ``now``, so its absence until then does not
        count."""
        self._alive_since = now

    def due_at(self) -> Optional[float]:
        """When :meth:`overdue` has something to say, if no acknowledgement comes."""
        head = self._head()
        return None if head is None else self._due(head)

    def paced_until(self, now: float) -> Optional[float]:
        """When a pause or the pace allows the next message, if one of them forbids it now."""
        if now < self._paused_until:
            return self._paused_until
        return self._pace.ready_at(now) if self._pace else None

    def stalled_at(self) -> Optional[float]:
        """When the oldest message will have waited too long on a living connection."""
        if not len(self):
            return None
        while True:
            oldest = self._in_flight.get(self._oldest) or self._waiting.get(self._oldest)
            if oldest is not None:
                break
            self._oldest += 1
        return max(oldest.first_sent_at, self._alive_since) + STALL_LIMIT

    def _retire_waiting(self, sequence: int) -> bool:
        """The other end had got it before the connection was lost, and says so now."""
        sent = self._waiting.pop(sequence, None)
        if sent is None:
            return False
        self._kept_bytes -= len(sent.frame)
        return True

    def _replay_acknowledged(self, elapsed: float) -> None:
        """One of a new connection's first messages is acknowledged: the window grows by it, unless
        it has waited in a long queue. The first of them may show a longer way than before."""
        if not self._longest:
            self._longest = max(self._shortest, elapsed) + LONG_QUEUE
        if elapsed <= self._longest:
            self.window.replayed()

    def _end_round(self, elapsed: float, now: float) -> None:
        """What was sent since the last round ended is being acknowledged: a round trip has passed.

        One sample of each: a thousand messages share one, and as many samples would make the
        timeout forget all that happened before.
        """
        self.rtt.sample(elapsed)
        self.rtt.minimum = min(self.rtt.minimum, self._quickest)
        self.window.round_passed(
            len(self._in_flight), elapsed, self._quickest, self.rtt.minimum
        )
        self._round_began = now
        self._quickest = float("inf")

    def _head(self) -> Optional[Sent]:
        if self._patient:
            self.stalled_at()
            return self._in_flight.get(self._oldest)
        return next(iter(self._in_flight.values()), None)

    def _timeout(self) -> float:
        return min(self.rtt.timeout * self._backoff, MAXIMUM_TIMEOUT)

    def _due(self, head: Sent) -> float:
        # While others are acknowledged, a message that waits long is in a queue, or lost() finds
        # it; the agent's side has no lost(). A burst leaves the rest overdue: they follow a round
        # trip later, not at once.
        quiet_since = head.sent_at if self._patient else max(head.sent_at, self._acknowledged_at)
        pause = AGENTS_PAUSE if self._patient else self.rtt.smoothed
        return max(quiet_since + self._timeout(), self._burst_at + pause)

    def _resend(self, sent_before: float, now: float) -> List[bytes]:
        frames: List[bytes] = []
        limit = 1 if self._patient else RESEND_BURST
        while len(frames) < limit:
            head = self._head()
            if head is None or head.sent_at > sent_before:
                break
            frames.append(self._again(head, now))
        return frames

    def _again(self, sent: Sent, now: float) -> bytes:
        self._in_flight.move_to_end(sent.sequence)
        sent.sent_at = now
        sent.resends += 1
        self.resends += 1
        return sent.frame


class _Pace:
    """A token bucket of a tenth of a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._depth = max(1.0, rate / 10)
        self._tokens = self._depth
        self._counted_at: Optional[float] = None

    def allowance(self, now: float) -> int:
        if self._counted_at is not None:
            self._tokens = min(
                self._depth, self._tokens + (now - self._counted_at) * self._rate
            )
        self._counted_at = now
        return int(self._tokens)

    def spend(self) -> None:
        self._tokens -= 1

    def ready_at(self, now: float) -> Optional[float]:
        return now + (1 - self._tokens) / self._rate if self.allowance(now) < 1 else None
