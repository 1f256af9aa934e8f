"""From a lost connection to the next one, in a thread of its own.

The session's thread may be stuck in writing output to a slow reader, and the node does not wait for
that: it gives the last output of a command four seconds to be acknowledged. So this thread resumes,
and the session's thread reads the result from its queue.
"""

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Optional, Union

from ..aws.service_errors import may_heal
from ..errors import SessionLost, SsmPluginError
from ..transport.data_channel import ChannelEvent, Disconnected
from ..transport.worker import Worker, WorkerFailed
from .connector import Connector, OwnDataChannel
from .events import FoundOver, NotResumed, Paused, Resumed, Tell
from .lifecycle import Lifecycle

if TYPE_CHECKING:
    from ..transport.websocket import WebSocketConnection


class Resumption:
    """``tell`` gets ``Paused``, and then ``Resumed``, ``NotResumed`` or ``FoundOver``. ``changed``
    is called after each change of the lifecycle. Both happen in the thread that resumes.

    Attributes:
        channel: the session's data channel; None for a foreign one, which cannot be resumed
    """

    channel: Optional[OwnDataChannel] = None

    def __init__(
        self,
        lifecycle: Lifecycle,
        connector: Connector,
        tell: Tell,
        changed: Callable[[], None],
    ) -> None:
        self._lifecycle = lifecycle
        self._connector = connector
        self._tell = tell
        self._changed = changed
        self._closed = threading.Event()

    def told(self, event: ChannelEvent) -> None:
        """For the channel, from any of its threads. Every event goes into the session's queue,
        except a loss that can be resumed at once."""
        if not isinstance(event, Disconnected) or self.obstacle:
            self._tell(event)
        elif not self._lifecycle.was_connected:
            self._tell(event)  # ``Opened`` is still in the queue: the loss waits behind it
        else:
            self.begin(event)

    @property
    def obstacle(self) -> str:
        """Why a lost connection cannot be resumed; empty if that can be tried."""
        if self.channel is None:
            return "its data channel cannot be resumed"
        return self._connector.why_not_resumable()

    def begin(self, loss: Disconnected) -> None:
        """From any thread; returns at once. LocalError if there are no more threads."""
        Worker("resume", lambda: self._resume(loss), self._tell_end).start()

    def close(self) -> None:
        """The session ends: try no more. What is being tried is the connector's to break off."""
        self._closed.set()

    def _resume(self, loss: Disconnected) -> None:
        channel = self.channel
        assert channel is not None, "there is no obstacle"
        self._lifecycle.lost(time.monotonic(), channel.progress, loss.error)
        self._changed()
        self._tell(Paused())
        error = loss.error
        while not self._lifecycle.is_ending:
            retry_at = self._lifecycle.retry_at
            if retry_at is None:
                self._tell_end(NotResumed(error))
                return
            if self._closed.wait(max(0.0, retry_at - time.monotonic())):
                return
            try:
                connection = self._connector.resume()
            except SsmPluginError as failure:
                error = failure
                if not may_heal(error):
                    self._tell_end(NotResumed(error))
                    return
                self._lifecycle.attempt_failed(time.monotonic(), error)
            else:
                self._use(channel, connection)
                return

    def _use(self, channel: OwnDataChannel, connection: "Optional[WebSocketConnection]") -> None:
        if connection is None:
            self._tell_end(FoundOver())
        elif self._lifecycle.connected(time.monotonic(), channel.progress):
            self._connector.taken()
            self._changed()
            self._tell(Resumed())
            # Last of all: it may bring something at once, or be lost, and another thread goes on.
            with suppress(SessionLost):  # the channel was closed meanwhile, and closes this one
                channel.attach(connection)

    def _tell_end(self, event: Union[NotResumed, FoundOver, WorkerFailed]) -> None:
        """The event waits behind earlier output, however slow its reader is: so the time limit of
        the attempts is cancelled first."""
        self._lifecycle.tried()
        self._tell(event)
