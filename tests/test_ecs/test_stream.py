"""What the terminal writes is taken apart, wherever it is cut."""

import os

import pytest

from ssm_plugin.jobs.terminal_line import ERRORS, OUTPUT, TerminalStream, terminal_line

MARKER = b"abcabd" * 6
READY = MARKER + b"=r\n"


def taken_apart(data, size):
    stream, found = TerminalStream(MARKER), {OUTPUT: b"", ERRORS: b""}
    for start in range(0, len(data), size):
        for kind, piece in stream.feed(data[start:start + size]):
            found[kind] += piece
    return stream, found[OUTPUT], found[ERRORS]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 37, 1000])
def test_output_errors_and_words_at_every_cut(size):
    data = b"motd\n" + READY + b"one " + MARKER + b"<err\r\n" + MARKER + b">two" + MARKER[:20]
    data += b"x" + MARKER + b":7\n" + b"late" + MARKER + b".\n"
    stream, out, errors = taken_apart(data, size)
    assert (out, errors) == (b"one two" + MARKER[:20] + b"xlate", b"err\r\n")
    assert (stream.status, stream.is_complete, stream.before) == (7, True, b"motd\n")


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_what_a_terminal_adds_is_undone_exactly(size):
    stream, out, errors = taken_apart(MARKER + b"=c\r\na\r\nb\r\r\n\rc\r\n", size)
    assert out == b"a\nb\r\n\rc\n"


def test_only_what_may_be_a_marker_is_held_back():
    stream = TerminalStream(MARKER)
    stream.feed(READY)
    assert stream.feed(b"a prompt: ab") == [(OUTPUT, b"a prompt: ")]
    assert stream.feed(b"x") == [(OUTPUT, b"abx")]


@pytest.mark.parametrize("end", [MARKER[:1], MARKER[:15]])
def test_what_only_began_like_a_marker_is_output_after_all(end):
    stream = TerminalStream(MARKER)
    assert stream.feed(READY + b"out" + end) == [(OUTPUT, b"out")]
    assert stream.rest() == [(OUTPUT, end)]
    assert stream.rest() == []


@pytest.mark.parametrize("end", [MARKER[:16], MARKER, MARKER + b":1"])
def test_half_a_word_is_not_shown(end):
    stream = TerminalStream(MARKER)
    assert stream.feed(READY + b"out" + end) == [(OUTPUT, b"out")]
    assert stream.rest() == []


def test_a_marker_that_no_word_follows_is_not_waited_for():
    """Else a node could have us keep all that it sends."""
    stream = TerminalStream(MARKER)
    assert stream.feed(READY + MARKER + b"x" * 1000) == [(OUTPUT, b"x" * 1000)]


def test_the_line_does_not_hold_the_marker_itself():
    line = terminal_line(["echo", "{{x}}", os.sep])
    assert line.marker not in line.text.encode()
    assert "{{" not in line.text
