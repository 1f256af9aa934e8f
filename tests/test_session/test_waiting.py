"""A node that is not connected yet is tried again, for so long, and a signal ends that at once."""

import itertools
import queue
import signal
import time

import pytest

from ssm_plugin.aws.pacer import Pacer
from ssm_plugin.errors import ServiceError, SessionInterrupted, SsmPluginError
from ssm_plugin.session.events import EndRequested
from ssm_plugin.session.starting import EXIT_TIME_UP, wait_for_start
from ssm_plugin.session.waiting import LONGEST, Waiting, may_connect_later, pause_before
from ssm_plugin.terminal.signals import Signalled
from ssm_plugin.transport.worker import WorkerFailed

NOT_CONNECTED = ServiceError("i-1 is not connected", "TargetNotConnected", 400)


class Start:
    """Refused so many times, then started."""

    def __init__(self, refusals, error=NOT_CONNECTED):
        self.calls = 0
        self._refusals = refusals
        self._error = error

    def __call__(self):
        self.calls += 1
        if self.calls > self._refusals:
            return "started"
        raise self._error


class Told:
    """What was told of the waiting; ``on_wait`` may let something happen then."""

    def __init__(self, limit, on_wait=lambda: None):
        self.pauses = []
        self.ended = []
        self._on_wait = on_wait
        self.waiting = Waiting(limit, self._waits, self.ended.append)

    def _waits(self, target, pause, left):
        assert target == "i-1"
        self.pauses.append((pause, left))
        self._on_wait()


class NeverThrottled:
    """A service whose starts take their turns; it is called by ``start`` alone."""

    def __init__(self):
        self.pacer = Pacer()


def wait(start, told, events=None, **options):
    events = events or queue.Queue()
    return wait_for_start(
        NeverThrottled(), start, events, waiting=told.waiting, target="i-1", **options
    )


# --- The schedule


def test_pauses_grow_to_the_longest_and_fill_the_time_exactly():
    left, pauses = 300.0, []
    for attempt in itertools.count(1):
        pause = pause_before(attempt, left)
        if pause is None:
            break
        pauses.append(pause)
        left -= pause
    assert pauses[0] == 1.0
    assert pauses[:-1] == sorted(pauses[:-1])
    assert max(pauses) == LONGEST
    assert sum(pauses) == pytest.approx(300.0)
    assert len(pauses) < 30


def test_no_pause_overflows():
    assert pause_before(100000, 1e9) == LONGEST


@pytest.mark.parametrize("left", [0.0, -1.0])
def test_when_the_time_is_over_there_is_none(left):
    assert pause_before(1, left) is None


def test_only_a_node_that_is_not_connected_is_waited_for():
    assert may_connect_later(NOT_CONNECTED)
    assert not may_connect_later(ServiceError("no", "AccessDeniedException", 400))
    assert not may_connect_later(SsmPluginError("no"))


# --- The waiting


def test_a_node_that_connects_is_used_at_once():
    start, told = Start(1), Told(60.0)
    assert wait(start, told) == "started"
    assert start.calls == 2
    assert told.pauses[0][0] == 1.0
    assert told.pauses[0][1] == pytest.approx(59.0)
    assert told.ended == ["i-1"]


def test_a_node_that_never_connects_is_tried_once_more_at_the_end_of_the_time():
    start, told = Start(99), Told(0.2)
    with pytest.raises(ServiceError, match="i-1 is not connected"):
        wait(start, told)
    assert start.calls == 2
    assert told.pauses == [(pytest.approx(0.2), pytest.approx(0.0))]
    assert told.ended == ["i-1"]


def test_any_other_error_is_raised_at_once():
    start = Start(99, ServiceError("no", "AccessDeniedException", 400))
    with pytest.raises(ServiceError, match="no"):
        wait(start, Told(60.0))
    assert start.calls == 1


@pytest.mark.parametrize(
    "event, status", [(Signalled(signal.SIGINT), 130), (EndRequested(7), 7)]
)
def test_an_event_that_ends_a_start_ends_the_waiting_at_once(event, status, monkeypatch):
    monkeypatch.setattr("ssm_plugin.session.waiting.FIRST", LONGEST)
    events = queue.Queue()
    told = Told(60.0, lambda: events.put(event))
    began = time.monotonic()
    with pytest.raises(SessionInterrupted, match="waiting for i-1 to connect") as caught:
        wait(Start(99), told, events)
    assert caught.value.exit_status == status
    assert time.monotonic() - began < LONGEST / 2
    assert told.ended == ["i-1"]


def test_other_events_do_not():
    events = queue.Queue()
    told = Told(60.0, lambda: events.put(Signalled(signal.SIGWINCH)))
    assert wait(Start(1), told, events) == "started"


def test_a_thread_that_breaks_meanwhile_is_an_error():
    events = queue.Queue()
    told = Told(60.0, lambda: events.put(WorkerFailed("signals", ValueError("broken"))))
    with pytest.raises(SsmPluginError, match="broken"):
        wait(Start(99), told, events)


def test_the_time_limit_of_all_holds_while_waiting_too():
    with pytest.raises(SessionInterrupted) as caught:
        wait(Start(99), Told(60.0), timeout=0.1)
    assert caught.value.exit_status == EXIT_TIME_UP


def test_without_waiting_there_is_one_attempt():
    start = Start(1)
    with pytest.raises(ServiceError):
        wait_for_start(NeverThrottled(), start, queue.Queue())
    assert start.calls == 1
