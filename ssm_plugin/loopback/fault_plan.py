"""What may go wrong on request, and the text that asks for it: ``lose=5%,delay=10%:20ms,seed=7``.

Items are separated by commas. Per message, for both directions or, with ``down.`` (agent to client)
or ``up.`` in front, for one::

    lose  double  reorder  corrupt  no-acknowledge  delay  pause

The others are for the whole session. ``FAULTS`` says what each does and takes.
"""

import re
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from ..errors import UsageError
from ..named_tuple import NamedTuple

DEFAULT_DELAY = 0.02

# For users: one line each.
FAULTS = """\
  lose=A               lose messages
  double=A             send messages twice
  reorder=A            let a message overtake the one before it
  corrupt=A            flip a bit of messages
  no-acknowledge=A     lose acknowledgements only
  delay=A[:D]          keep messages back for D; 20ms without
  pause=[N:]D          pause_publication for D, after N messages of the agent
  silent=[N:]D         the network swallows everything for D, after N messages
  gateway=R[:B[:D]]    pass on R (5Mbit) up, hold B (4MiB), end when full for D
  drop-after=N         reset the client's connection once, after N messages
  drop-every=N         reset each connection after N messages
  bye-after=N          close the client's connection with 1000 Bye, once
  bye-every=N          close each connection so after N messages
  refuse-token[=A]     do not accept the token of a connection
  refuse-upgrade[=A]   answer the WebSocket request with 403
  skip-handshake       the agent begins without its handshake
  force-handshake      the agent begins with it, whatever the session
  lose-channel-closed  the end of the session is not told
  pause-away           the node is told to pause when the client is away
  pace=D               rest for D after each message, commands apart; try 1.2ms
  throttle=[N:]A       look-ups of nodes are throttled, after N of them
  calls=N[:CALL+CALL]  only N calls a second, of all or of these; throttle more
  deny=CALL[+CALL]     no permission for the calls: DescribeInstances and such
  delivery=D           give up a command after D if its node does not answer
  lag=D                a command's invocations cannot be looked up for D
  seed=N               of the random numbers; 0 without

A is a rate (5%, 0.05), a count from the first one on (3), or missing: all. N
is a number of messages, D a duration such as 20ms, 1.5s or 2m. The faults
before pause are for both directions, or with down. (from the node) or up. in
front for one: down.lose=5%.
"""


class Amount(NamedTuple):
    """How many messages are hit: the ``first`` so many, or without it each at ``rate``."""

    rate: float = 0.0
    first: Optional[int] = None


class Period(NamedTuple):
    """``duration`` in seconds, beginning after so many messages."""

    after: int
    duration: float


class GatewayPlan(NamedTuple):
    """A gateway that pauses: ``rate`` in bytes per second, ``buffer`` in bytes, ``patience`` in
    seconds that the buffer may be full."""

    rate: float
    buffer: int = 4 * 1024 * 1024
    patience: float = 60.0


NEVER = Amount()
ALWAYS = Amount(1.0)


class Throttle(NamedTuple):
    """``amount`` of the calls, after so many of them."""

    after: int = 0
    amount: Amount = NEVER


class CallRate(NamedTuple):
    """``rate`` calls a second. ``names`` are the operations that are meant; empty: all."""

    rate: int
    names: Tuple[str, ...] = ()


class DirectionPlan(NamedTuple):
    """``delay_time`` is in seconds."""

    lose: Amount = NEVER
    double: Amount = NEVER
    reorder: Amount = NEVER
    corrupt: Amount = NEVER
    no_acknowledge: Amount = NEVER
    delay: Amount = NEVER
    delay_time: float = DEFAULT_DELAY
    pause: Optional[Period] = None


class FaultPlan(NamedTuple):
    down: DirectionPlan = DirectionPlan()
    up: DirectionPlan = DirectionPlan()
    drop_after: Optional[int] = None
    drop_every: Optional[int] = None
    bye_after: Optional[int] = None
    bye_every: Optional[int] = None
    silent: Optional[Period] = None
    gateway: Optional[GatewayPlan] = None
    refuse_token: Amount = NEVER
    refuse_upgrade: Amount = NEVER
    skip_handshake: bool = False
    force_handshake: bool = False
    lose_channel_closed: bool = False
    pause_away: bool = False
    pace: float = 0.0  # seconds
    throttle: Throttle = Throttle()
    calls: Optional[CallRate] = None
    deny: Tuple[str, ...] = ()
    delivery: Optional[float] = None  # seconds
    lag: float = 0.0  # seconds
    seed: int = 0


def parse_faults(text: str) -> FaultPlan:
    """:class:`UsageError` names the item that cannot be read, and why."""
    fields: Dict[str, Any] = {}
    directions: Dict[str, Dict[str, Any]] = {"down": {}, "up": {}}
    for item in filter(None, (part.strip() for part in text.split(","))):
        scope, name, value = _split(item)
        try:
            if name in _DIRECTION_FIELDS:
                for direction in (scope,) if scope else _default_scope(name):
                    directions[direction].update(_fields(name, _DIRECTION_FIELDS[name](value)))
            elif name in _SESSION_FIELDS and not scope:
                fields.update(_fields(name, _SESSION_FIELDS[name](value)))
            else:
                raise ValueError("known are %s" % ", ".join(_known(scope)))
        except ValueError as error:
            raise UsageError("cannot read fault %r: %s" % (item, error)) from error
    return FaultPlan(
        down=DirectionPlan(**directions["down"]), up=DirectionPlan(**directions["up"]), **fields
    )


