"""Nodes that fall silent, against limits that are shorter than usual."""

import threading

from ssm_plugin.config import NetworkSettings, Settings
from ssm_plugin.errors import DeadlineError
from ssm_plugin.session.environment import make_environment
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionStatus, SessionType
from tests.support.aws_side import PROMPT, REGION, TARGET, AwsSide

LIMIT = 0.5
TIME_LIMIT = 15


def hasty_session(aws, output):
    started = aws.started_session()
    settings = Settings(region=REGION, network=NetworkSettings(first_output_timeout=LIMIT))
    streams = CallableStreams(output, output)
    session = Session(
        SessionConfig(started["SessionId"], started["StreamUrl"], started["TokenValue"], TARGET),
        ClientConfig("c-1", SessionType.STANDARD_STREAM),
        environment=make_environment(settings, streams, environ=aws.keys_in_environment()),
    )
    session.execute()
    return session


def test_a_node_that_says_nothing_is_given_up(tmp_path):
    with AwsSide(tmp_path, faults="down.lose") as aws:
        session = hasty_session(aws, lambda data: None)
        outcome = session.wait(TIME_LIMIT)
        assert isinstance(outcome.error, DeadlineError)
        assert "the node sent nothing within 0.5 s; check that" in str(outcome.error)
        assert session.status is SessionStatus.FAILED
        assert aws.service.open_sessions() == []


def test_a_handshake_that_has_begun_may_take_longer_than_the_first_message(tmp_path):
    """Its own limit is that of the lifecycle."""
    go_on, output, prompt = threading.Event(), [], threading.Event()

    def decrypt(ciphertext, context):
        assert go_on.wait(TIME_LIMIT)
        return aws.kms.decrypt(ciphertext, context)

    def take(data):
        output.append(data)
        if PROMPT in b"".join(output):
            prompt.set()

    with AwsSide(tmp_path, kms={}) as aws:
        aws.decrypt = decrypt
        session = hasty_session(aws, take)
        assert session.wait(2 * LIMIT) is None
        assert session.status is SessionStatus.CONNECTED
        assert output == []
        go_on.set()
        assert prompt.wait(TIME_LIMIT)
        session.terminate_session()
        assert session.status is SessionStatus.TERMINATED
        assert aws.service.open_sessions() == []
