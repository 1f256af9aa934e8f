import json
import socket
import ssl
import threading
import time

import pytest
import websocket

from ssm_plugin.errors import ConnectionLost, DeadlineError, LocalError, UsageError
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.loopback.service import LocalService
from ssm_plugin.wire import message
from tests.support.certificates import Authority
from tests.support.threads import threads_left

from .helpers import (
    Agents,
    Client,
    SilentAgent,
    acknowledgement,
    call,
    data,
    number,
    open_message,
    resume,
    start,
)

BIG = b"x" * 60000


@pytest.fixture
def agents():
    return Agents()


@pytest.fixture
def service(agents):
    before = set(threading.enumerate())
    with LocalService(agents) as service:
        yield service
    assert threads_left(before) == []


def test_messages_travel_to_the_agent_and_back(service, agents):
    opening = start(service, DocumentName="Doc", Parameters={"a": ["b"]}, Reason="why")
    with Client(opening) as client:
        client.send(data(0), data(1))
        assert client.receive(2) == [data(0), data(1)]
    (agent,) = agents.made
    assert agent.session is service.session()
    assert agent.session.request == ("i-0123456789abcdef0", "Doc", {"a": ["b"]}, "why")


def test_the_agents_end_is_told_with_its_reason_after_its_last_output(service, agents):
    with Client(start(service)) as client:
        client.send(data(0))
        client.receive()
        agents.made[0].link.send([data(1)])
        agents.made[0].link.abort("no such user")
        assert client.receive() == [data(1)]
        assert client.receive_end() == "no such user"
    service.wait_for(lambda: not service.open_sessions())


def test_terminating_tells_both_ends(service, agents):
    opening = start(service)
    with Client(opening) as client:
        client.send(data(0))
        client.receive()
        status, fields = call(service, "TerminateSession", {"SessionId": opening["SessionId"]})
        assert (status, fields) == (200, {"SessionId": opening["SessionId"]})
        assert client.receive_end() == ""
    assert agents.made[0].ended.wait(10)
    assert message.parse(agents.made[0].received[-1]).message_type == message.CHANNEL_CLOSED
    service.session().terminate()
    assert service.open_sessions() == []


def test_a_session_is_over_once_its_termination_is_answered(service, agents):
    """Although the last word to the client is still on its way, behind what the agent had said."""
    opening = start(service)
    session_id = opening["SessionId"]
    with Client(opening) as client:
        client.send(data(0))
        client.receive()
        service.session(session_id).misbehave("down.delay=1:300ms")
        agents.made[0].link.send([data(1), data(2)])
        assert client.receive() == [data(2)]
        call(service, "TerminateSession", {"SessionId": session_id})
        assert service.session(session_id).state == "Terminated"
        assert service.open_sessions() == []
        assert resume(service, session_id)["TokenValue"] == ""
        assert client.receive() == [data(1)]


def test_terminating_does_not_wait_for_a_client_that_does_not_read(service, agents):
    opening = start(service)
    with Client(opening, sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]) as client:
        client.send(data(0))
        client.receive()
        pusher = threading.Thread(target=push_until_the_end, args=(agents.made[0].link,))
        pusher.start()
        call(service, "TerminateSession", {"SessionId": opening["SessionId"]})
        pusher.join(10)
        assert not pusher.is_alive()


def push_until_the_end(link):
    try:
        while True:
            link.send([data(0, BIG)])
    except ConnectionLost:
        pass


def test_a_session_that_nobody_opened_can_be_terminated(service, agents):
    opening = start(service)
    call(service, "TerminateSession", {"SessionId": opening["SessionId"]})
    assert service.open_sessions() == []
    with Client(opening) as client:
        assert client.receive_end() == ""
    assert agents.made == []


def test_a_client_that_does_not_read_makes_the_agent_wait(service, agents):
    with Client(start(service), sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]) as client:
        client.send(data(0))
        client.receive()
        count = 400  # 24 MB: more than sockets and link hold
        pusher = threading.Thread(target=push, args=(agents.made[0].link, count))
        pusher.start()
        pusher.join(0.2)
        assert pusher.is_alive()
        assert [number(one) for one in client.receive(count)] == list(range(count))
        pusher.join(10)


def push(link, count):
    for n in range(count):
        link.send([data(n, BIG)])


