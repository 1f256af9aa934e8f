"""From a lost connection to the next one: what the session is told of it, and in which order."""

import queue

import pytest

from ssm_plugin.channel.events import ChannelClosed
from ssm_plugin.errors import ConnectionLost, NoCredentialsError
from ssm_plugin.session.events import FoundOver, NotResumed, Paused, Resumed
from ssm_plugin.session.lifecycle import Lifecycle, Limits
from ssm_plugin.session.resumption import Resumption
from ssm_plugin.transport.data_channel import Disconnected
from ssm_plugin.transport.worker import WorkerFailed

TIME_LIMIT = 40.0
LOSS = Disconnected(ConnectionLost("reset"))


class ReadyConnector:
    """Answers at once: with the next connection, or by ``resume``."""

    def __init__(self, resume=object):
        self._resume = resume

    def why_not_resumable(self):
        return ""

    def resume(self):
        return self._resume()

    def taken(self):
        pass


class HastyChannel:
    """``attached`` runs before ``attach`` has returned, as the thread that reads may do."""

    progress = 0

    def __init__(self, attached):
        self._attached = attached

    def attach(self, connection):
        self._attached()


def running_lifecycle():
    lifecycle = Lifecycle(Limits())
    lifecycle.execute(0.0)
    lifecycle.connected(0.0, 0)
    lifecycle.started()
    return lifecycle


def told_after_a_loss(attached):
    """The queue of a running session that loses its connection; ``attached`` gets its resumption,
    and the queue."""
    told = queue.Queue()
    resumption = Resumption(running_lifecycle(), ReadyConnector(), told.put, lambda: None)
    resumption.channel = HastyChannel(lambda: attached(resumption, told))
    resumption.told(LOSS)
    return told


def kinds(told, count):
    return [type(told.get(timeout=TIME_LIMIT)) for _ in range(count)]


def test_what_the_next_connection_brings_comes_after_the_news_of_it():
    told = told_after_a_loss(lambda resumption, told: resumption.told(ChannelClosed("")))
    assert kinds(told, 3) == [Paused, Resumed, ChannelClosed]


def test_the_loss_of_the_next_connection_comes_after_the_news_of_it():
    order, losses = queue.Queue(), [LOSS]

    def attached(resumption, told):
        if losses:
            resumption.told(losses.pop())
            for kind in kinds(told, 3):  # the last one is told by the thread that goes on
                order.put(kind)

    told = told_after_a_loss(attached)
    assert [order.get(timeout=TIME_LIMIT) for _ in range(3)] == [Paused, Resumed, Paused]
    assert kinds(told, 1) == [Resumed]


def out_of_memory():
    raise MemoryError()


def no_credentials():
    raise NoCredentialsError("there are no AWS credentials")


@pytest.mark.parametrize(
    "resume, end",
    [(no_credentials, NotResumed), (lambda: None, FoundOver), (out_of_memory, WorkerFailed)],
)
def test_an_end_of_all_attempts_has_no_limit_to_be_heard(resume, end):
    """The session may be stuck in writing what came before."""
    told, lifecycle = queue.Queue(), running_lifecycle()
    resumption = Resumption(lifecycle, ReadyConnector(resume), told.put, lambda: None)
    resumption.channel = HastyChannel(None)
    resumption.told(LOSS)
    assert kinds(told, 2) == [Paused, end]
    assert lifecycle.next_timer() is None and lifecycle.retry_at is None
    assert not lifecycle.is_ending, "that is for the session to decide"
