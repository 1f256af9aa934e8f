"""The connections of one session: to whom, by which way, signed how, with which token."""

import contextlib
import itertools
import socket
import threading

import pytest

from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.aws.credentials import CredentialProvider
from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import (
    CertificateError,
    ConnectError,
    ServiceError,
    SsmPluginError,
    UpgradeError,
    UsageError,
)
from ssm_plugin.loopback.gateway import EMPTY, OTHER_PORT
from ssm_plugin.session.connector import Connector
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.types import SessionConfig
from tests.support.aws_side import ACCESS_KEY, REGION, SECRET_KEY, TARGET, AwsSide
from tests.support.threads import TIME_LIMIT

KEYS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
}
STREAM_HOST = "ssmmessages.eu-west-1.amazonaws.com"


def connector(aws, keys=KEYS, network=None, **changes):
    """For a session that was just started; ``changes`` are of what StartSession answered."""
    network = network or NetworkSettings(connect_timeout=10.0)
    environ = dict(aws.environ, **keys)
    service = ServiceClient(
        CredentialProvider(None, environ), REGION, None, network, environ, timeout=10.0
    )
    started = dict(aws.started_session(), **changes)
    config = SessionConfig(
        started["SessionId"], started["StreamUrl"], started["TokenValue"], TARGET
    )
    return Connector(Environment(service, network, environ=environ), config, "c-1")


@contextlib.contextmanager
def dialled(dial):
    connection = dial()
    try:
        yield connection
    finally:
        connection.abort()
        connection.close()


def wait_for_client(aws, connections=1):
    aws.service.wait_for(lambda: aws.service.session().connections == connections)


def test_a_dial_opens_the_session_with_its_token_and_a_signature(tmp_path):
    with AwsSide(tmp_path) as aws, dialled(connector(aws).dial) as connection:
        wait_for_client(aws)
        assert connection.receive()
        assert aws.verdicts() == {"verified": 1}


def test_each_dial_is_signed_afresh(tmp_path):
    with AwsSide(tmp_path) as aws:
        made = connector(aws)
        for number in (1, 2, 3):
            with dialled(made.dial):
                wait_for_client(aws, number)
        assert aws.verdicts() == {"verified": 3}


@pytest.mark.parametrize(
    "url",
    [
        "wss://evil.example/v1/data-channel/s",
        "wss://ssmmessages.eu-west-1.amazonaws.com.evil.example/",
        "wss://user@127.0.0.1/",
        "https://127.0.0.1/",
        "ws://ssmmessages.eu-west-1.amazonaws.com/",
    ],
)
def test_a_hostile_url_is_refused_before_anything_is_sent(tmp_path, url):
    with AwsSide(tmp_path, login="a:b") as aws:
        for scheme in ("HTTP_PROXY", "HTTPS_PROXY"):
            aws.environ[scheme] = "http://a:b@127.0.0.1:%d" % aws.proxy.port
        with pytest.raises(UsageError, match="the stream URL"):
            connector(aws, StreamUrl=url).dial()
        assert aws.proxy.attempts() == []


def test_another_endpoint_is_dialled_but_the_host_is_signed(tmp_path):
    with AwsSide(tmp_path, tls=True, names=["DNS:" + STREAM_HOST, "IP:127.0.0.1"]) as aws:
        port = int(aws.service.endpoint_url.rpartition(":")[2])
        network = NetworkSettings(stream_endpoint="127.0.0.1:%d" % port)
        session = aws.started_session()
        path = session["StreamUrl"].partition("127.0.0.1:%d" % port)[2]
        url = "wss://" + STREAM_HOST + path
        with dialled(connector(aws, network=network, **dict(session, StreamUrl=url)).dial):
            aws.service.wait_for(lambda: aws.service.session(session["SessionId"]).connections)
        assert aws.verdicts() == {"verified": 1}


def test_another_endpoint_must_still_have_the_certificate_of_the_host(tmp_path):
    with AwsSide(tmp_path, tls=True) as aws:
        port = int(aws.service.endpoint_url.rpartition(":")[2])
        network = NetworkSettings(stream_endpoint="127.0.0.1:%d" % port)
        with pytest.raises(CertificateError, match="certificate of " + STREAM_HOST):
            connector(aws, network=network, StreamUrl="wss://%s/x" % STREAM_HOST).dial()


def test_the_way_leads_through_the_proxy(tmp_path):
    with AwsSide(tmp_path, tls=True, login="ann:secret") as aws, dialled(connector(aws).dial):
        wait_for_client(aws)
        assert [attempt.status for attempt in aws.proxy.attempts()] == [200]


# The first connection, which is tried again

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def gateway_behind(aws, *answers):
    """What StartSession tells then, and the list of connections: the first ones get these
    ``answers``, of which an empty one is none, and all others come to the service."""
    port = int(aws.service.endpoint_url.rpartition(":")[2])
    listener, ends, threads = socket.socket(), [], []
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)

    def copy(source, sink):
        with contextlib.suppress(OSError):
            for piece in iter(lambda: source.recv(65536), b""):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def start(target, *arguments):
        threads.append(threading.Thread(target=target, args=arguments))
        threads[-1].start()

    def accept():
        for number in itertools.count():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            ends.append(client)
            if number < len(answers):
                client.recv(65536)
                client.sendall(answers[number])
                client.shutdown(socket.SHUT_RDWR)
            else:
                server = socket.create_connection(("127.0.0.1", port))
                ends.append(server)
                start(copy, server, client)
                start(copy, client, server)

    start(accept)
    started = aws.started_session()
    url = started["StreamUrl"].replace(":%d/" % port, ":%d/" % listener.getsockname()[1])
    try:
        yield dict(started, StreamUrl=url), ends
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in threads:
            one.join(TIME_LIMIT)
        for end in ends:
            end.close()


