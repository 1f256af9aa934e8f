"""Starting a session at the service, and what can come in between."""

import queue
import signal
import threading

import pytest

from ssm_plugin.errors import ServiceError, SessionInterrupted, SsmPluginError
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.events import EndRequested, Opened
from ssm_plugin.session.starting import (
    EXIT_TIME_UP,
    SessionRequest,
    ending_status,
    make_session,
    start_session,
    wait_for_start,
)
from ssm_plugin.session.types import SessionStatus, SessionType
from ssm_plugin.terminal.signals import Signalled
from ssm_plugin.transport.worker import WorkerFailed
from tests.support.running import service_client
from tests.support.service import local_service

REQUEST = SessionRequest("i-1", SessionType.STANDARD_STREAM, None, {}, "because")


@pytest.fixture(scope="module")
def service():
    with local_service() as running:
        yield running


class SlowClient:
    """Starts sessions once it is let."""

    def __init__(self, service):
        self._client = service_client(service)
        self.pacer = self._client.pacer
        self.asked = threading.Event()
        self.let = threading.Event()

    def start_session(self, *arguments):
        self.asked.set()
        assert self.let.wait(10)
        return self._client.start_session(*arguments)

    def terminate_session(self, session_id):
        self._client.terminate_session(session_id)


def test_the_session_that_was_started(service):
    started = start_session(service_client(service), REQUEST, queue.Queue())
    session = service.session()
    assert started.session_id == session.session_id
    assert (session.request.target, session.request.reason) == ("i-1", "because")
    session.terminate()


def test_what_the_service_says_is_raised(service):
    service.answer_with("StartSession", "AccessDeniedException")
    with pytest.raises(ServiceError):
        start_session(service_client(service), REQUEST, queue.Queue())


@pytest.mark.parametrize(
    "event, status", [(Signalled(signal.SIGTERM), 143), (EndRequested(7), 7)]
)
def test_an_end_terminates_the_session_that_is_made_all_the_same(service, event, status):
    client, events = SlowClient(service), queue.Queue()
    events.put(Signalled(signal.SIGWINCH))
    events.put(event)
    release = threading.Timer(0.1, client.let.set)
    release.start()
    with pytest.raises(SessionInterrupted) as caught:
        start_session(client, REQUEST, events)
    release.join()
    assert caught.value.exit_status == status
    assert client.asked.is_set()
    service.wait_for(lambda: not service.open_sessions())


def test_an_end_of_a_start_that_fails(service):
    service.answer_with("StartSession", "AccessDeniedException")
    events = queue.Queue()
    events.put(EndRequested(5))
    with pytest.raises(SessionInterrupted):
        start_session(service_client(service), REQUEST, events)


def test_a_failed_thread_fails_the_start(service):
    events = queue.Queue()
    events.put(WorkerFailed("signals", KeyError("x")))
    with pytest.raises(SsmPluginError, match="in thread signals: KeyError") as caught:
        start_session(service_client(service), REQUEST, events)
    assert isinstance(caught.value.__cause__, KeyError)
    service.wait_for(lambda: not service.open_sessions())


def test_a_time_limit_ends_the_start_and_the_session_that_it_still_makes(service):
    client = SlowClient(service)

    def start():
        return client.start_session(REQUEST.target, None, {}, None)

    release = threading.Timer(0.3, client.let.set)
    release.start()
    with pytest.raises(SessionInterrupted) as caught:
        wait_for_start(client, start, queue.Queue(), timeout=0.1)
    release.join()
    assert caught.value.exit_status == EXIT_TIME_UP == 124
    service.wait_for(lambda: not service.open_sessions())


def test_a_session_is_made_of_the_answer_and_the_request(service):
    request = REQUEST._replace(document_name="doc", parameters={"command": ["ls"]})
    events, environment = queue.Queue(), Environment(silent=True)
    started = start_session(service_client(service), REQUEST, events)
    session = make_session(request, started, environment, events)
    assert session.config == started[:3] + ("i-1", "doc", {"command": ["ls"]})
    assert session.client_config.session_type is SessionType.STANDARD_STREAM
    assert session.events is events
    assert session.environment is environment
    assert session.status is SessionStatus.CREATED
    service.session(started.session_id).terminate()


def test_what_ends_and_what_does_not():
    assert ending_status(Signalled(signal.SIGINT)) == 130
    assert ending_status(Signalled(signal.SIGUSR1)) is None
    assert ending_status(EndRequested(3)) == 3
    assert ending_status(Opened()) is None
