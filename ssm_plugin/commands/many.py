"""What the commands share that work on one or many targets."""

import argparse
from contextlib import contextmanager
from typing import Callable, Iterator

from ..terminal.signals import Signalled
from ..transport.worker import WorkerFailed
from .foreground import signals_into
from .parent import parent_watch


def positive(text: str) -> int:
    """Of an option: how many."""
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise argparse.ArgumentTypeError("%r is not a number from 1 to 1000" % text[:20])
    return int(text)


@contextmanager
def signals_and_parent(
    tell: Callable[[Signalled], object], failed: Callable[[WorkerFailed], object]
) -> Iterator[None]:
    """``tell`` gets the signals while commands run. The handlers are restored before the results
    are written: a signal then ends the program as usual."""
    with signals_into(tell, failed), parent_watch(tell, failed):
        yield
