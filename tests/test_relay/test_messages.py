"""The decoder of what comes down, the frames that go up, and what is told of room."""

import binascii
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_plugin.errors import RemoteError
from ssm_plugin.relay import messages
from ssm_plugin.relay.messages import PORTION, WINDOW, Credit, DownDecoder, Message, Taken

TOKEN = "00ff"
GREETING = b"\n@00ff 4711\n"


def line(number, stream, kind, data=b""):
    head = b"~%d %d %s %d " % (number, stream, kind, len(data))
    return head + binascii.b2a_base64(data)


def fed(*pieces):
    decoder, found = DownDecoder(TOKEN), []
    for piece in pieces:
        found += decoder.feed(piece)
    return decoder, found


def test_the_greeting_tells_the_port():
    assert fed(GREETING)[0].port == 4711


def test_a_node_without_an_interpreter_says_so():
    assert fed(b"\n@00ff none\n")[0].port == 0


def test_before_the_greeting_there_is_no_port_whatever_else_is_said():
    assert fed(b"Welcome to @00ff\n@1234 99\n~1 1 d 0 \n")[0].port is None


@given(st.lists(st.tuples(st.integers(1, 9), st.binary(max_size=300)), max_size=8), st.data())
def test_lines_may_be_cut_anywhere(sent, data):
    text = b"a banner" + GREETING
    for number, (stream, content) in enumerate(sent, 1):
        text += line(number, stream, b"d", content)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0] + cuts, cuts + [len(text)])]
    assert fed(*pieces)[1] == [Message(stream, b"d", content) for stream, content in sent]


@pytest.mark.parametrize(
    "noise",
    [b"hello\n", b"\n\n", b"~\n", b"~1 x\n", b"\xff\x00\n", b"~9 1 d 5 YQ==\n", b"~2 1 d 1 YQ\n"],
)
def test_noise_between_lines_is_skipped(noise):
    text = GREETING + line(1, 3, b"d", b"one") + noise + line(2, 3, b"d", b"two")
    assert [message.data for message in fed(text)[1]] == [b"one", b"two"]


def test_noise_of_any_length_is_skipped_and_not_kept():
    decoder, _ = fed(GREETING)
    for _ in range(100):
        assert decoder.feed(b"x" * 10000) == []
        assert len(decoder._rest) <= messages.LINE_LIMIT
    assert decoder.feed(b"\n" + line(1, 1, b"f")) == [Message(1, b"f", b"")]


def test_a_line_that_something_else_wrote_into_is_noticed():
    first = line(1, 3, b"d", b"what the relay said")
    text = GREETING + first[:20] + b"noise\n" + first[20:] + line(2, 3, b"d", b"more")
    with pytest.raises(RemoteError, match="damaged"):
        fed(text)


def test_a_line_that_was_lost_is_noticed():
    with pytest.raises(RemoteError, match="damaged"):
        fed(GREETING + line(1, 3, b"d", b"a") + line(3, 3, b"d", b"c"))


def test_frames_of_data_are_whole_and_of_one_size_but_the_last():
    framed = messages.data_frames(bytes(3000), 1016)
    assert len(framed) == 3000 + 3 * messages.HEADER.size
    sizes = []
    while framed:
        kind, size = messages.HEADER.unpack(framed[:3])
        assert kind == messages.DATA
        sizes.append(3 + size)
        framed = framed[3 + size :]
    assert sizes == [1016, 1016, 3009 - 2032]


def test_room_is_told_in_portions_and_all_of_it():
    taken = Taken()
    told = [taken.add(size) for size in (1, PORTION - 2, 1, PORTION + 5)]
    assert told == [0, 0, PORTION, PORTION + 5]


@pytest.fixture
def restless_threads():
    """They take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_one_thread_may_spend_while_another_grants(restless_threads):
    credit = Credit()
    threads = [threading.Thread(target=many, args=(do,)) for do in (credit.spend, credit.grant)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert credit.left == WINDOW


def many(do):
    for _ in range(100000):
        do(1)
