import queue
import signal
import threading

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.fleet_plan import FleetPlan
from ssm_plugin.jobs.fleet import AGAIN, Fleet, FleetMember
from ssm_plugin.jobs.remote_command import RemoteCommand
from ssm_plugin.jobs.request import CommandRequest, CommandResult
from ssm_plugin.nodes.targets import Found
from ssm_plugin.session.streams import CallableStreams, OutputGone
from ssm_plugin.terminal.signals import Signalled
from tests.support.commands import Node, wait_until_gone
from tests.support.service import local_service

TARGETS = ["i-%d" % number for number in range(5)]


@pytest.fixture
def service():
    with local_service(targets=set(TARGETS)) as service:
        yield service


def nodes(*targets):
    return [Found(target, target) for target in targets]


def maker(service, script, take=lambda data: None):
    environment = Node(service).environment

    def make(node):
        request = CommandRequest(node.target, ("sh", "-c", script, node.target))
        return RemoteCommand(request, environment, CallableStreams(take, take))

    return make


def test_results_come_in_the_order_of_the_targets_and_are_told_as_they_end(service):
    script = '[ "$0" = i-0 ] && sleep .5; echo "$0"; exit "${0#i-}"'
    told = []
    make = maker(service, script)
    outcome = Fleet(nodes(*TARGETS), make, FleetPlan(parallel=3), tell=told.append).run()
    assert [(one.name, one.status) for one in outcome.results] == list(zip(TARGETS, range(5)))
    assert [one.name for one in told] != TARGETS
    assert sorted(one.name for one in told) == TARGETS


def test_one_that_fails_stops_no_other(service):
    several = nodes("i-0", "i-unknown", "i-1")
    results = Fleet(several, maker(service, "true"), FleetPlan(parallel=1)).run().results
    assert [one.status for one in results] == [0, 255, 0]
    assert "i-unknown" in results[1].reason


def test_no_more_run_at_once_than_allowed(service, tmp_path):
    """Each writes how many there were when it began; the first one waits for another."""
    here, two, seen = tmp_path / "here", tmp_path / "two", []
    here.mkdir()
    script = (
        'cd "%s"; mkdir "$0"; n=$(ls | wc -l); echo "$n"; [ "$n" -lt 2 ] || touch "%s"; '
        'until test -e "%s"; do sleep .1; done; sleep .2; rmdir "$0"' % (here, two, two)
    )
    Fleet(nodes(*TARGETS), maker(service, script, seen.append), FleetPlan(parallel=2)).run()
    counts = [int(one) for one in b"".join(seen).split()]
    assert len(counts) == 5
    assert max(counts) == 2


def test_a_signal_ends_all_that_run_and_begins_no_more(service, tmp_path):
    mark = "mark-%s" % tmp_path
    begun, events, outcomes = threading.Semaphore(0), queue.Queue(), []
    script = "echo on; exec sh -c 'sleep 1000' '%s'" % mark
    make = maker(service, script, lambda data: begun.release())
    fleet = Fleet(nodes(*TARGETS), make, FleetPlan(parallel=2), events)
    thread = threading.Thread(target=lambda: outcomes.append(fleet.run()))
    thread.start()
    assert begun.acquire(timeout=10) and begun.acquire(timeout=10)
    events.put(Signalled(signal.SIGWINCH))
    events.put(Signalled(signal.SIGTERM))
    thread.join(10)
    [outcome] = outcomes
    assert outcome.status == 143
    assert [one.status for one in outcome.results] == [143] * 5
    assert sorted(one.reason for one in outcome.results) == ["ended by signal 15 here"] * 2 + (
        ["not begun: signal 15 came"] * 3
    )
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


def test_what_an_output_function_raises_comes_out_once_all_are_ended(service, tmp_path):
    mark = "mark-%s" % tmp_path

    def refuse(data):
        raise KeyError("mine")

    script = "case $0 in i-1) echo x;; esac; exec sh -c 'sleep 1000' '%s'" % mark
    with pytest.raises(KeyError):
        Fleet(nodes(*TARGETS), maker(service, script, refuse), FleetPlan(parallel=2)).run()
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