def test_an_agent_that_does_not_read_makes_the_client_wait():
    class Stuck(SilentAgent):
        def handle(self, messages):
            self.released.wait(10)

        released = threading.Event()

    with LocalService(Agents(Stuck)) as service:
        with Client(start(service)) as client:
            client.socket.settimeout(0.2)
            with pytest.raises((websocket.WebSocketTimeoutException, socket.timeout)):
                push_messages(client, 1000)
            Stuck.released.set()


def push_messages(client, count):
    for _ in range(count):
        client.send(data(0, BIG))


@pytest.mark.parametrize("token", ["wrong", ""])
def test_a_wrong_token_is_refused(service, agents, token):
    with Client(start(service), token=token) as client:
        assert client.receive_close()[0] == 1008
        client.socket.send_close()
    assert agents.made == []


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        pytest.param("[" * 100000, id="nested"),
        "[]",
        '{"MessageSchemaVersion": 1.0, "RequestId": "a", "ClientId": "b", "TokenValue": "%s"}',
        '{"MessageSchemaVersion": "1.0", "ClientId": "b", "TokenValue": "%s"}',
    ],
)
def test_an_open_message_must_be_complete(service, text):
    opening = start(service)
    client = websocket.create_connection(opening["StreamUrl"], timeout=10)
    client.send(text.replace("%s", opening["TokenValue"]))
    opcode, payload = client.recv_data()
    assert (opcode, payload[:2]) == (websocket.ABNF.OPCODE_CLOSE, b"\x03\xf0")
    client.shutdown()


def test_a_client_that_leaves_before_it_opened_harms_nothing(service, agents):
    opening = start(service)
    websocket.create_connection(opening["StreamUrl"], timeout=10).shutdown()
    with Client(opening) as client:
        client.send(data(0))
        client.receive()
    assert len(agents.made) == 1


@pytest.mark.parametrize(
    "change, status",
    [
        (lambda url: url.replace("loopback-", "other-"), 404),
        (lambda url: url.replace("publish_subscribe", "publish"), 400),
        (lambda url: url.split("?")[0], 400),
        (lambda url: url.replace("/v1/", "/v2/"), 404),
    ],
)
def test_another_url_is_refused(service, change, status):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(change(start(service)["StreamUrl"]), timeout=10)
    assert refused.value.status_code == status


def test_a_dropped_client_resumes_with_a_new_token_and_url(service, agents):
    opening = start(service)
    with Client(opening) as client:
        client.send(data(0))
        client.receive()
        service.session().drop_connection()
        with pytest.raises(ConnectionResetError):
            client.receive()
    service.wait_for(lambda: service.session().state == "Disconnected")
    agents.made[0].link.send([data(1)])
    resumed = resume(service, opening["SessionId"])
    assert resumed["SessionId"] == opening["SessionId"]
    assert resumed["TokenValue"] != opening["TokenValue"]
    assert resumed["StreamUrl"].startswith(opening["StreamUrl"] + "&cell-number=")
    with Client(opening) as old:
        assert old.receive_close()[0] == 1008
        old.socket.send_close()
    with Client(resumed) as client:
        client.send(data(2))
        assert client.receive() == [data(2)]  # what came while nobody was there is lost
        assert service.session().connections == 2
        assert service.session().state == "Connected"
    assert len(agents.made) == 1


def test_a_newer_connection_displaces_the_older(service):
    opening = start(service)
    with Client(opening) as older:
        older.send(data(0))
        older.receive()
        with Client(opening) as newer:
            with pytest.raises((ConnectionResetError, websocket.WebSocketException)):
                older.receive()
            newer.send(data(1))
            assert newer.receive() == [data(1)]


def test_the_hourly_bye_is_a_close_frame(service):
    with Client(start(service)) as client:
        client.send(data(0))
        client.receive()
        service.session().say_bye()
        assert client.receive_close() == (1000, "Bye")
        client.socket.send_close()
        service.wait_for(lambda: service.session().state == "Disconnected")
    assert len(service.open_sessions()) == 1


def test_without_a_client_there_is_nothing_to_drop(service):
    start(service)
    session = service.session()
    session.drop_connection()
    session.say_bye()
    session.pause_publication()
    assert session.state == "Connecting"


