"""Durations, sizes and speeds as people write them."""

import re

from .errors import UsageError

# ``socket.settimeout`` overflows beyond 2**31 ms, which is 24.8 days.
MAX_DURATION = 20 * 86400.0

SPEEDS = PLAIN, AUTO, FAST = "plain", "auto", "fast"


def shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def counted(number: int, what: str) -> str:
    """``1 job``, ``2 jobs``."""
    return "%d %s%s" % (number, what, "" if number == 1 else "s")


def check_seconds(**given: object) -> None:
    """Of arguments in a program. :raises UsageError: if one is no number, or beyond
    ``MAX_DURATION``"""
    for name, value in given.items():
        if value is not None and not isinstance(value, (int, float)):
            raise UsageError("%s is a number of seconds, not %r" % (name, value))
        if value is not None and not value <= MAX_DURATION:  # which is so for NaN, too
            raise UsageError("%s is at most %d seconds, not %r" % (name, MAX_DURATION, value))


def check_speed(speed: str) -> str:
    """Of an argument in a program: itself. :raises UsageError: if it is none of them"""
    if speed not in SPEEDS:
        raise UsageError("%r is not a speed: it is one of %s" % (speed, ", ".join(SPEEDS)))
    return speed


def parse_duration(text: str) -> float:
    """``20s``, ``15m``, ``1h30m``, ``500ms``, ``2d`` or plain seconds -> seconds.

    :raises UsageError: if it is none of these, or beyond ``MAX_DURATION``
    """
    match = re.match(_DURATION, text)
    if not match:
        raise UsageError("%s is not a duration, such as 20s, 15m or 1h30m" % shortened(text))
    units = (86400.0, 3600.0, 60.0, 1.0, 0.001, 1.0)
    seconds = sum(float(n) * unit for n, unit in zip(match.groups(), units) if n)
    if seconds > MAX_DURATION:
        raise UsageError("%s is too long: 20d is the limit" % shortened(text))
    return seconds


def parse_period(text: str) -> float:
    """As :func:`parse_duration`. :raises UsageError: also for none at all"""
    seconds = parse_duration(text)
    if not seconds:
        raise UsageError("it must be more than 0")
    return seconds


def parse_size(text: str) -> int:
    """``10MB`` (powers of 1000), ``10MiB`` (powers of 1024) or plain bytes -> bytes.

    :raises UsageError: if it is none of these
    """
    match = re.match(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(?:([KMGT]?)(I?)B)?\Z", text.upper())
    if not match or (match.group(3) and not match.group(2)):
        raise UsageError("%s is not a size, such as 10MB or 64KiB" % shortened(text))
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix or " "))


_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)"
_DURATION = r"(?=[0-9])(?:{0}d)?(?:{0}h)?(?:{0}m(?!s))?(?:{0}s)?(?:{0}ms)?\Z|{0}\Z".format(_NUMBER)
