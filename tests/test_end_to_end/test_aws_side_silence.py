"""Nodes that fall silent. Time limits are up to a minute: here alarms go off 60 times as early."""

import contextlib
import threading

import pytest
from ssm_plugin.session.surroundings import make_environment

from ssm_plugin.config import Settings
from ssm_plugin.errors import DeadlineError, HandshakeError
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionStatus, SessionType
from tests.support.aws_side import REGION, TARGET, AwsSide


class HastySession(Session):
    def set_alarm(self, name, seconds):
        super().set_alarm(name, seconds / 60)


@contextlib.contextmanager
def hasty_session(aws):
    started = aws.started_session()
    settings = Settings(region=REGION)
    environ = aws.keys_in_environment()
    environment = make_environment(settings, CallableStreams(print, print), environ=environ)
    session = HastySession(
        SessionConfig(started["SessionId"], started["StreamUrl"], started["TokenValue"], TARGET),
        ClientConfig("c-1", SessionType.STANDARD_STREAM),
        environment=environment,
    )
    session.execute()
    yield session
    assert session.status is SessionStatus.FAILED
    assert aws.service.open_sessions() == []


def test_a_node_that_says_nothing_is_given_up(tmp_path):
    with AwsSide(tmp_path, faults="down.lose") as aws, hasty_session(aws) as session:
        with pytest.raises(DeadlineError, match="the node sent nothing within 60 s; check that"):
            session.run()


def test_a_node_that_does_not_finish_the_handshake_is_given_up(tmp_path):
    over = threading.Event()
    with AwsSide(tmp_path, kms={}) as aws:
        aws.decrypt = lambda ciphertext, context: b"k" * 64 if over.wait(10) else b""
        with hasty_session(aws) as session:
            with pytest.raises(HandshakeError, match="did not finish the handshake within 30 s"):
                session.run()
        over.set()
