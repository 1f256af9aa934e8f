"""A connection is lost while nobody takes our output: it is resumed all the same."""

import os
import threading
from functools import partial

import pytest

from ssm_plugin.channel.events import Output
from ssm_plugin.errors import SessionLost
from ssm_plugin.session.events import NotResumed
from ssm_plugin.session.types import SessionStatus, SessionType
from tests.support.running import RunningSession
from tests.support.service import local_service
from tests.support.threads import wait_until

TIME_LIMIT = 40.0


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


class StuckReader:
    """Takes output once it is ``released``; ``stuck`` is set when some has come before."""

    def __init__(self):
        self.data = bytearray()
        self.stuck, self.released = threading.Event(), threading.Event()

    def __call__(self, data):
        self.stuck.set()
        assert self.released.wait(TIME_LIMIT)
        self.data += data


def has_come(running, connections):
    return running.at_service.connections == connections


def test_a_shell_goes_on_and_loses_nothing(service):
    reader = StuckReader()
    with RunningSession(service, on_output=reader) as running:
        try:
            assert reader.stuck.wait(TIME_LIMIT)
            for _ in range(3):
                connections = running.at_service.connections + 1
                running.at_service.drop_connection()
                service.wait_for(partial(has_come, running, connections))
                wait_until(lambda: running.session.status is SessionStatus.CONNECTED)
            running.send(b"seq 1 1000; exit\n")
        finally:
            reader.released.set()
        assert running.finish() == 0
    assert b"\n999\r\n1000\r\n" in reader.data


def test_a_command_may_end_meanwhile(service, tmp_path):
    """A node gives the last output of a command four seconds to be acknowledged."""
    fifo, reader = str(tmp_path / "go-on"), StuckReader()
    os.mkfifo(fifo)
    line = "echo first; read word < %s; seq 1 1000; exit 3" % fifo
    with RunningSession(
        service,
        "AWS-StartNonInteractiveCommand",
        {"command": "sh -c '%s'" % line, "separateOutputStream": "true"},
        SessionType.NON_INTERACTIVE_COMMANDS,
        on_output=reader,
    ) as running:
        try:
            assert reader.stuck.wait(TIME_LIMIT)
            running.at_service.drop_connection()
            service.wait_for(lambda: running.at_service.connections == 2)
            with open(fifo, "w") as file:
                file.write("now\n")
            service.wait_for(lambda: running.at_service.is_over)
        finally:
            reader.released.set()
        assert running.finish() == 3
    assert bytes(reader.data).endswith(b"\n999\n1000\n")


def test_what_came_before_a_loss_that_nothing_can_heal_is_passed_on(service):
    reader = StuckReader()
    with RunningSession(service, on_output=reader) as running:
        events = running.session.events
        try:
            assert reader.stuck.wait(TIME_LIMIT)
            running.send(b"seq 1 1000; echo fin''ished\n")
            wait_until(lambda: any(b"finished" in one.data for one in waiting(events, Output)))
            service.answer_with("ResumeSession", "AccessDeniedException", status=400, times=1)
            running.at_service.drop_connection()
            wait_until(lambda: waiting(events, NotResumed))
        finally:
            reader.released.set()
        with pytest.raises(SessionLost):
            running.finish()
    assert b"\n1000\r\nfinished" in reader.data


def waiting(events, kind):
    """What waits of it in a session's queue."""
    with events.mutex:
        return [event for event in events.queue if isinstance(event, kind)]