def test_a_client_is_paused_and_started(service):
    with Client(start(service)) as client:
        client.send(data(0))
        client.receive()
        service.session().pause_publication()
        service.session().start_publication()
        types = [message.parse(one).message_type for one in client.receive(2)]
    assert types == [message.PAUSE_PUBLICATION, message.START_PUBLICATION]


def test_a_session_that_is_over_resumes_to_nothing(service):
    opening = start(service)
    service.session(opening["SessionId"]).terminate("timed out")
    assert resume(service, opening["SessionId"]) == {
        "SessionId": opening["SessionId"],
        "TokenValue": "",
        "StreamUrl": "",
    }


@pytest.mark.parametrize("resumed_url", ["same", "empty", "other-port", "cell-number"])
def test_a_resumed_url_is_as_was_asked_for(resumed_url):
    with LocalService(Agents(), resumed_url=resumed_url) as service:
        opening = start(service)
        with Client(opening) as client:
            client.send(data(0))
            client.receive()
        resumed = resume(service, opening["SessionId"])
        same = resumed["StreamUrl"] == opening["StreamUrl"]
        assert same == (resumed_url == "same")
        assert (resumed["StreamUrl"] == "") == (resumed_url == "empty")
        resumed["StreamUrl"] = resumed["StreamUrl"] or opening["StreamUrl"]
        with Client(resumed) as client:
            client.send(data(1))
            assert client.receive() == [data(1)]


def test_an_unknown_kind_of_url_is_an_error():
    with pytest.raises(UsageError, match="resumed_url"):
        LocalService(Agents(), resumed_url="none")


def test_an_agent_that_cannot_start_ends_the_session_with_its_error():
    def factory(session, link):
        raise LocalError("no shell here")

    with LocalService(factory) as service:
        with Client(start(service)) as client:
            assert client.receive_end() == "no shell here"


def test_an_agent_that_the_system_refuses_ends_the_session_too():
    def factory(session, link):
        raise OSError("out of ptys")

    with LocalService(factory) as service:
        with Client(start(service)) as client:
            assert client.receive_end() == "out of ptys"


def test_a_service_that_never_started_leaves_nothing_open():
    LocalService(Agents(), resumed_url="other-port").close()


def test_a_mistake_in_an_agent_factory_is_raised_in_the_end():
    def factory(session, link):
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        with LocalService(factory) as service:
            with Client(start(service)):
                failed = service.failures.get(timeout=10)
                service.failures.put(failed)


def test_an_error_in_the_body_is_not_covered_up():
    with pytest.raises(ZeroDivisionError):
        with LocalService(Agents()) as service:
            service.failures.put(None)
            raise ZeroDivisionError


def test_closing_twice_is_closing_once(service):
    service.close()
    service.close()
    with pytest.raises(OSError):
        call(service, "StartSession", {"Target": "i-1"})


def test_waiting_has_a_limit(service):
    with pytest.raises(DeadlineError):
        service.wait_for(lambda: False, 0.01)
    with pytest.raises(UsageError, match="no session yet"):
        service.session()
    with pytest.raises(UsageError, match="no session s-1"):
        service.session("s-1")


def faulty(text, kind=SilentAgent):
    return LocalService(Agents(kind), faults=text)


def test_the_connection_is_dropped_after_so_many_messages():
    with faulty("drop-after=3") as service:
        opening = start(service)
        with Client(opening) as client:
            client.send(data(0), data(1), data(2))
            with pytest.raises((ConnectionResetError, websocket.WebSocketException)):
                client.receive()
        with Client(resume(service, opening["SessionId"])) as client:
            client.send(data(3))
            service.wait_for(lambda: service.session().connections == 2)


def test_the_service_says_bye_after_so_many_messages():
    with LocalService(Agents(), faults="bye-after=3") as service:
        with Client(start(service)) as client:
            client.send(data(0))
            client.receive()
            client.send(data(1))
            assert client.receive_close() == (1000, "Bye")
            client.socket.send_close()


def test_delayed_messages_arrive_while_nothing_else_happens():
    with LocalService(Agents(), faults="up.delay=1:50ms,down.reorder=1") as service:
        with Client(start(service)) as client:
            begin = time.monotonic()
            client.send(data(0))
            assert client.receive() == [data(0)]
            assert time.monotonic() - begin > 0.05


