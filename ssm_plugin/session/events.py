"""What can happen to a session, as one closed union: everything arrives in its queue."""

from typing import TYPE_CHECKING, Callable, Optional, Union

from ..channel.events import (
    Acknowledged,
    ChannelClosed,
    KeyRequested,
    Output,
    Started,
    Terminating,
)
from ..named_tuple import NamedTuple
from ..terminal.signals import Signalled
from ..transport.data_channel import ChannelEvent, Disconnected
from ..transport.spill import Spilled

if TYPE_CHECKING:
    from ..aws.client import DataKey, StartedSession


class StartAnswered(NamedTuple):
    """StartSession has made a session."""

    started: "StartedSession"


class StartFailed(NamedTuple):
    """StartSession has made none, or nobody knows whether it has."""

    error: BaseException


class Opened(NamedTuple):
    """The data channel is open for the first time."""


class OpenFailed(NamedTuple):
    """It could not be opened."""

    error: BaseException


class Paused(NamedTuple):
    """The connection was lost and is being resumed."""


class Resumed(NamedTuple):
    """Another connection was made, and nothing was lost."""


class NotResumed(NamedTuple):
    """No other connection can be made, for this reason."""

    error: BaseException


class FoundOver(NamedTuple):
    """The service says, when asked, that the session is over."""


class FoundAlive(NamedTuple):
    """The service says, when asked, that the session goes on; or it did not say, by this error."""

    error: Optional[BaseException]


class KeyReady(NamedTuple):
    """KMS has made the data key that the node wanted."""

    key: "DataKey"


class KeyFailed(NamedTuple):
    """There is no data key."""

    error: BaseException


class EndRequested(NamedTuple):
    """End with this exit status. ``line`` is a notice in place of the usual one, or "" for none."""

    status: int
    line: Optional[str] = None


class RunnerEvent:
    """Base of the events by which a runner's own threads, or its owner, call ``IRunner.event``."""


OpeningEvent = Union[Started, KeyRequested, KeyReady, KeyFailed]
ConnectionEvent = Union[Opened, OpenFailed, Disconnected, Paused, Resumed, NotResumed]
SessionEvent = Union[
    ChannelEvent,
    OpeningEvent,
    ConnectionEvent,
    StartAnswered,
    StartFailed,
    FoundOver,
    FoundAlive,
    Signalled,
    EndRequested,
    RunnerEvent,
]

# These show that there is, or was, a connection, even if ``Opened`` has not arrived yet.
SHOWS_CONNECTION = (
    Output, Spilled, Started, KeyRequested, Acknowledged, ChannelClosed, Terminating, Disconnected
)

Tell = Callable[[SessionEvent], object]
