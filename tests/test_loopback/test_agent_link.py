"""The agent's end of the link: which acknowledgements go out when."""

import json
import queue

import pytest

from ssm_plugin.errors import ConnectionLost
from ssm_plugin.loopback.agent_link import CONNECTED, LIMIT, TERMINATING, AgentLink
from ssm_plugin.loopback.pipe import link_pair
from ssm_plugin.wire import message

from .helpers import acknowledgement, data


@pytest.fixture
def events():
    return queue.Queue()


@pytest.fixture
def ends(events):
    """The service's end and the agent's."""
    service, link = link_pair()
    return service, AgentLink(link, "s-1", events.empty)


OUTPUT = data(0, b"out", message.OUTPUT_STREAM_DATA)


def test_messages_pass_both_ways(ends):
    service, agent = ends
    service.send([data(0)])
    assert agent.receive() == [data(0)]
    agent.send([OUTPUT, acknowledgement(0)])
    assert service.receive() == [OUTPUT, acknowledgement(0)]
    agent.ping()
    assert agent.receive() == []


def test_acknowledgements_wait_for_a_target_that_is_behind(ends):
    service, agent = ends
    agent.hand_over(LIMIT + 10)
    agent.send([acknowledgement(0), OUTPUT])
    assert service.receive() == [OUTPUT]
    agent.taken(9)
    agent.send([acknowledgement(1)])
    agent.taken(1)
    assert service.receive() == [acknowledgement(0), acknowledgement(1)]


def test_acknowledgements_wait_while_the_agent_has_events_to_see(ends, events):
    service, agent = ends
    events.put("input")
    agent.send([acknowledgement(0)])
    agent.settle()
    agent.send([OUTPUT])
    assert service.receive() == [OUTPUT]
    events.get()
    agent.settle()
    assert service.receive() == [acknowledgement(0)]


def test_certain_input_is_not_acknowledged_before_the_end(ends):
    service, agent = ends
    agent.unanswered = b"\x03"
    service.send([data(0, b"\x03", message.OUTPUT_STREAM_DATA), data(1)])
    agent.receive()
    agent.send([acknowledgement(1)])
    assert service.receive() == [acknowledgement(1)]
    service.send([data(2, b"a\x03b")])
    agent.receive()
    agent.send([acknowledgement(2), OUTPUT])
    assert service.receive() == [OUTPUT]
    agent.release()
    assert service.receive() == [acknowledgement(2)]


def test_nothing_is_held_back_after_the_release(ends, events):
    service, agent = ends
    agent.release()
    agent.hand_over(2 * LIMIT)
    events.put("input")
    agent.send([acknowledgement(0)])
    assert service.receive() == [acknowledgement(0)]


def test_states_are_told_to_the_service(ends):
    service, agent = ends
    agent.tell_state(CONNECTED)
    agent.tell_state(TERMINATING)
    agent.farewell()  # a real agent says nothing
    told = [message.parse(one) for one in service.receive()]
    assert [(one.message_type, one.sequence, one.flags) for one in told] == [
        (message.AGENT_SESSION_STATE, 0, 3)
    ] * 2
    states = [json.loads(bytes(one.payload).decode())["SessionState"] for one in told]
    assert states == [CONNECTED, TERMINATING]


def test_the_end_carries_its_reason(ends):
    service, agent = ends
    agent.reason = "why"
    agent.close()
    assert service.peer_reason == "why"
    with pytest.raises(ConnectionLost):
        service.receive()


def test_an_end_in_between_is_left_to_the_reader(ends):
    service, agent = ends
    agent.hand_over(LIMIT + 1)
    agent.send([acknowledgement(0)])
    service.abort()
    agent.taken(LIMIT + 1)
    with pytest.raises(ConnectionLost):
        agent.receive()
