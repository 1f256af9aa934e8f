import pytest

from ssm_plugin.jobs.trailer_runner import Trailer

MARKER = b"0123456789abcdef0123"


def pieces(data, size):
    return [data[start:start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 20, 21, 22, 100])
@pytest.mark.parametrize("output", [b"", b"out\n", b"no newline", MARKER[:19] + b"x", b"0" * 50])
def test_a_trailer_is_found_and_not_shown_however_it_is_cut(output, size):
    trailer = Trailer(MARKER)
    shown = b"".join(trailer.feed(piece) for piece in pieces(output + MARKER + b":7\n", size))
    assert shown + trailer.rest() == output
    assert trailer.status == 7


def test_output_that_cannot_be_a_trailer_is_passed_on_at_once():
    trailer = Trailer(MARKER)
    assert trailer.feed(b"password: ") == b"password: "
    assert trailer.feed(b"01 ") == b"01 "


def test_only_what_may_become_a_trailer_is_held_back():
    trailer = Trailer(MARKER)
    assert trailer.feed(b"abc 0123") == b"abc "
    assert trailer.feed(b"x") == b"0123x"


def test_what_only_began_like_a_trailer_is_output_after_all():
    trailer = Trailer(MARKER)
    shown = trailer.feed(MARKER[:5])
    assert shown + trailer.rest() == MARKER[:5]
    assert trailer.status is None
    assert trailer.rest() == b""


@pytest.mark.parametrize("cut", [MARKER, MARKER + b":", MARKER + b":1", MARKER[:17]])
def test_half_a_trailer_is_not_shown(cut):
    trailer = Trailer(MARKER)
    assert trailer.feed(b"out" + cut) + trailer.rest() == b"out"
    assert trailer.status is None


@pytest.mark.parametrize("tail, live", [(b":3+\n", True), (b":3\n", False)])
def test_a_trailer_tells_whether_output_was_live(tail, live):
    trailer = Trailer(MARKER)
    assert b"".join(trailer.feed(piece) for piece in pieces(MARKER + tail, 1)) == b""
    assert (trailer.status, trailer.was_live) == (3, live)


@pytest.mark.parametrize("wrong", [b":\n", b":1234\n", b":x\n", b" :1\n"])
def test_a_marker_that_no_status_follows_is_output(wrong):
    trailer = Trailer(MARKER)
    data = MARKER + wrong + b"and on\n"
    shown = b"".join(trailer.feed(piece) for piece in pieces(data, 1))
    assert shown + trailer.rest() == data
    assert trailer.status is None


def test_what_comes_after_the_trailer_is_output_too():
    trailer = Trailer(MARKER)
    assert trailer.feed(b"a" + MARKER + b":0\nb") == b"ab"
    assert trailer.status == 0
    assert trailer.feed(MARKER + b":5\n") == MARKER + b":5\n"
    assert trailer.status == 0


def test_a_status_is_a_byte():
    trailer = Trailer(MARKER)
    trailer.feed(MARKER + b":300\n")
    assert trailer.status == 44
