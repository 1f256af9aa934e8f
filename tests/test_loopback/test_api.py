import http.client
import threading
import time

import pytest
import websocket

from ssm_plugin.aws import sigv4
from ssm_plugin.aws.keys import Credentials
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.loopback.service import LocalService, demo_service
from ssm_plugin.loopback.signatures import SIGNED, UNSIGNED, VERIFIED, WRONG

from .helpers import Agents, Client, call, data, resume, start

KEYS = {"AKIDEXAMPLE": "a secret key"}
LOOKS_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/x"}


@pytest.fixture
def service():
    with LocalService(Agents()) as service:
        yield service


def test_starting_gives_what_a_client_needs(service):
    opening = start(service)
    assert sorted(opening) == ["SessionId", "StreamUrl", "TokenValue"]
    port = service.endpoint_url.rpartition(":")[2]
    assert opening["StreamUrl"] == (
        "ws://127.0.0.1:%s/v1/data-channel/%s?role=publish_subscribe" % (port, opening["SessionId"])
    )
    assert opening["TokenValue"] not in repr(service.sessions())


@pytest.mark.parametrize(
    "operation, fields, code",
    [
        ("StartSession", {}, "ValidationException"),
        ("StartSession", {"Target": 1}, "ValidationException"),
        ("StartSession", {"Target": ""}, "TargetNotConnected"),
        ("StartSession", {"Target": "i-1", "Parameters": {"a": "b"}}, "ValidationException"),
        ("StartSession", {"Target": "i-1", "Parameters": {"a": [1]}}, "ValidationException"),
        ("ResumeSession", {"SessionId": "s-1"}, "DoesNotExistException"),
        ("TerminateSession", {}, "ValidationException"),
        ("TerminateSession", {"SessionId": "s-1"}, "DoesNotExistException"),
        ("DescribeSessions", {"State": "Some"}, "ValidationException"),
        (
            "DescribeSessions",
            {"State": "Active", "Filters": [{"Key": "SessionId", "Value": "x"}]},
            "ValidationException",
        ),
        (
            "DescribeSessions",
            {"State": "Active", "Filters": [{"key": "Session", "value": "x"}]},
            "InvalidFilterKey",
        ),
        ("PutParameter", {}, "UnknownOperationException"),
    ],
)
def test_errors_have_the_shape_of_awss(service, operation, fields, code):
    status, answer = call(service, operation, fields)
    assert (status, answer["__type"]) == (400, code)
    assert "message" in answer
    assert service.ssm.calls()[-1][::2] == (operation, code)


@pytest.mark.parametrize(
    "prefix, operation, permission",
    [
        ("AmazonSSM", "StartSession", "ssm"),
        ("AmazonEC2ContainerServiceV20141113", "ListTasks", "ecs"),
        ("AWSEC2InstanceConnectService", "SendSSHPublicKey", "ec2-instance-connect"),
        ("TrentService", "GenerateDataKey", "kms"),
    ],
)
def test_any_call_can_be_denied(prefix, operation, permission):
    with demo_service("deny=" + operation) as service:
        status, answer = call(service, operation, prefix=prefix)
    assert (status, answer["__type"]) == (400, "AccessDeniedException")
    denied = "is not authorized to perform: %s:%s" % (permission, operation)
    assert answer["message"].endswith(denied)


@pytest.mark.parametrize("body", ["no JSON", "[]", b"\xff"])
def test_the_body_must_be_a_json_object(service, body):
    status, answer = call(service, "StartSession", body=body)
    assert (status, answer["__type"]) == (400, "SerializationException")


def test_only_known_targets_are_connected():
    with LocalService(Agents(), targets=["i-1"]) as service:
        start(service, "i-1")
        status, answer = call(service, "StartSession", {"Target": "i-2"})
        assert (status, answer) == (
            400,
            {"__type": "TargetNotConnected", "message": "i-2 is not connected."},
        )


def test_the_next_calls_fail_as_was_asked_for(service):
    service.answer_with("StartSession", "ThrottlingException", "Rate exceeded", times=2)
    service.answer_with("StartSession", "InternalServerError", status=500)
    answers = [call(service, "StartSession", {"Target": "i-1"}) for _ in range(4)]
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    assert answers[:2] == [(400, throttled)] * 2
    assert answers[2] == (500, {"__type": "InternalServerError", "message": ""})
    assert answers[3][0] == 200
    with pytest.raises(ValueError, match="no operation"):
        service.answer_with("PutParameter", "ThrottlingException")


def test_sessions_are_described_while_they_go_on_and_after(service):
    first, second = start(service, "i-1"), start(service, "i-2", Reason="why")
    call(service, "TerminateSession", {"SessionId": first["SessionId"]})
    (active,) = call(service, "DescribeSessions", {"State": "Active"})[1]["Sessions"]
    (ended,) = call(service, "DescribeSessions", {"State": "History"})[1]["Sessions"]
    assert (active["SessionId"], active["Status"]) == (second["SessionId"], "Connecting")
    assert (active["Target"], active["Reason"]) == ("i-2", "why")
    assert (ended["SessionId"], ended["Status"]) == (first["SessionId"], "Terminated")


