import select
import threading

from ssm_plugin.plugins.inbox import Inbox


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
    inbox.close()
    inbox.close()


def test_what_comes_after_the_end_goes_nowhere():
    inbox = Inbox()
    inbox.close()
    inbox.put(1)
    assert inbox.take() == []


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
