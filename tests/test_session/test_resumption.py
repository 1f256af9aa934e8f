"""From a lost connection to the next one: what the session is told of it, and in which order."""

import queue

from ssm_plugin.channel.events import ChannelClosed
from ssm_plugin.errors import ConnectionLost
from ssm_plugin.session.events import Paused, Resumed
from ssm_plugin.session.lifecycle import Lifecycle, Limits
from ssm_plugin.session.resumption import Resumption
from ssm_plugin.transport.data_channel import Disconnected

TIME_LIMIT = 40.0
LOSS = Disconnected(ConnectionLost("reset"))


class ReadyConnector:
    """Has the next connection at once."""

    def why_not_resumable(self):
        return ""

    def resume(self):
        return object()

    def taken(self):
        pass


class HastyChannel:
    """``attached`` runs before ``attach`` has returned, as the thread that reads may do."""

    progress = 0

    def __init__(self, attached):
        self._attached = attached

    def attach(self, connection):
        self._attached()


def told_after_a_loss(attached):
    """The queue of a running session that loses its connection; ``attached`` gets its resumption,
    and the queue."""
    told = queue.Queue()
    lifecycle = Lifecycle(Limits())
    lifecycle.execute(0.0)
    lifecycle.connected(0.0, 0)
    lifecycle.started()
    resumption = Resumption(lifecycle, ReadyConnector(), told.put, lambda: None)
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
