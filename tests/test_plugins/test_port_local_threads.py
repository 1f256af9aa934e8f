"""The reading and the writing thread by themselves, over socketpairs."""

import os
import queue
import socket
import threading
import time

import pytest

from ssm_plugin.errors import LocalError, SessionLost
from ssm_plugin.net.local_end import LocalEnd, bind_tcp, bind_unix
from ssm_plugin.plugins.local_connection import RESERVE, Connection, Holdings
from ssm_plugin.plugins.local_reader import Accepted, LocalReader, Uplink
from ssm_plugin.plugins.local_writer import LocalWriter
from ssm_plugin.terminal.wake import Inbox
from ssm_plugin.transport.data_channel import LOW_WATER
from ssm_plugin.transport.worker import WorkerFailed
from tests.support.threads import no_threads_left, wait_until

from .port_helpers import TIME_LIMIT, random_bytes, read_all, read_exactly

MEBIBYTE = 1024 * 1024


class Recorder(Uplink):
    def __init__(self):
        self.came = queue.Queue()
        self.room = threading.Event()
        self.room.set()
        self.over = False
        self.refused = threading.Event()

    def opened(self, sock):
        return Connection(sock, 0, time.monotonic())

    def send(self, connection, data):
        self.room.wait(TIME_LIMIT)
        if self.over:
            self.refused.set()
            raise SessionLost("over")
        self.came.put(data)

    def closed(self, connection):
        self.came.put("closed")

    def next(self):
        return self.came.get(timeout=TIME_LIMIT)


class Threads:
    """Both threads, and what they told."""

    def __init__(self, local_end=None, start=True, **options):
        self.delivered = []
        self.events = queue.Queue()
        self.uplink = Recorder()
        self.inbox = Inbox()
        self.holdings = Holdings(self.delivered.append, reserve=0)
        self.writer = LocalWriter(self.holdings, self.inbox, self.events.put)
        self.reader = LocalReader(
            self.uplink, self.inbox, self.writer, self.events.put, local_end, **options
        )
        if start:
            self.writer.start()
            self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.writer.stop(0.0)
        assert self.reader.stop(TIME_LIMIT)

    def pair(self):
        """A connection of theirs, and its peer."""
        near, far = socket.socketpair()
        near.setblocking(False)
        far.settimeout(TIME_LIMIT)
        connection = Connection(near, 3, time.monotonic())
        self.reader.add(connection)
        return connection, far

    def put(self, connection, data):
        kept = self.writer.put(connection, data)
        self.holdings.came(len(data), kept)
        return kept


@pytest.fixture
def threads():
    with Threads() as threads:
        yield threads
    while not threads.events.empty():
        assert not isinstance(threads.events.get(), WorkerFailed)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's /proc")
def test_without_a_thread_no_descriptor_is_left():
    before = len(os.listdir("/proc/self/fd"))
    with Threads(start=False) as threads, no_threads_left():
        for one in (threads.writer, threads.reader):
            with pytest.raises(LocalError):
                one.start()
    assert len(os.listdir("/proc/self/fd")) == before


def test_data_goes_both_ways(threads):
    connection, far = threads.pair()
    with far:
        data = [random_bytes(size) for size in (1, 5, 20000, 3, 3, 3, 100000, 7)]
        for piece in data:
            assert threads.put(connection, piece) == len(piece)
        assert read_exactly(far, sum(map(len, data))) == b"".join(data)
        far.sendall(b"back")
        assert threads.uplink.next() == b"back"
    assert threads.uplink.next() == "closed"
    wait_until(lambda: connection.closed)
    assert sum(threads.delivered) == sum(map(len, data))


def test_small_pieces_are_joined_while_they_wait():
    connection = Connection(None, 3, 0.0)
    for _ in range(1000):
        connection.append(b"x" * 10)
    assert connection.held == 10000
    assert len(connection.pieces) == 2  # the first one may be half way out
    assert connection.clear() == 10000 and connection.held == 0


def test_a_stuck_peer_keeps_its_data_to_itself(threads):
    stuck, far = threads.pair()
    other, reading = threads.pair()
    with far, reading:
        threads.put(stuck, bytes(3 * MEBIBYTE))
        data = random_bytes(MEBIBYTE)
        threads.put(other, data)
        assert read_exactly(reading, len(data)) == data
        assert stuck.held > 2 * MEBIBYTE
        assert read_exactly(far, 3 * MEBIBYTE) == bytes(3 * MEBIBYTE)
        wait_until(lambda: stuck.held == 0)
    assert sum(threads.delivered) == 4 * MEBIBYTE


