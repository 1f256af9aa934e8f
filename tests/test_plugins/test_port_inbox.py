import select
import threading

from ssm_plugin.terminal.wake import Inbox


def is_readable(inbox):
    return bool(select.select([inbox.reader], [], [], 0)[0])


def test_items_come_in_order_and_make_the_inbox_readable_once():
    inbox = Inbox()
    assert not is_readable(inbox) and inbox.take() == []
    inbox.put(1)
    inbox.put(None)
    assert is_readable(inbox)
    assert inbox.take() == [1, None]
    assert not is_readable(inbox) and inbox.take() == []
    assert inbox.close() == []
    assert inbox.close() == []


def test_whoever_ends_learns_what_was_left_and_nobody_brings_more():
    inbox = Inbox()
    assert inbox.put(1)
    assert inbox.close() == [1]
    assert not inbox.put(2)
    assert inbox.close() == []


def test_nothing_is_lost_between_threads():
    inbox = Inbox()
    threads = [
        threading.Thread(target=lambda: [inbox.put(n) for n in range(1000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    found = []
    while len(found) < 4000:
        assert select.select([inbox.reader], [], [], 10)[0]
        found += inbox.take()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(list(range(1000)) * 4)
    inbox.close()
