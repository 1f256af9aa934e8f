import os
import queue
import sys
import threading

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.transport.worker import Worker, WorkerFailed
from tests.support.threads import no_threads_left


def test_the_target_runs_in_a_named_daemon_thread():
    seen = queue.Queue()
    worker = Worker("reader", lambda: seen.put(threading.current_thread()), queue.Queue().put)
    worker.start()
    thread = seen.get(timeout=5)
    assert thread.name == "ssm-reader"
    assert thread.daemon
    assert thread is not threading.current_thread()
    assert worker.join(5)


def test_a_target_that_returns_leaves_nothing_in_the_queue():
    failures = queue.Queue()
    worker = Worker("writer", lambda: None, failures.put)
    worker.start()
    assert worker.join(5)
    assert failures.empty()


def test_one_for_which_there_was_no_thread_starts_later():
    worker = Worker("reader", lambda: None, queue.Queue().put)
    with no_threads_left(), pytest.raises(LocalError, match="no more threads"):
        worker.start()
    worker.start()
    assert worker.join(5)


def test_what_a_target_raises_arrives_as_data():
    failures = queue.Queue()
    broken = ValueError("broken")

    def fail():
        raise broken

    worker = Worker("writer", fail, failures.put)
    worker.start()
    failed = failures.get(timeout=5)
    assert failed == WorkerFailed("writer", broken)
    assert failed.error is broken
    assert worker.join(5)


def test_even_a_system_exit_arrives_as_data(capfd):
    failures = queue.Queue()

    def leave():
        raise SystemExit(3)

    worker = Worker("leaver", leave, failures.put)
    worker.start()
    assert isinstance(failures.get(timeout=5).error, SystemExit)
    assert worker.join(5)
    assert capfd.readouterr() == ("", "")


def test_a_join_ends_at_its_deadline_and_says_so():
    gate = threading.Event()
    worker = Worker("stuck", gate.wait, queue.Queue().put)
    worker.start()
    assert worker.join(0.01) is False
    assert worker.join(-1) is False
    gate.set()
    assert worker.join(5) is True


def test_a_worker_that_never_started_counts_as_ended():
    worker = Worker("idle", lambda: None, queue.Queue().put)
    assert worker.join(5) is True


def test_a_worker_that_another_thread_is_just_starting_can_be_joined():
    done = threading.Event()
    worker = Worker("busy", done.wait, queue.Queue().put)
    starter = threading.Thread(target=worker.start)
    with worker._thread._started._cond:  # it runs, but cannot say so yet
        starter.start()
        while worker._thread.ident is None:
            starter.join(0.001)
        assert worker.join(0.01) is False
    starter.join(5)
    done.set()
    assert worker.join(5) is True


def _let_others_run(frame, event, argument):
    os.sched_yield()
    return _let_others_run


def _join(worker, answers):
    sys.settrace(_let_others_run)  # after each line of this thread
    try:
        answers.put(worker.join(5))
    except BaseException as error:
        answers.put(error)
    finally:
        sys.settrace(None)


def test_several_threads_join_a_worker_at_once():
    for _ in range(60):
        gate, answers = threading.Event(), queue.Queue()
        worker = Worker("joined", gate.wait, answers.put)
        worker.start()
        threads = [threading.Thread(target=_join, args=(worker, answers)) for _ in range(4)]
        for thread in threads:
            thread.start()
        gate.set()
        assert [answers.get(timeout=30) for _ in threads] == [True] * 4
        for thread in threads:
            thread.join(30)


def test_a_worker_that_cannot_start_has_nothing_to_wait_for():
    worker = Worker("once", lambda: None, lambda event: None)
    worker.start()
    assert worker.join(5)
    with pytest.raises(RuntimeError):
        worker.start()
    assert worker.join(0.0)
