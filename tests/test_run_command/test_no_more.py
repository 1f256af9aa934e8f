"""What Run Command still sends, and what the rest is told, once no more is to be started."""

import queue
import signal
import threading

import pytest

from ssm_plugin.fleet_plan import ErrorLimit, FleetPlan
from ssm_plugin.run_command import supervision
from ssm_plugin.run_command.events import CallEvent, NotSent, OutputCame
from ssm_plugin.terminal.signals import Signalled
from tests.support.nodes import ALONE, WEB, many, service_with

from .helpers import Ran, run_command

FIRST_FAILS = ("sh", "-c", '[ "$AWS_SSM_INSTANCE_ID" != "$0" ] || exit 5', many(1)[0].node_id)


@pytest.fixture
def waits_for_ever(monkeypatch):
    """Who does not leave because all have their results never leaves after a signal."""
    monkeypatch.setattr(supervision, "LEAVE_LIMIT", 3600.0)


def is_told(event, kind):
    return isinstance(event, CallEvent) and isinstance(event.told, kind)


class AfterAnEnd(queue.Queue):
    """The ``number``-th event of that kind comes only after a node has ended."""

    def __init__(self, kind, number):
        super().__init__()
        self._kind, self._number = kind, number
        self._has_ended = threading.Event()

    def put(self, event, *options):
        if is_told(event, self._kind):
            self._number -= 1
            if self._number == 0:
                self._has_ended.wait()
        super().put(event, *options)
        if is_told(event, OutputCame):
            self._has_ended.set()


class SignalBefore(queue.Queue):
    """The signal comes right before the first event of that kind."""

    def __init__(self, signum, kind):
        super().__init__()
        self._to_come, self._kind = [Signalled(signum)], kind

    def put(self, event, *options):
        if is_told(event, self._kind):
            while self._to_come:
                super().put(self._to_come.pop())
        super().put(event, *options)


# --- A refusal that is due to one of the nodes


def test_a_wrong_node_that_reaches_the_limit_leaves_the_others_with_a_result():
    with service_with(*WEB, ALONE) as service:
        ran = Ran(run_command(service), WEB[:2] + [ALONE], "true", plan=FleetPlan(9, ErrorLimit(1)))
        assert ran.statuses == [255] * 3
        assert ran.reasons[:2] == ["not begun: 1 had failed"] * 2
        assert "InvalidInstanceId" in ran.reasons[2]
        assert not service.run_command.engine.commands


def test_a_refusal_that_comes_after_the_limit_leaves_the_others_with_a_result():
    with service_with(*many(51), ALONE) as service:
        events = AfterAnEnd(NotSent, 1)
        plan = FleetPlan(2, ErrorLimit(1))
        ran = Ran(run_command(service), many(51) + [ALONE], *FIRST_FAILS, events=events, plan=plan)
        assert ran.statuses[0] == 5
        assert ran.reasons[50] == "not begun: 1 had failed"
        assert "InvalidInstanceId" in ran.reasons[51]


def test_a_refusal_that_comes_after_a_signal_leaves_the_others_with_a_result(waits_for_ever):
    with service_with(*WEB, ALONE) as service:
        events = SignalBefore(signal.SIGINT, NotSent)
        ran = Ran(run_command(service), WEB[:1] + [ALONE], "true", events=events)
        assert ran.outcome.status == 130
        assert ran.reasons[0] == "not begun: signal 2 came"
        assert "InvalidInstanceId" in ran.reasons[1]
