"""Local input on its way to a shell: from a pipe or a file as it comes, from a terminal as keys."""

import queue
from typing import Callable, List, Optional

from ..errors import SessionLost
from ..session.events import RunnerEvent
from ..session.session import Session
from ..terminal.escapes import Action, End, EscapeFilter, Help, Send
from ..transport.worker import Worker

# Blocks; b"" is the end of the input, None that nobody wants it any more.
Read = Callable[[], Optional[bytes]]

# Reads of the terminal that may wait for the channel to take them. A terminal gives at most 4 KiB
# with each.
TYPE_AHEAD = 256

_LINE_ENDS = (b"\n", b"\r", b"\x04")


class InputEnded(RunnerEvent):
    """Local input is over. ``line_open`` if it did not end in a line end."""

    def __init__(self, line_open: bool) -> None:
        self.line_open = line_open


class HelpWanted(RunnerEvent):
    """The user has typed ``~?``."""


class SuspensionWanted(RunnerEvent):
    """The user has typed ``~^Z``."""


class InputPump:
    """Sends what it reads; reads no more while the channel has no room."""

    def __init__(self, session: Session, read: Read) -> None:
        self._session = session
        self._read = read
        self._line_open = False

    def run(self) -> None:
        try:
            data = self._read()
            while data:
                self._session.channel.send_input_data(data)
                self._line_open = data[-1:] not in _LINE_ENDS
                data = self._read()
            if data is not None:
                self._session.tell(InputEnded(self._line_open))
        except SessionLost:
            pass  # the session ended with input unsent; it says so itself

    def stop(self) -> None:
        """What reads has been woken already."""


class KeyPump(InputPump):
    """Looks for escape sequences, and goes on doing so while the channel takes nothing: a
    connection that is dead or stuck is what ``~.`` is for. So what it reads goes through a queue to
    a thread that sends it."""

    def __init__(self, session: Session, read: Read) -> None:
        self._keys: "queue.Queue[Optional[bytes]]" = queue.Queue(TYPE_AHEAD)
        super().__init__(session, self._keys.get)
        self._read_keys = read
        self._escapes = EscapeFilter()
        self._stopped = False
        self._sender = Worker("keys", super().run, session.events.put)

    def run(self) -> None:
        self._sender.start()
        data = self._read_keys()
        while data:
            for action in self._escapes.feed(data):
                self._act(action)
            data = self._read_keys()
        self._take(self._escapes.finish())
        self._keys.put(data)

    def stop(self) -> None:
        """Wake both threads: one may wait for room in the queue, the other for keys in it."""
        self._stopped = True
        try:
            while True:
                self._keys.get_nowait()
        except queue.Empty:
            self._keys.put(None)

    def _act(self, action: Action) -> None:
        if isinstance(action, End):
            self._session.leave_soon(0)  # it may be stuck in writing to something that nobody reads
            self._session.end(0)
        elif isinstance(action, Send):
            self._take([action])
        else:
            wanted = HelpWanted() if isinstance(action, Help) else SuspensionWanted()
            self._session.tell(wanted)

    def _take(self, sends: List[Action]) -> None:
        for send in sends:
            assert isinstance(send, Send)
            if not self._stopped:
                self._keys.put(send.data)
