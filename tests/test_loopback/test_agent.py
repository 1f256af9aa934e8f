"""Sessions that begin or end in an unusual way."""

import pytest
import websocket

from ssm_plugin.loopback.agent_documents import Document
from ssm_plugin.loopback.service import LocalService, demo_service
from ssm_plugin.shortage import OPEN_FILES, THREADS
from ssm_plugin.wire import message, payloads
from tests.support.channel_client import ChannelClient
from tests.support.service import local_service
from tests.support.threads import no_threads_left

from .helpers import TIMEOUT, Agents, no_descriptors_left, open_message, start


def test_an_unknown_document_ends_the_session_with_that_reason():
    with local_service() as service, ChannelClient(service, "Unknown") as client:
        assert client.wait_closed() == "the document Unknown does not exist"


def test_an_unknown_session_type_is_its_reason_too():
    documents = {"Own": Document("Other")}
    with local_service(documents=documents, faults="skip-handshake") as service:
        with ChannelClient(service, "Own") as client:
            assert client.wait_closed() == "there is no session type Other"


def test_a_shell_for_which_descriptors_lack_is_the_reason_of_the_end():
    with local_service() as service:
        opening = start(service)
        client = websocket.create_connection(opening["StreamUrl"], timeout=TIMEOUT)
        with no_descriptors_left():
            client.send(open_message(opening["TokenValue"]))
            one = message.parse(client.recv())
            while one.message_type != message.CHANNEL_CLOSED:
                one = message.parse(client.recv())
        client.shutdown()
    assert payloads.parse_channel_closed(one.payload) == OPEN_FILES


def test_a_session_for_which_threads_lack_ends_and_says_so():
    with LocalService(Agents()) as service:
        opening = start(service)
        client = websocket.create_connection(opening["StreamUrl"], timeout=TIMEOUT)
        with no_threads_left():
            client.send(open_message(opening["TokenValue"]))
            one = message.parse(client.recv())
        client.shutdown()
        assert payloads.parse_channel_closed(one.payload) == THREADS
        assert service.open_sessions() == []


def test_closing_the_service_ends_its_shells():
    service = demo_service()
    service.start()
    with ChannelClient(service) as client:
        client.wait_for(lambda: client.output)
        service.close()
        assert client.session.is_over
    service.raise_failure()


def test_a_failure_that_nobody_foresaw_is_raised_by_the_service():
    with pytest.raises(TypeError):
        with local_service(shell=(5,)) as service, ChannelClient(service) as client:
            client.wait_closed()