def test_sessions_are_described_by_what_is_asked_for(service):
    opening, _ = start(service), start(service, target="i-00000000000000001")

    def described(key, value):
        fields = {"State": "Active", "Filters": [{"key": key, "value": value}]}
        sessions = call(service, "DescribeSessions", fields)[1]["Sessions"]
        return [one["SessionId"] for one in sessions]

    assert described("SessionId", opening["SessionId"]) == [opening["SessionId"]]
    assert described("Target", "i-0123456789abcdef0") == [opening["SessionId"]]
    assert len(described("Status", "Connecting")) == 2
    assert described("SessionId", "another") == []


def test_a_document_that_does_not_exist_is_refused():
    with demo_service() as service:
        status, answer = call(service, "StartSession", {"Target": "i-1", "DocumentName": "Own"})
        assert (status, answer["__type"]) == (400, "InvalidDocument")
        assert service.sessions() == []


def test_another_path_is_not_found(service):
    connection = http.client.HTTPConnection(service.endpoint_url.rpartition("/")[2], timeout=10)
    connection.request("GET", "/other/path")
    assert connection.getresponse().status == 404
    connection.close()


def test_it_is_seen_whether_calls_are_signed(service):
    start(service)
    call(service, "StartSession", {"Target": "i-1"}, headers=LOOKS_SIGNED)
    assert [one.signature for one in service.ssm.calls("StartSession")] == [UNSIGNED, SIGNED]
    assert service.signatures.counts() == {UNSIGNED: 1, SIGNED: 1}


def test_unsigned_calls_are_refused_where_signatures_are_required():
    with LocalService(Agents(), require_signatures=True) as service:
        status, answer = call(service, "StartSession", {"Target": "i-1"})
        assert (status, answer["__type"]) == (400, "MissingAuthenticationTokenException")
        assert call(service, "StartSession", {"Target": "i-1"}, headers=LOOKS_SIGNED)[0] == 200
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            session = service.session()
            Client(
                {"StreamUrl": service.gateway.stream_url(session), "TokenValue": session.token}
            )
        assert refused.value.status_code == 403


def test_a_presigned_url_counts_as_signed_where_no_keys_are_known():
    with LocalService(Agents(), require_signatures=True) as service:
        session = open_session(service)
        opening = opening_of(service, session)
        opening["StreamUrl"] += "&X-Amz-Signature=00"
        with Client(opening) as client:
            client.send(data(0))
            assert client.receive() == [data(0)]


def open_session(service):
    return service.gateway.start_session(StartRequest("i-1", "", {}, ""))


def opening_of(service, session):
    return {"StreamUrl": service.gateway.stream_url(session), "TokenValue": session.token}


@pytest.mark.parametrize(
    "key, secret, service_name, verdict",
    [
        ("AKIDEXAMPLE", "a secret key", "ssmmessages", VERIFIED),
        ("AKIDEXAMPLE", "another key", "ssmmessages", WRONG),
        ("AKIDEXAMPLE", "a secret key", "ssm", WRONG),
        ("AKIDOTHER", "a secret key", "ssmmessages", WRONG),
    ],
)
def test_signatures_of_upgrades_are_verified(key, secret, service_name, verdict):
    with LocalService(Agents(), secret_keys=KEYS) as service:
        session = open_session(service)
        opening = opening_of(service, session)
        opening["StreamUrl"] = sigv4.encoded_query(service.gateway.resumed_stream_url(session))
        headers = sigv4.sign(
            "GET",
            opening["StreamUrl"],
            {},
            b"",
            Credentials(key, secret, "session token", None),
            "eu-west-1",
            service_name,
            time.time(),
        )
        try:
            Client(opening, header=dict(headers)).socket.shutdown()
        except websocket.WebSocketBadStatusException as error:
            assert error.status_code == 403
        assert service.signatures.counts() == {verdict: 1}


def test_botocore_is_understood_and_its_signatures_are_right():
    session_module = pytest.importorskip("botocore.session")
    with LocalService(Agents(), secret_keys=KEYS, require_signatures=True) as service:
        client = botocore_client(session_module, service, "a secret key")
        opening = client.start_session(Target="i-1", Parameters={"portNumber": ["22"]})
        assert service.session().request.parameters == {"portNumber": ["22"]}
        resumed = client.resume_session(SessionId=opening["SessionId"])
        assert resumed["TokenValue"] != opening["TokenValue"]
        assert client.describe_sessions(State="Active")["Sessions"][0]["StartDate"].year > 2000
        client.terminate_session(SessionId=opening["SessionId"])
        assert [one.signature for one in service.ssm.calls()] == [VERIFIED] * 4
        service.answer_with("StartSession", "TargetNotConnected", "i-1 is not connected.")
        with pytest.raises(client.exceptions.TargetNotConnected):
            client.start_session(Target="i-1")


def test_botocore_with_a_wrong_key_is_refused():
    session_module = pytest.importorskip("botocore.session")
    exceptions = pytest.importorskip("botocore.exceptions")
    with LocalService(Agents(), secret_keys=KEYS) as service:
        client = botocore_client(session_module, service, "another key")
        with pytest.raises(exceptions.ClientError, match="InvalidSignatureException"):
            client.start_session(Target="i-1")
        assert service.sessions() == []


def botocore_client(session_module, service, secret_key):
    return session_module.Session().create_client(
        "ssm",
        region_name="eu-west-1",
        endpoint_url=service.endpoint_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=secret_key,
    )


def test_many_clients_call_at_once(service):
    threads = [threading.Thread(target=start, args=(service,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({one.session_id for one in service.sessions()}) == 20
    for one in service.sessions():
        assert resume(service, one.session_id)["TokenValue"] == one.token
