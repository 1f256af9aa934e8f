import pytest

from ssm_plugin.channel.events import Output
from ssm_plugin.transport import spill as module
from ssm_plugin.transport.spill import Spill, Spilled


@pytest.fixture
def spill():
    spill = Spill()
    yield spill
    spill.close()


def test_neighbours_of_one_type_become_one_event(spill):
    first = spill.keep(Output(1, b"abc"))
    assert spill.keep(Output(1, b"def")) is None
    other = spill.keep(Output(11, b"err"))
    last = spill.keep(Output(1, b"ghi"))
    assert [one.load() for one in (first, other, last)] == [
        Output(1, b"abcdef"),
        Output(11, b"err"),
        Output(1, b"ghi"),
    ]


def test_what_was_read_grows_no_more(spill):
    first = spill.keep(Output(1, b"abc"))
    assert first.load().data == b"abc"
    second = spill.keep(Output(1, b"def"))
    assert second.load().data == b"def"


def test_another_event_comes_in_between(spill):
    spill.keep(Output(1, b"abc"))
    spill.other()
    assert isinstance(spill.keep(Output(1, b"def")), Spilled)


def test_megabytes_come_back_in_order_and_files_go(spill):
    data = [b"%07d\n" % number * 1000 for number in range(5000)]
    events = [one for one in (spill.keep(Output(1, piece)) for piece in data) if one]
    assert 2 <= len(spill._segments) <= 4
    assert all(event.size < module.PIECE + 8000 for event in events)
    assert b"".join(event.load().data for event in events) == b"".join(data)
    assert spill._segments == []


def test_after_the_end_nothing_is_kept_and_nothing_comes(spill):
    event = spill.keep(Output(1, b"abc"))
    spill.close()
    assert event.load() == Output(1, b"")
    late = Output(1, b"def")
    assert spill.keep(late) is late