def test_what_a_peer_did_not_take_before_it_went_counts_as_delivered(threads):
    connection, far = threads.pair()
    threads.put(connection, bytes(3 * MEBIBYTE))
    far.close()
    assert threads.uplink.next() == "closed"
    wait_until(lambda: connection.closed)
    assert sum(threads.delivered) == 3 * MEBIBYTE
    assert threads.put(connection, b"late") == 0
    assert sum(threads.delivered) == 3 * MEBIBYTE + 4


def test_a_peer_that_does_not_read_any_more_may_go_on_sending(threads):
    connection, far = threads.pair()
    with far:
        far.shutdown(socket.SHUT_RD)
        threads.put(connection, b"for nobody")
        wait_until(lambda: connection.dropped)
        far.sendall(b"still here")
        assert threads.uplink.next() == b"still here"
    assert threads.uplink.next() == "closed"


def test_the_end_comes_after_the_data_and_the_rest_of_the_peers_is_thrown_away(threads):
    connection, far = threads.pair()
    with far:
        threads.put(connection, bytes(MEBIBYTE))
        threads.writer.end(connection)
        assert threads.put(connection, b"after the end") == 0
        assert read_all(far) == bytes(MEBIBYTE)
        assert not connection.closed  # it lingers
    wait_until(lambda: connection.closed)


def test_a_peer_that_does_not_close_is_left_after_a_while():
    with Threads(linger=0.05) as threads:
        connection, far = threads.pair()
        with far:
            threads.writer.end(connection)
            assert read_all(far) == b""
            wait_until(lambda: connection.closed)


def test_the_far_end_comes_while_the_peer_waits_for_its_answer(threads):
    connection, far = threads.pair()
    with far:
        far.shutdown(socket.SHUT_WR)
        wait_until(lambda: connection.input_ended_at is not None)
        threads.put(connection, b"answer")
        threads.writer.end(connection)
        assert read_all(far) == b"answer"
    wait_until(lambda: connection.closed)


def test_a_patient_peer_is_given_up_when_nothing_has_come_for_long():
    with Threads(grace=0.1, blind_grace=0.1) as threads:
        connection, far = threads.pair()
        with far:
            threads.put(connection, b"a part")
            far.shutdown(socket.SHUT_WR)
            assert threads.uplink.next() == "closed"
            assert read_all(far) == b"a part"
        wait_until(lambda: connection.closed)


def test_without_grace_the_end_of_the_input_is_the_end():
    with Threads(grace=0, blind_grace=0, linger=0) as threads:
        connection, far = threads.pair()
        with far:
            far.shutdown(socket.SHUT_WR)
            assert threads.uplink.next() == "closed"
            wait_until(lambda: connection.closed)
        other, far = threads.pair()
        with far:
            threads.writer.end(other)
            wait_until(lambda: other.closed)


def test_data_waits_for_a_connection_that_is_still_being_made(threads):
    connection = Connection(None, 3, time.monotonic())
    threads.put(connection, b"early")
    near, far = socket.socketpair()
    with far:
        near.setblocking(False)
        threads.writer.connected(connection, near)
        threads.reader.add(connection)
        assert read_exactly(far, 5) == b"early"
    assert threads.uplink.next() == "closed"


def test_a_connection_that_is_never_made_leaves_nothing(threads):
    connection = Connection(None, 3, time.monotonic())
    threads.put(connection, b"early")
    threads.writer.drop(connection)
    wait_until(lambda: connection.written)
    assert sum(threads.delivered) == 5


def test_a_connection_that_comes_too_late_is_closed():
    threads = Threads()
    threads.writer.stop(0.0)
    assert threads.reader.stop(TIME_LIMIT)
    connection, far = threads.pair()
    with far:
        assert read_all(far) == b""
    assert connection.sock.fileno() == -1


def test_threads_that_never_started_leave_nothing():
    before = sorted(os.listdir("/dev/fd"))
    threads = Threads(start=False)
    connection, far = threads.pair()
    with far:
        threads.writer.stop(0.0)
        assert threads.reader.stop(0.0)
    assert sorted(os.listdir("/dev/fd")) == before


def test_no_more_connections_are_accepted_than_allowed():
    with bind_tcp() as end, Threads(end, limit=1) as threads:
        first = socket.create_connection(("127.0.0.1", end.port), TIME_LIMIT)
        second = socket.create_connection(("127.0.0.1", end.port), TIME_LIMIT)
        with first, second:
            second.sendall(b"second")
            first.sendall(b"first")
            assert threads.uplink.next() == b"first"
            assert threads.reader.count == 1
            first.close()
            assert threads.uplink.next() == "closed"
            assert threads.uplink.next() == b"second"
        for number in (1, 2):
            event = threads.events.get(timeout=TIME_LIMIT)
            assert isinstance(event, Accepted) and event.number == number