def _split(item: str) -> Tuple[str, str, Optional[str]]:
    name, equals, value = item.partition("=")
    scope, dot, rest = name.strip().partition(".")
    if not dot:
        scope, rest = "", scope
    elif scope not in ("down", "up"):
        raise UsageError("cannot read fault %r: the direction is down or up" % item)
    return scope, rest, value.strip() if equals else None


def _fields(name: str, parsed: object) -> Dict[str, Any]:
    return parsed if isinstance(parsed, dict) else {name.replace("-", "_"): parsed}


def _default_scope(name: str) -> Tuple[str, ...]:
    return ("down",) if name == "pause" else ("down", "up")


def _known(scope: str) -> Tuple[str, ...]:
    return tuple(_DIRECTION_FIELDS) + (() if scope else tuple(_SESSION_FIELDS))


def parse_amount(value: Optional[str]) -> Amount:
    if value is None:
        return ALWAYS
    if re.match(r"[0-9]{1,9}\Z", value):
        return Amount(first=int(value))
    matched = re.match(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)(%?)\Z", value)
    if not matched:
        raise ValueError("an amount is a rate such as 5% or 0.05, or a count such as 3")
    rate = float(matched.group(1)) / (100 if matched.group(2) else 1)
    if rate > 1:
        raise ValueError("a rate above 100%")
    return Amount(rate)


def parse_interval(value: Optional[str]) -> float:
    """``20ms``, ``1.5s``, ``2m`` in seconds."""
    matched = re.match(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(ms|s|m)\Z", value or "")
    if not matched:
        raise ValueError("a duration is written 20ms, 1.5s or 2m")
    return float(matched.group(1)) * {"ms": 0.001, "s": 1.0, "m": 60.0}[matched.group(2)]


def _delay(value: Optional[str]) -> Dict[str, Any]:
    amount, colon, interval = (value or "").partition(":")
    fields: Dict[str, Any] = {"delay": parse_amount(amount or None)}
    if colon:
        fields["delay_time"] = parse_interval(interval)
    return fields


def _window(value: Optional[str]) -> Period:
    after, colon, duration = (value or "").rpartition(":")
    return Period(_count(after) if colon else 0, parse_interval(duration))


def parse_gateway(value: Optional[str]) -> GatewayPlan:
    """``500kbit``, ``5Mbit:64KiB``, ``5Mbit:4MiB:60s``."""
    rate, _, rest = (value or "").partition(":")
    buffer, _, patience = rest.partition(":")
    plan = GatewayPlan(_scaled(rate, {"kbit": 125, "Mbit": 125000}, "500kbit or 5Mbit"))
    if buffer:
        plan = plan._replace(buffer=_scaled(buffer, {"KiB": 1 << 10, "MiB": 1 << 20}, "64KiB"))
    return plan._replace(patience=parse_interval(patience)) if patience else plan


def _scaled(value: str, units: Dict[str, int], example: str) -> int:
    matched = re.match(r"([1-9][0-9]{0,5})([A-Za-z]+)\Z", value)
    if not matched or matched.group(2) not in units:
        raise ValueError("an amount is written %s" % example)
    return int(matched.group(1)) * units[matched.group(2)]


def _throttle(value: Optional[str]) -> Throttle:
    after, colon, amount = (value or "").rpartition(":")
    return Throttle(_count(after) if colon else 0, parse_amount(amount or None))


def _call_rate(value: Optional[str]) -> CallRate:
    rate, colon, names = (value or "").partition(":")
    return CallRate(_positive(rate), _calls(names) if colon else ())


def _calls(value: Optional[str]) -> Tuple[str, ...]:
    names = (value or "").split("+")
    if not all(re.match("[A-Z][A-Za-z]{1,60}\\Z", name) for name in names):
        raise ValueError("calls are named as AWS does, with + in between")
    return tuple(names)


def _count(value: Optional[str]) -> int:
    if not re.match(r"[0-9]{1,9}\Z", value or ""):
        raise ValueError("a count is missing or not a whole number")
    return int(value or "")


def _positive(value: Optional[str]) -> int:
    count = _count(value)
    if count == 0:
        raise ValueError("the count must be at least 1")
    return count


def _flag(value: Optional[str]) -> bool:
    if value is not None:
        raise ValueError("it takes no value")
    return True


# What each fault's value becomes: the plan's field of that name, or several by their names.
_DIRECTION_FIELDS: Mapping[str, Callable[[Optional[str]], object]] = {
    "lose": parse_amount,
    "double": parse_amount,
    "reorder": parse_amount,
    "corrupt": parse_amount,
    "no-acknowledge": parse_amount,
    "delay": _delay,
    "pause": _window,
}

_SESSION_FIELDS: Mapping[str, Callable[[Optional[str]], object]] = {
    "drop-after": _positive,
    "drop-every": _positive,
    "bye-after": _positive,
    "bye-every": _positive,
    "silent": _window,
    "gateway": parse_gateway,
    "refuse-token": parse_amount,
    "refuse-upgrade": parse_amount,
    "skip-handshake": _flag,
    "force-handshake": _flag,
    "lose-channel-closed": _flag,
    "pause-away": _flag,
    "pace": parse_interval,
    "throttle": _throttle,
    "calls": _call_rate,
    "deny": _calls,
    "delivery": parse_interval,
    "lag": parse_interval,
    "seed": _count,
}
