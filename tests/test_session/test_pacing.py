"""Starts that the service throttles, and those that wait for their turn."""

import queue
import signal
import threading
import time

import pytest

from ssm_plugin.aws.pacer import Pacer
from ssm_plugin.errors import ServiceError, SessionInterrupted
from ssm_plugin.session.starting import SessionRequest, start_session
from ssm_plugin.session.types import SessionType
from ssm_plugin.session.waiting import start_in_turn
from ssm_plugin.terminal.signals import Signalled
from tests.support.clock import Clock
from tests.support.running import service_client
from tests.support.service import local_service

REQUEST = SessionRequest("i-1", SessionType.STANDARD_STREAM)


@pytest.fixture
def service():
    with local_service() as running:
        yield running


def test_a_start_that_is_throttled_waits_for_another_turn(service):
    service.answer_with("StartSession", "ThrottlingException", "Rate exceeded", times=5)
    client, slept, clock = service_client(service), [], Clock()
    client.pacer = Pacer(clock)

    def sleep(seconds):
        slept.append(seconds)
        clock.advance(seconds)

    started = start_in_turn(client, lambda: client.start_session("i-1"), sleep)
    calls = [call.error for call in service.ssm.calls("StartSession")]
    assert calls == ["ThrottlingException"] * 5 + [""]
    assert sum(slept) > 5.0
    service.session(started.session_id).terminate()


def test_one_that_is_throttled_for_too_long_fails_with_what_the_service_says(service):
    service.answer_with("StartSession", "ThrottlingException", "Rate exceeded", times=3)
    client = service_client(service)
    with pytest.raises(ServiceError, match="Rate exceeded"):
        start_in_turn(client, lambda: client.start_session("i-1"), patience=0.0)


def test_a_signal_ends_the_wait_for_a_turn_at_once(service):
    service.answer_with("StartSession", "ThrottlingException", times=100)
    client, events = service_client(service), queue.Queue()
    began = time.monotonic()
    interrupt = threading.Timer(0.3, lambda: events.put(Signalled(signal.SIGINT)))
    interrupt.start()
    with pytest.raises(SessionInterrupted, match="waited for its turn") as caught:
        start_session(client, REQUEST, events)
    interrupt.join()
    assert caught.value.exit_status == 130
    assert time.monotonic() - began < 5.0
    assert not service.open_sessions()


def test_what_one_thread_learns_slows_all_of_the_process_down(service):
    service.answer_with("StartSession", "ThrottlingException", times=1)
    one, other = service_client(service), service_client(service)
    assert other.pacer.turn().wait() == 0.0
    with pytest.raises(ServiceError):
        start_in_turn(one, lambda: one.start_session("i-1"), patience=0.0)
    assert other.pacer.turn().wait() > 0.0
