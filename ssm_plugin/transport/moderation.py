"""Batches for a reader whose peer sends one message after the other, as network cards moderate
their interrupts.

An agent waits a millisecond after each KiB of output. Each message that is taken by itself wakes
four threads, and that costs more than all that is done with it. So while messages keep coming at
such a pace, the reader lets some milliseconds pass before it looks again, and takes what has come
by then in one batch.

Two things must not wait. A first message, and a few after it, are taken at once: whoever types
gets an acknowledgement and an echo for each key. And what answers something small that we have just
sent is likely to be waited for: a key, a request. For some time after that there are no pauses.
"""

# Seconds between looks. An eye sees no difference; twenty messages of an agent come meanwhile.
PAUSE = 0.03

# Shorter ones are not worth it, in seconds.
SHORTEST = 0.004

# Seconds from one message to the next. Slower ones are not worth a pause.
SLOWEST = 0.004

# Messages: a full receive buffer. Where so many have come in a pause, it was too long, and the next
# one is half as long. Where they come without one, or in the shortest, the peer does not wait
# between them: it was we who held it up. Then there are no pauses for some seconds, as such a peer
# makes batches by itself.
MANY = 45
UNHINDERED = 2.0

# Messages: where no more came in a pause, the next one is twice as long.
FEW_CAME = MANY // 4

# So many takings at an agent's pace in a row are a transfer.
TRANSFER = 16

# Seconds for which an answer may be waited for.
PROMPT = 0.3

# Bytes and messages. So little at once is a key or a request; so many on the way are a transfer.
SMALL = 256
FEW = 32


class Moderator:
    """Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._taken_at = float("-inf")
        self._run = 0
        self._prompt_until = float("-inf")
        self._length = PAUSE
        self._has_paused = False
        self._is_draining = False  # what is taken now came in the pause before

    def sent(self, size: int, under_way: int, now: float) -> bool:
        """Data of ``size`` bytes is sent, while ``under_way`` messages are unacknowledged. Whether
        a pause is to end at once."""
        if size >= SMALL and under_way >= FEW:
            return False
        self._prompt_until = now + PROMPT
        return True

    def pause(self, count: int, now: float) -> float:
        """Seconds to wait before the next look, after ``count`` messages were taken at ``now``."""
        apart = (now - self._taken_at) / count
        self._taken_at = now
        self._run = self._run + 1 if apart <= SLOWEST else 0
        self._learn(count, now)
        self._has_paused = (
            count < MANY and self._run >= TRANSFER and now >= self._prompt_until
        )
        return self._length if self._has_paused else 0.0

    def _learn(self, count: int, now: float) -> None:
        """How long pauses are to be, of what came in the last one."""
        if count < MANY:
            self._is_draining = False
            if self._has_paused and count <= FEW_CAME:
                self._length = min(PAUSE, 2 * self._length)
        elif self._has_paused and self._length > SHORTEST:
            self._length /= 2
            self._is_draining = True
        elif not self._is_draining:
            self._length = PAUSE
            self._prompt_until = max(self._prompt_until, now + UNHINDERED)
