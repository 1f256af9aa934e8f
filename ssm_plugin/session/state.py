"""The state machine of a session: which status follows which event.

``FAIL`` leads from anywhere but an end to FAILED. The ignored pairs change nothing: ending is
asked for by several parties at once (the service, a signal, the user), and the first one counts.
Any other pair is a mistake in this program.
"""

import enum
from typing import Dict, FrozenSet, Tuple

from ..errors import StateError
from .types import SessionStatus as S


class Event(enum.Enum):
    EXECUTE = "execute"
    CONNECT = "connect"  # a connection is open, and its first message sent
    DISCONNECT = "disconnect"
    TERMINATE = "terminate"
    END = "end"  # everything is closed
    FAIL = "fail"


E = Event

TRANSITIONS: Dict[Tuple[S, Event], S] = {
    (S.CREATED, E.EXECUTE): S.CONNECTING,
    (S.CREATED, E.TERMINATE): S.TERMINATING,
    (S.CONNECTING, E.CONNECT): S.CONNECTED,
    (S.CONNECTING, E.TERMINATE): S.TERMINATING,
    (S.CONNECTED, E.DISCONNECT): S.RESUMING,
    (S.CONNECTED, E.TERMINATE): S.TERMINATING,
    (S.RESUMING, E.CONNECT): S.CONNECTED,
    (S.RESUMING, E.TERMINATE): S.TERMINATING,
    (S.TERMINATING, E.END): S.TERMINATED,
    (S.CREATED, E.FAIL): S.FAILED,
    (S.CONNECTING, E.FAIL): S.FAILED,
    (S.CONNECTED, E.FAIL): S.FAILED,
    (S.RESUMING, E.FAIL): S.FAILED,
    (S.TERMINATING, E.FAIL): S.FAILED,
}

IGNORED: FrozenSet[Tuple[S, Event]] = frozenset(
    {
        (S.TERMINATING, E.TERMINATE),
        (S.TERMINATING, E.DISCONNECT),  # the service hangs up once it knows that we leave
        (S.TERMINATING, E.CONNECT),  # a resumption that was under way
        (S.TERMINATED, E.TERMINATE),
        (S.TERMINATED, E.END),
        (S.TERMINATED, E.FAIL),
        (S.FAILED, E.TERMINATE),
        (S.FAILED, E.END),
        (S.FAILED, E.FAIL),
    }
)


def advance(status: S, event: Event) -> S:
    """The status after ``event``. StateError for what cannot happen; nothing has changed then."""
    if (status, event) in IGNORED:
        return status
    following = TRANSITIONS.get((status, event))
    if following is None:
        raise StateError(
            "a session that is %s cannot %s" % (status.value.lower(), event.value)
        )
    return following
