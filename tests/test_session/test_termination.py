"""The end of a session at the service, where modules were half loaded for want of descriptors."""

import pytest

from ssm_plugin.errors import ServiceError
from ssm_plugin.session.termination import Termination
from tests.support.running import service_client
from tests.support.service import local_service

from .sessions import started_at


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


class FailingFirst:
    """A service client that raises these errors, one for each call, before it works."""

    def __init__(self, client, *errors):
        self._client = client
        self._errors = list(errors)

    def terminate_session(self, session_id, *seconds):
        if self._errors:
            raise self._errors.pop(0)
        return self._client.terminate_session(session_id, *seconds)


HALF_LOADED = [
    ImportError("cannot import name 'Call'"),
    AttributeError("module 'ssm_plugin.aws.call' has no attribute 'Call'"),
    KeyError("ssm_plugin.aws.call"),
]


def ended(service, *errors):
    session = started_at(service)
    termination = Termination(FailingFirst(service_client(service), *errors), session.session_id)
    termination.begin()
    termination.finish(5.0)
    return termination


@pytest.mark.parametrize("error", HALF_LOADED, ids=lambda error: type(error).__name__)
def test_an_error_that_is_none_of_ours_may_be_a_shortage_and_is_tried_once_more(service, error):
    assert ended(service, error).confirmed
    assert not service.open_sessions()


@pytest.mark.parametrize("error", HALF_LOADED, ids=lambda error: type(error).__name__)
def test_the_owner_learns_that_both_attempts_fell_short_and_has_a_third(service, error):
    termination = ended(service, error, error)
    assert termination.fell_short and not termination.confirmed
    termination.once_more(5.0)
    assert termination.confirmed and not termination.fell_short
    assert not service.open_sessions()


def test_a_refusal_is_no_shortage(service):
    refusal = ServiceError("TerminateSession was refused", code="AccessDeniedException")
    termination = ended(service, refusal)
    assert not termination.confirmed and not termination.fell_short
    for session in service.open_sessions():
        session.terminate()
