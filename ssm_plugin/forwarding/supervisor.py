"""Several tunnels of one command, watched from the main thread until the last one has ended.

Tunnels and signals put what happens into one queue; whatever is written or told goes out from here.
"""

import queue
import signal
import time
from collections import Counter
from typing import Callable, Dict, Optional, Sequence, Set, Union

from .. import masking
from ..display import encoded, json_line, shown
from ..errors import LocalError, SsmPluginError
from ..named_tuple import NamedTuple
from ..session.lifecycle import EXIT_LOST
from ..session.notices import TERMINATE_SIGNAL
from ..session.streams import EXIT_OUTPUT_GONE, OutputGone, write_all
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..transport.worker import Worker, WorkerFailed
from . import reports
from .readiness import ReadyFile, Systemd
from .reports import LocalAddress, Notice, Report, ReportedTunnel
from .tunnel import LEAVE_LIMIT, Tunnel

# Pieces that may wait for a slow reader. What comes beyond that is lost.
WRITER_LIMIT = 10000


class OutputClosed(NamedTuple):
    """The event: nobody will read ``fd`` any more; or, with ``error``, it takes no more."""

    fd: int
    error: Optional[LocalError] = None


class BackgroundWriter:
    """Writes to standard output or error in a thread of its own: whoever does not read them holds
    up nothing but what they would have read."""

    def __init__(
        self, fd: int, tell: Callable[[Union[OutputClosed, WorkerFailed]], object]
    ) -> None:
        self._fd = fd
        self._tell = tell
        self._closing = False
        self._waiting: "queue.Queue[Optional[bytes]]" = queue.Queue(WRITER_LIMIT)
        self._worker = Worker("output %d" % fd, self._run, tell)
        self._worker.start()

    def write(self, data: bytes) -> None:
        try:
            self._waiting.put_nowait(data)
        except queue.Full:
            pass  # it is lost: see WRITER_LIMIT

    def close(self, seconds: float) -> None:
        """Write the rest; leave after so many seconds even if it is not all out."""
        self._closing = True
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            pass  # the writer is awake: its queue is full
        self._worker.join(seconds)

    def _run(self) -> None:
        gone = False
        while not (self._closing and self._waiting.empty()):
            data = self._waiting.get()
            if data is None or gone:
                continue
            try:
                write_all(self._fd, data)
            except (OutputGone, LocalError) as error:
                gone = True
                why = error if isinstance(error, LocalError) else None
                self._tell(OutputClosed(self._fd, why))


# Seconds for whoever reads our output to take the last lines.
LAST_LINES_LIMIT = 0.5

STDOUT, STDERR = 1, 2

SupervisorEvent = Union[Report, Notice, Signalled, OutputClosed, WorkerFailed]