def test_a_connection_that_takes_no_option_of_tcp_is_served(tmp_path):
    """As of a Unix socket here; elsewhere, of a peer that has reset it already."""
    with bind_unix(str(tmp_path / "sock")) as end, socket.socket(socket.AF_UNIX) as sock:
        as_tcp = socket.socket(socket.AF_INET, fileno=os.dup(end.sockets[0].fileno()))
        with Threads(LocalEnd([as_tcp])) as threads, as_tcp:
            sock.connect(end.path)
            sock.sendall(b"hello")
            assert threads.uplink.next() == b"hello"


def test_a_reader_that_waits_for_room_ends_with_the_session():
    threads = Threads()
    connection, far = threads.pair()
    with far:
        threads.uplink.room.clear()
        far.sendall(b"no room")
        wait_until(lambda: connection in threads.reader._connections)
        threads.writer.stop(0.0)
        assert not threads.reader.stop(0.1)
        threads.uplink.over = True
        threads.uplink.room.set()
        assert threads.reader.stop(TIME_LIMIT)
        assert connection.closed
    assert threads.events.empty()


def test_a_writer_that_is_stopped_gives_slow_peers_some_time():
    threads = Threads()
    connection, far = threads.pair()
    with far:
        threads.put(connection, bytes(MEBIBYTE))
        stopper = threading.Thread(target=threads.writer.stop, args=(TIME_LIMIT,))
        stopper.start()
        assert read_exactly(far, MEBIBYTE) == bytes(MEBIBYTE)
        stopper.join(TIME_LIMIT)
        assert not stopper.is_alive()
        assert threads.reader.stop(TIME_LIMIT)


def test_a_writer_that_is_stopped_does_not_wait_for_ever():
    threads = Threads()
    connection, far = threads.pair()
    with far:
        threads.put(connection, bytes(8 * MEBIBYTE))
        began = time.monotonic()
        threads.writer.stop(0.1)
        assert time.monotonic() - began < 20
        assert threads.reader.stop(TIME_LIMIT)


def test_a_listener_that_is_closed_meanwhile_is_an_error():
    end = bind_tcp()
    threads = Threads(end)
    for sock in end.sockets:
        sock.shutdown(socket.SHUT_RDWR)
    failed = threads.events.get(timeout=TIME_LIMIT)
    assert isinstance(failed, WorkerFailed)
    assert "the local port was closed" in str(failed.error)
    threads.writer.stop(0.0)
    end.close()


def test_what_is_kept_counts_only_above_the_reserve():
    told = []
    holdings = Holdings(told.append)
    holdings.came(RESERVE, RESERVE)
    assert sum(told) == RESERVE and not holdings.is_full
    holdings.came(LOW_WATER + 10, LOW_WATER)
    assert sum(told) == RESERVE + 10 and not holdings.is_full
    holdings.came(1, 1)
    assert sum(told) == RESERVE + 10 and holdings.is_full
    holdings.left(RESERVE)
    assert sum(told) == RESERVE + 10 + LOW_WATER + 1 and not holdings.is_full
    holdings.left(LOW_WATER + 1)
    assert sum(told) == RESERVE + LOW_WATER + 11


def test_what_is_cut_is_written_without_an_end_and_one_that_was_told_before_stays(threads):
    cut, reading = threads.pair()
    ended, other = threads.pair()
    with reading, other:
        threads.put(cut, b"a part")
        threads.writer.cut(cut)
        threads.put(ended, b"all")
        threads.writer.end(ended)
        threads.writer.cut(ended)
        assert read_all(other) == b"all"
        wait_until(lambda: cut.written)
        assert reading.recv(100) == b"a part"
        reading.setblocking(False)
        with pytest.raises(BlockingIOError):
            reading.recv(100)


def test_all_that_was_put_before_a_writer_is_stopped_is_written():
    """The writer may look for an end at any moment: between two peers, or with nothing to do."""
    for _ in range(200):
        threads = Threads()
        pairs = [threads.pair() for _ in range(8)]
        for connection, _ in pairs:
            threads.put(connection, b"the last")
        threads.writer.stop(TIME_LIMIT)
        for _, far in pairs:
            with far:
                far.setblocking(False)
                assert far.recv(100) == b"the last"
        assert threads.reader.stop(TIME_LIMIT)


def test_a_peer_that_sends_after_the_session_has_ended_takes_nothing_from_the_others():
    threads = Threads()
    _, sending = threads.pair()
    connection, reading = threads.pair()
    with sending, reading:
        threads.uplink.over = True
        data = random_bytes(3 * MEBIBYTE)
        threads.put(connection, data)
        sending.sendall(b"too late")
        assert threads.uplink.refused.wait(TIME_LIMIT)
        stopper = threading.Thread(target=threads.writer.stop, args=(TIME_LIMIT,))
        stopper.start()
        assert read_exactly(reading, len(data)) == data
        stopper.join(TIME_LIMIT)
        assert threads.reader.stop(TIME_LIMIT)
        assert read_all(reading) == b""