def test_once_nobody_reads_the_output_no_more_are_begun(service):
    def gone(data):
        raise OutputGone

    make = maker(service, "echo x", gone)
    outcome = Fleet(nodes(*TARGETS), make, FleetPlan(parallel=1)).run()
    assert [one.status for one in outcome.results] == [141] * 5 and outcome.status == 141
    assert outcome.results[0].reason == "nobody reads the output any more"
    assert outcome.results[1].reason == "not begun: nobody reads the output any more"
    assert len(service.sessions()) == 1


def test_no_command_at_all_is_no_failure():
    assert Fleet([], None).run().results == []


class Stubborn(FleetMember):
    """Ends when it likes, and no signal changes that."""

    def __init__(self, node, release):
        self._node, self._release = node, release
        self.signals = queue.Queue()
        self.session_id = "s-" + node.name

    name = property(lambda self: self._node.name)
    target = property(lambda self: self._node.target)

    def run(self):
        assert self._release.wait(20)
        return CommandResult(self.name, 0, "", self.session_id, 0.0, 1.0, 0, 0, None, self.target)

    def signal(self, event):
        self.signals.put(event)


@pytest.fixture
def stubborn():
    """A fleet at work whose members do not end: its events, its members, what it returned."""
    release, events, members, outcomes = threading.Event(), queue.Queue(), queue.Queue(), []

    def make(node):
        member = Stubborn(node, release)
        members.put(member)
        return member

    fleet = Fleet(nodes(*TARGETS), make, FleetPlan(parallel=2), events)
    thread = threading.Thread(target=lambda: outcomes.append(fleet.run()))
    thread.start()
    running = [members.get(timeout=10) for _ in range(2)]
    yield events, running, thread, outcomes
    release.set()
    thread.join(10)


def test_a_second_signal_leaves_at_once_without_those_that_still_run(stubborn):
    events, running, thread, outcomes = stubborn
    events.put(Signalled(signal.SIGINT))
    assert [member.signals.get(timeout=10).signum for member in running] == [signal.SIGINT] * 2
    thread.join(AGAIN * 2)
    assert thread.is_alive()
    events.put(Signalled(signal.SIGINT))
    thread.join(2)
    [outcome] = outcomes
    assert outcome.status == 130
    assert [one.status for one in outcome.results] == [130] * 5
    reasons = [one.reason for one in outcome.results]
    assert reasons == ["given up: it did not end after signal 2"] * 2 + (
        ["not begun: signal 2 came"] * 3
    )
    assert [one.session_id for one in outcome.results][:3] == ["s-i-0", "s-i-1", ""]


def test_the_same_signal_told_twice_in_one_moment_is_one(stubborn):
    """As timeout(1) sends it: to us, and to our process group."""
    events, running, thread, outcomes = stubborn
    events.put(Signalled(signal.SIGTERM))
    events.put(Signalled(signal.SIGTERM))
    events.put(Signalled(signal.SIGHUP))
    assert running[0].signals.get(timeout=10)
    thread.join(AGAIN * 3)
    assert thread.is_alive() and not outcomes


def test_work_is_made_when_its_turn_comes_and_not_before():
    there, most, release = [], [], threading.Event()
    release.set()

    def make(node):
        there.append(node.target)
        most.append(len(there))
        return Stubborn(node, release)

    targets = ["i-%d" % number for number in range(50)]
    plan = FleetPlan(parallel=1)
    outcome = Fleet(nodes(*targets), make, plan, tell=lambda result: there.pop()).run()
    assert len(outcome.results) == 50
    assert max(most) == 1


def test_work_that_cannot_be_made_is_a_failure_of_that_node_alone(service):
    make = maker(service, "true")

    def refuse(node):
        if node.target == "i-1":
            raise LocalError("the output file cannot be opened")
        return make(node)

    results = Fleet(nodes(*TARGETS[:3]), refuse, FleetPlan(parallel=3)).run().results
    assert [one.status for one in results] == [0, 255, 0]
    assert results[1].reason == "the output file cannot be opened"