def channel_of(made):
    return made.new_channel((), lambda event: None, lambda: 0)


def test_a_gateway_that_fails_for_a_moment_is_tried_again_with_the_same_token(tmp_path):
    with AwsSide(tmp_path) as aws, gateway_behind(aws, b"", BUSY) as (started, ends):
        channel = channel_of(connector(aws, **started))
        assert channel.open()
        session = aws.service.session(started["SessionId"])
        with contextlib.closing(channel):
            aws.service.wait_for(lambda: session.connections == 1)
        assert len(ends) == 4  # the last one has two


@pytest.mark.parametrize(
    "answers, attempts, error", [([b""] * 9, 3, ConnectError), ([FORBIDDEN] * 9, 1, UpgradeError)]
)
def test_it_is_tried_three_times_and_not_again_where_that_would_not_help(
    tmp_path, answers, attempts, error
):
    with AwsSide(tmp_path) as aws, gateway_behind(aws, *answers) as (started, ends):
        with pytest.raises(error):
            channel_of(connector(aws, **started)).open()
        assert len(ends) == attempts


def test_a_session_that_ends_meanwhile_is_not_connected(tmp_path):
    with AwsSide(tmp_path) as aws, gateway_behind(aws, b"") as (started, ends):
        made = connector(aws, **started)
        made.close()
        with pytest.raises(SsmPluginError):
            channel_of(made).open()
        assert len(ends) <= 1


# Without a signature


def test_without_credentials_it_dials_unsigned(tmp_path):
    with AwsSide(tmp_path, require_signatures=False) as aws:
        with dialled(connector(aws, keys={}).dial):
            wait_for_client(aws)
        assert aws.verdicts() == {"unsigned": 1}


def test_an_unsigned_dial_that_is_refused_says_why_it_was_unsigned(tmp_path):
    with AwsSide(tmp_path) as aws:
        with pytest.raises(UpgradeError, match="not signed by us: no AWS credentials") as refused:
            connector(aws, keys={}).dial()
        assert refused.value.status == 403
        broken = {"AWS_ACCESS_KEY_ID": "AKIA"}
        with pytest.raises(UpgradeError, match="AWS_SECRET_ACCESS_KEY is not: set both"):
            connector(aws, keys=broken).dial()


def test_without_a_service_it_says_so(tmp_path):
    with AwsSide(tmp_path) as aws:
        started = aws.started_session()
        config = SessionConfig(started["SessionId"], started["StreamUrl"], started["TokenValue"])
        made = Connector(Environment(environ=aws.environ), config, "c-1")
        with pytest.raises(UpgradeError, match="not signed by us: there are no AWS credentials"):
            made.dial()
        assert "without AWS credentials" in made.why_not_resumable()


def test_a_refusal_of_a_signed_dial_names_the_permission(tmp_path):
    with AwsSide(tmp_path, faults="refuse-upgrade") as aws:
        with pytest.raises(UpgradeError, match="ssmmessages:OpenDataChannel"):
            connector(aws).dial()


def test_a_presigned_url_is_left_alone_and_cannot_be_resumed(tmp_path):
    with AwsSide(tmp_path, secret_keys={}) as aws:
        started = aws.started_session()
        url = started["StreamUrl"] + "&X-Amz-Signature=" + "0" * 64
        made = connector(aws, keys={"AWS_ACCESS_KEY_ID": "x"}, **dict(started, StreamUrl=url))
        with dialled(made.dial):
            aws.service.wait_for(lambda: aws.service.session(started["SessionId"]).connections)
        assert "presigned" in made.why_not_resumable()
        assert connector(aws).why_not_resumable() == ""


# Resuming


@pytest.mark.parametrize("resumed_url", [OTHER_PORT, EMPTY])
def test_a_resumption_brings_a_new_token_and_perhaps_another_url(tmp_path, resumed_url):
    with AwsSide(tmp_path, resumed_url=resumed_url) as aws:
        made = connector(aws)
        url, token = made.stream_url, made.token_value
        with dialled(made.dial):
            wait_for_client(aws)
        with dialled(made.resume):
            wait_for_client(aws, 2)
        assert made.token_value != token
        assert (made.stream_url == url) == (resumed_url == EMPTY)
        assert aws.verdicts() == {"verified": 3}


def test_a_session_that_is_over_gives_no_connection(tmp_path):
    with AwsSide(tmp_path) as aws:
        made = connector(aws)
        aws.service.session().terminate()
        aws.wait_until_no_session_is_open()
        assert made.resume() is None


def test_a_refused_resumption_leaves_url_and_token_as_they_were(tmp_path):
    with AwsSide(tmp_path) as aws:
        made = connector(aws)
        before = (made.stream_url, made.token_value)
        aws.service.answer_with("ResumeSession", "AccessDeniedException", "no")
        with pytest.raises(ServiceError, match="ssm:ResumeSession"):
            made.resume()
        assert (made.stream_url, made.token_value) == before