class Supervisor:
    """``events`` is the queue that the tunnels report to, and that signals come into."""

    def __init__(
        self,
        tunnels: Sequence[Tunnel],
        events: "queue.Queue[SupervisorEvent]",
        ready_file: ReadyFile,
        systemd: Systemd,
        as_json: bool = False,
        quiet: bool = False,
    ) -> None:
        self._tunnels = list(tunnels)
        self._events = events
        self._ready_file = ready_file
        self._systemd = systemd
        self._as_json = as_json
        self._quiet = quiet
        self._opened: Set[ReportedTunnel] = set()  # those that were ready, if only once
        self._states: Dict[ReportedTunnel, str] = {}  # the kind of the last report that changed it
        self._ended: Dict[ReportedTunnel, int] = {}
        self._status: Optional[int] = None  # once we are leaving
        self._error: Optional[BaseException] = None
        self._leave_at = float("inf")
        self._stdout = BackgroundWriter(STDOUT, events.put)
        self._stderr = BackgroundWriter(STDERR, events.put)

    def run(self) -> int:
        """Run until all tunnels have ended. Returns the exit status; raises the first error that
        ended one."""
        try:
            for tunnel in self._tunnels:
                tunnel.start()
            self._watch()
            self._leave(max(self._ended.values(), default=EXIT_LOST))
        finally:
            self._leave(EXIT_LOST)
            self._ready_file.remove()
            for tunnel in self._tunnels:
                tunnel.join(max(0.0, self._leave_at - time.monotonic()))
            ends_at = time.monotonic() + LAST_LINES_LIMIT
            for writer in (self._stdout, self._stderr):
                writer.close(ends_at - time.monotonic())
        if self._error is not None:
            raise self._error
        assert self._status is not None
        return self._status

    def _watch(self) -> None:
        while len(self._ended) < len(self._tunnels):
            left = self._leave_at - time.monotonic()
            try:
                event = self._events.get(timeout=None if left == float("inf") else max(0.0, left))
            except queue.Empty:
                return  # not all in time: their threads end with us
            self._handle(event)

    def _handle(self, event: SupervisorEvent) -> None:
        if isinstance(event, Report):
            self._handle_report(event)
        elif isinstance(event, Notice):
            self._say(event.text)
        elif isinstance(event, Signalled):
            self._signalled(event.signum)
        elif isinstance(event, OutputClosed):
            # A tunnel goes on when its terminal is closed.
            if event.fd == STDOUT and event.error is not None:
                self._fail(event.error)
            elif event.fd == STDOUT:
                self._leave(EXIT_OUTPUT_GONE)
        elif isinstance(event, WorkerFailed):
            self._fail(event.as_error())

    def _signalled(self, signum: int) -> None:
        if signum in ENDING_SIGNALS:
            if self._status is None:
                self._say(TERMINATE_SIGNAL)
            self._leave(128 + signum)
        elif signum == signal.SIGUSR1:
            now = time.monotonic()
            for one in self._tunnels:
                self._complain("ssm-plugin: %s\n" % shown(one.state(now)))

    def _handle_report(self, report: Report) -> None:
        tunnel, kind = report.tunnel, report.kind
        if kind != reports.CONNECTION and (kind != reports.ERROR or report.retry_in is not None):
            self._states[tunnel] = kind
        if kind in (reports.READY, reports.RECONNECTED):
            self._say(shown("%s leads to %s." % (tunnel.address, tunnel.destination)) + "\n")
        elif kind == reports.ENDED:
            self._ended[tunnel] = report.status
            if report.error is not None:
                self._fail(report.error)
        if self._as_json:
            self._print(report)
        if kind in (reports.ERROR, reports.LOST):
            self._complain("ssm-plugin: %s\n" % shown(_explained(report)))
        if kind != reports.CONNECTION:
            self._tell_readiness(report)

    def _tell_readiness(self, report: Report) -> None:
        counts = Counter(self._states.values())
        up, lost = counts[reports.READY] + counts[reports.RECONNECTED], counts[reports.LOST]
        status = "%d of %d tunnels open" % (up, len(self._tunnels))
        if lost:
            status += ", %d lost and being resumed" % lost
        if report.kind != reports.READY:
            self._systemd.status(status)
            return
        self._opened.add(report.tunnel)
        if len(self._opened) == len(self._tunnels) and self._status is None:
            try:
                self._ready_file.write([str(tunnel.address) for tunnel in self._tunnels])
            except SsmPluginError as error:
                self._fail(error)
                return
            self._systemd.ready(status)

    def _fail(self, error: BaseException) -> None:
        if self._error is None and self._status is None:
            self._error = error
        self._leave(EXIT_LOST)

    def _leave(self, status: int) -> None:
        if self._status is not None:
            return
        self._status = status
        self._leave_at = time.monotonic() + LEAVE_LIMIT
        self._systemd.stopping()
        for tunnel in self._tunnels:
            tunnel.stop(status)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._complain(text)

    def _complain(self, text: str) -> None:
        self._stderr.write(encoded(masking.mask(text)))

    def _print(self, report: Report) -> None:
        line = json_line(as_object(report, time.time()))
        self._stdout.write(masking.mask(line).encode("ascii"))


def as_object(report: Report, now: float) -> Dict[str, object]:
    """What ``--json`` shows of it. ``now`` is the time of day."""
    tunnel = report.tunnel
    tcp = isinstance(tunnel.address, LocalAddress)
    parameters = tunnel.request.parameters
    fields: Dict[str, object] = {
        "event": report.kind,
        "time": round(now, 3),
        "local": str(tunnel.address),
        "port": tunnel.local_end.port if tcp else None,
        "target": tunnel.request.target,
        "host": parameters.get("host", [None])[0],
        "remote_port": int(parameters["portNumber"][0]),
    }
    if report.session_id:
        fields["session_id"] = report.session_id
    if report.kind == reports.CONNECTION:
        fields["number"] = report.number
    elif report.kind == reports.LOST:
        fields["message"] = report.message
    elif report.kind == reports.ERROR:
        fields.update(message=report.message, retry_in=report.retry_in)
    elif report.kind == reports.ENDED:
        fields.update(status=report.status, message=str(report.error) if report.error else "")
    return fields


def _explained(report: Report) -> str:
    if report.kind == reports.LOST:
        return (
            "%s: the connection to the service was lost and is being resumed: %s; new connections "
            "wait up to %g s for it, and are reset then"
            % (report.tunnel.address, report.message, report.tunnel.patience)
        )
    if report.retry_in is None:
        return "%s: %s" % (report.tunnel.address, report.message)
    return "%s: %s; the local end stays open, and a new session is started%s" % (
        report.tunnel.address,
        report.message,
        " in %.1f s" % report.retry_in if report.retry_in else "",
    )
