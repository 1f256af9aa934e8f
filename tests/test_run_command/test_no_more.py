"""What Run Command still sends, and what the rest is told, once no more is to be started."""

import queue
import signal
import threading

import pytest

from ssm_plugin.fleet_plan import ErrorLimit, FleetPlan
from ssm_plugin.run_command import supervision
from ssm_plugin.run_command.errands import CallEvent, NotSent, OutputCame, Sent
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


class SentBeforeAnEnd(queue.Queue):
    """No node's end is told before so many commands were sent."""

    def __init__(self, number):
        super().__init__()
        self._number = number
        self._all_sent = threading.Event()

    def put(self, event, *options):
        if is_told(event, OutputCame):
            self._all_sent.wait()
        super().put(event, *options)
        if is_told(event, Sent):
            self._number -= 1
            if self._number == 0:
                self._all_sent.set()


class SignalBefore(queue.Queue):
    """The signal comes right before the first event of that kind, once or more often."""

    def __init__(self, signum, kind, times=1):
        super().__init__()
        self._to_come, self._kind = [Signalled(signum)] * times, kind

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


# --- What has not been sent yet


def sent_to(service):
    return [len(one.request.instance_ids) for one in service.run_command.engine.commands.values()]


def test_after_a_signal_nothing_more_is_sent(waits_for_ever):
    with service_with(*many(101)) as service:
        events, plan = SignalBefore(signal.SIGINT, Sent), FleetPlan(3)
        ran = Ran(run_command(service), many(101), "sleep", "100.375", events=events, plan=plan)
        assert sent_to(service) == [50]
        assert ran.statuses == [130] * 101
        assert ran.reasons[50:] == ["not begun: signal 2 came"] * 51


def test_once_too_many_have_failed_nothing_more_is_sent():
    with service_with(*many(101)) as service:
        events, plan = AfterAnEnd(Sent, 2), FleetPlan(3, ErrorLimit(1))
        ran = Ran(run_command(service), many(101), *FIRST_FAILS, events=events, plan=plan)
        assert sent_to(service) == [50, 50]
        assert ran.reasons[100] == "not begun: 1 had failed"


def test_what_turns_out_to_be_sent_once_too_many_have_failed_is_cancelled():
    script = FIRST_FAILS[2] + "; exec sleep 100.625"
    with service_with(*many(51)) as service:
        events, plan = AfterAnEnd(Sent, 2), FleetPlan(2, ErrorLimit(1))
        argv = ("sh", "-c", script, FIRST_FAILS[3])
        ran = Ran(run_command(service), many(51), *argv, events=events, plan=plan)
        assert ran.statuses == [5] + [255] * 50
        assert ran.reasons[50] in ("not begun: 1 had failed", "cancelled: 1 had failed")


def test_once_too_many_have_failed_what_waits_at_the_service_is_cancelled():
    argv = FIRST_FAILS[:2] + (FIRST_FAILS[2] + "; sleep 0.2", FIRST_FAILS[3])
    with service_with(*many(100)) as service:
        events, plan = SentBeforeAnEnd(2), FleetPlan(2, ErrorLimit(1))
        ran = Ran(run_command(service), many(100), *argv, events=events, plan=plan)
        assert sent_to(service) == [50, 50]
        assert ran.statuses[50:].count(0) < 40
        assert ran.reasons[99] in ("not begun: 1 had failed", "cancelled: 1 had failed")


class ThrottlesWhatFollows(queue.Queue):
    """From the first command on that was sent, the service takes no more of them."""

    def __init__(self, service):
        super().__init__()
        self._service = service

    def put(self, event, *options):
        if is_told(event, Sent):
            self._service.answer_with("SendCommand", "ThrottlingException", "slow", times=10000)
        super().put(event, *options)


def test_what_was_throttled_is_not_sent_once_too_many_have_failed():
    with service_with(*many(51)) as service:
        events, plan = ThrottlesWhatFollows(service), FleetPlan(2, ErrorLimit(1))
        ran = Ran(run_command(service), many(51), *FIRST_FAILS, events=events, plan=plan)
        assert sent_to(service) == [50]
        assert ran.reasons[50] == "not begun: 1 had failed"


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_terminal_keeps_nothing_from_being_sent_that_there_is_room_for(times):
    """It is told by the kernel, by the shell, and by the end of our parent."""
    with service_with(*many(151)) as service:
        events, plan = SignalBefore(signal.SIGHUP, Sent, times), FleetPlan(3)
        ran = Ran(run_command(service), many(151), "sleep", "100.875", events=events, plan=plan)
        assert sent_to(service) == [50, 50, 50]
        assert "goes on at AWS" in ran.reasons[149]
        assert ran.reasons[150] == "not begun: signal 1 came"


@pytest.mark.parametrize("parallel, lines", [(3, 1), (1, 3)])
def test_the_ids_of_all_that_is_sent_together_are_one_line(capfd, parallel, lines):
    with service_with(*many(101)) as service:
        Ran(run_command(service, quiet=False), many(101), "true", plan=FleetPlan(parallel))
        said = capfd.readouterr().err
        assert said.count("--attach") == lines
        assert all(one in said for one in service.run_command.engine.commands)
