import queue
import signal
import threading

import pytest

from ssm_plugin.jobs.fleet import Fleet
from ssm_plugin.jobs.remote_command import RemoteCommand
from ssm_plugin.jobs.request import CommandRequest
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.terminal.signals import Signalled
from tests.support.commands import Node, wait_until_gone
from tests.support.service import local_service

TARGETS = ["i-%d" % number for number in range(5)]


@pytest.fixture
def service():
    with local_service(targets=set(TARGETS)) as service:
        yield service


def commands(service, script, targets, take=lambda data: None):
    environment = Node(service).environment
    return [
        RemoteCommand(
            CommandRequest(target, ("sh", "-c", script, target)),
            environment,
            CallableStreams(take, take),
        )
        for target in targets
    ]


def test_results_come_in_the_order_of_the_targets(service):
    script = 'echo "$0"; exit "${0#i-}"'
    results = Fleet(commands(service, script, TARGETS), parallel=3).run()
    assert [(one.name, one.status) for one in results] == list(zip(TARGETS, range(5)))


def test_one_that_fails_stops_no_other(service):
    results = Fleet(commands(service, "true", ["i-0", "i-unknown", "i-1"]), parallel=1).run()
    assert [one.status for one in results] == [0, 255, 0]
    assert "i-unknown" in results[1].reason


def test_no_more_run_at_once_than_allowed(service, tmp_path):
    """Each writes how many there were when it began."""
    script = 'mkdir "%s/$0"; ls "%s" | wc -l; sleep .2; rmdir "%s/$0"' % ((tmp_path,) * 3)
    seen = []
    Fleet(commands(service, script, TARGETS, seen.append), parallel=2).run()
    counts = [int(one) for one in b"".join(seen).split()]
    assert len(counts) == 5
    assert max(counts) == 2


def test_a_signal_ends_all_that_run_and_begins_no_more(service, tmp_path):
    mark = "mark-" + tmp_path.name
    begun, events, results = threading.Semaphore(0), queue.Queue(), []
    script = "echo on; exec sh -c 'sleep 1000' '%s'" % mark
    fleet = Fleet(
        commands(service, script, TARGETS, lambda data: begun.release()), 2, events
    )
    thread = threading.Thread(target=lambda: results.extend(fleet.run()))
    thread.start()
    assert begun.acquire(timeout=10) and begun.acquire(timeout=10)
    events.put(Signalled(signal.SIGWINCH))
    events.put(Signalled(signal.SIGTERM))
    thread.join(10)
    assert [one.status for one in results] == [143] * 5
    assert sorted(one.reason for one in results) == ["ended by signal 15 here"] * 2 + (
        ["not begun"] * 3
    )
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


def test_what_an_output_function_raises_comes_out_once_all_are_ended(service, tmp_path):
    mark = "mark-" + tmp_path.name

    def refuse(data):
        raise KeyError("mine")

    script = "case $0 in i-1) echo x;; esac; exec sh -c 'sleep 1000' '%s'" % mark
    with pytest.raises(KeyError):
        Fleet(commands(service, script, TARGETS, refuse), parallel=2).run()
    assert wait_until_gone(mark, 3)
    service.wait_for(lambda: not service.open_sessions())


def test_no_command_at_all_is_no_failure():
    assert Fleet([]).run() == []