def test_messages_held_back_are_not_lost_at_the_end():
    agents = Agents()
    with LocalService(agents, faults="down.delay=1:60s") as service:
        with Client(start(service)) as client:
            client.send(data(0), data(1))
            assert client.receive() == [data(1)]
            service.session().misbehave("")
            assert client.receive() == [data(0)]
            service.session().misbehave("down.delay=1:60s")
            client.send(data(2), data(3))
            assert client.receive() == [data(3)]
            agents.made[0].link.abort()
            assert client.receive() == [data(2)]
            assert client.receive_end() == ""


def test_a_silent_network_answers_no_ping():
    with LocalService(Agents(), faults="silent=1:60s") as service:
        with Client(start(service)) as client:
            client.send(data(0))
            client.send(data(1))
            client.socket.settimeout(0.1)
            client.socket.ping("anybody?")
            with pytest.raises(websocket.WebSocketTimeoutException):
                while True:
                    client.receive()
            service.session().misbehave("")
            client.socket.settimeout(10)
            client.send(data(2))
            assert client.receive() == [data(2)]
            client.socket.ping("anybody?")
            assert client.socket.recv_data(control_frame=True) == (
                websocket.ABNF.OPCODE_PONG,
                b"anybody?",
            )


def test_tokens_are_refused_so_many_times():
    with faulty("refuse-token=1") as service:
        opening = start(service)
        with Client(opening) as client:
            assert client.receive_close()[0] == 1008
            client.socket.send_close()
        with Client(opening):
            service.wait_for(lambda: service.session().state == "Connected")


def test_upgrades_are_refused_so_many_times():
    with faulty("refuse-upgrade=1") as service:
        opening = start(service)
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            Client(opening)
        assert refused.value.status_code == 403
        with Client(opening):
            service.wait_for(lambda: service.session().state == "Connected")


def test_the_end_of_the_channel_may_be_lost():
    with LocalService(Agents(), faults="lose-channel-closed") as service:
        opening = start(service)
        with Client(opening) as client:
            client.send(data(0))
            client.receive()
            service.session().terminate()
            service.wait_for(lambda: not service.open_sessions())
            client.send(data(1))
            client.socket.settimeout(0.1)
            with pytest.raises(websocket.WebSocketTimeoutException):
                client.receive()
        assert resume(service, opening["SessionId"])["TokenValue"] == ""


def test_acknowledgements_are_dropped_on_their_way():
    with LocalService(Agents(), faults="up.no-acknowledge") as service:
        with Client(start(service)) as client:
            client.send(acknowledgement(0), data(1))
            assert client.receive() == [data(1)]


def test_the_same_over_tls(tmp_path):
    authority = Authority(tmp_path)
    with LocalService(Agents(), tls=authority.server_context()) as service:
        assert service.endpoint_url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=authority.ca_file)
        session = service.gateway.start_session(request_for("i-1"))
        opening = {
            "StreamUrl": service.gateway.stream_url(session),
            "TokenValue": session.token,
        }
        assert opening["StreamUrl"].startswith("wss://")
        with Client(opening, sslopt={"context": context}) as client:
            client.send(data(0), data(1, BIG))
            assert client.receive(2) == [data(0), data(1, BIG)]
            service.session().drop_connection()
            with pytest.raises((OSError, websocket.WebSocketException)):
                client.receive()


def request_for(target):
    return StartRequest(target, "", {}, "")


@pytest.mark.parametrize(
    "changes, accepted",
    [
        ({}, True),
        ({"MessageSchemaVersion": 1}, True),
        ({"ClientId": None}, True),
        ({"MessageSchemaVersion": 2}, False),
        ({"MessageSchemaVersion": True}, False),
        ({"MessageSchemaVersion": None}, False),
        ({"ClientId": 5}, False),
        ({"RequestId": None}, False),
    ],
)
def test_open_messages_are_accepted_as_by_aws(service, changes, accepted):
    opening = start(service)
    fields = dict(json.loads(open_message(opening["TokenValue"])), **changes)
    text = json.dumps({name: value for name, value in fields.items() if value is not None})
    peer = websocket.create_connection(opening["StreamUrl"], timeout=10)
    try:
        peer.send(text)
        peer.send_binary(data(0))
        opcode, payload = peer.recv_data()
    finally:
        peer.shutdown()
    assert (opcode == websocket.ABNF.OPCODE_BINARY) is accepted
    assert payload == data(0) if accepted else payload[:2] == b"\x03\xf0"
