"""Delays between attempts to reconnect."""

from typing import TYPE_CHECKING, Iterator, Optional

if TYPE_CHECKING:
    import random

FIRST = 0.5  # s
LONGEST = 30.0


def delays(source: "Optional[random.Random]" = None) -> Iterator[float]:
    """Seconds, for ever: nothing before the first attempt, then doubled from :data:`FIRST` up to
    :data:`LONGEST`, each a random part (a half to the whole) of that, so that the clients that one
    gateway dropped at the same moment do not come back at the same moment."""
    import random  # takes long to load; most connections are never lost

    generator = source or random.Random()
    yield 0.0
    longest = FIRST
    while True:
        yield longest * generator.uniform(0.5, 1.0)
        longest = min(2 * longest, LONGEST)
