import json
import os
import subprocess
import sys

import pytest

from ssm_plugin import display
from ssm_plugin.display import encoded, filled, json_line, shown, shown_lines, shown_output


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain ASCII, with ~ and \\ and {braces}",
        "caf\u00e9, na\u00efve, \u03b1\u03b2\u03b3, \u0440\u0443\u0441\u0441\u043a\u0438\u0439",
        "\u6f22\u5b57 \ud55c\uad6d\uc5b4 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
        "\U0001f600 \u2764\ufe0f \u2603",
        "e\u0301 one that combines",
        "10\u00a0km, \u3000wide, \u2009thin",
    ],
)
def test_what_can_be_read_stays(text):
    assert shown(text) == text
    assert shown_lines(text) == text
    assert shown_output(text.encode("utf-8")) == text.encode("utf-8")


@pytest.mark.parametrize(
    "text, seen",
    [
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x00\x07\x08\x0b\x0c\x1b[31m\x7f", "\\x00\\x07\\x08\\x0b\\x0c\\x1b[31m\\x7f"),
        ("\x80\x85\x9b31m\x9f", "\\x80\\x85\\x9b31m\\x9f"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u061c\u200e\u200f", "\\u061c\\u200e\\u200f"),
        ("\u202a\u202b\u202c\u202d\u202e", "\\u202a\\u202b\\u202c\\u202d\\u202e"),
        ("\u2066\u2067\u2068\u2069", "\\u2066\\u2067\\u2068\\u2069"),
        ("\u200b\u200c\u200d\u2060\ufeff\u00ad", "\\u200b\\u200c\\u200d\\u2060\\ufeff\\xad"),
        ("\u034f\u115f\u3164\ufe00", "\\u034f\\u115f\\u3164\\ufe00"),
        ("\U000e0041\U000e0100", "\\U000e0041\\U000e0100"),
        ("\ud800 \udc9b \udfff", "\\ud800 \\udc9b \\udfff"),
        ("\ue000\ufffe", "\\ue000\\ufffe"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_an_escape(text, seen):
    assert shown(text) == seen


def test_lines_stay_where_they_may():
    assert shown_lines("a\nb\r\nc\rd\r\r\n\te\x85f\u2028g") == (
        "a\nb\nc\\rd\\r\n\\te\\x85f\\u2028g"
    )


def test_output_keeps_lines_and_tabs_and_shows_bytes_that_are_no_utf_8():
    assert shown_output(b"a\tb\r\nc\rd\x1b[0m\x9b \xc2\x9b \xff\xc3\n") == (
        b"a\tb\nc\\rd\\x1b[0m\\x9b \\x9b \\xff\\xc3\n"
    )


def test_fields_are_filled_in_each_on_one_line():
    assert filled("\n{a} : {b}\n", a=7, b="x\n\x1b{a}") == "\n7 : x\\n\\x1b{a}\n"


def test_other_braces_are_no_fields():
    assert filled("{a} {b} {} {0} {{a} {a", a=7) == "7 {b} {} {0} {7 {a"


def test_json_needs_nothing_of_this():
    text = json.dumps("".join(map(chr, range(0x10000))))
    assert shown(text) == text


def test_bytes_are_those_of_the_locale():
    script = (
        "import sys; from ssm_plugin.display import encoded\n"
        "sys.stdout.buffer.write(encoded('\\u2603 caf\\xe9'))\n"
    )
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environ["PYTHONPATH"] = os.path.dirname(os.path.dirname(display.__file__))
    written = subprocess.check_output([sys.executable, "-c", script], env=environ, timeout=40)
    assert written in (b"\\u2603 caf\\xe9", "\u2603 caf\xe9".encode("utf-8"))
    assert encoded("plain") == b"plain"


def test_json_is_such_for_every_reader():
    line = json_line({"path": "\udcff\U0001f480\u00e9\x1b\\"})
    assert line == r'{"path": "\\xff\ud83d\udc80\u00e9\u001b\\"}' + "\n"


# --- Whatever the text

pytest.importorskip("hypothesis")

from hypothesis import example, given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

CONTROLS = "".join(map(chr, list(range(0x20)) + list(range(0x7F, 0xA0))))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
FORBIDDEN = frozenset(CONTROLS + BIDI + "\u2028\u2029" + "".join(map(chr, range(0xD800, 0xE000))))

# All characters, lone surrogates among them, and the dangerous ones often.
TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from(sorted(FORBIDDEN)), st.sampled_from("\\x1bun\r\n"))
)


@given(TEXTS)
@example(CONTROLS + BIDI)
def test_it_is_one_line_that_every_terminal_prints(text):
    seen = shown(text)
    assert FORBIDDEN.isdisjoint(seen)
    assert seen.splitlines() in ([], [seen])
    assert shown(seen) == seen
    seen.encode("utf-8")


@given(TEXTS, TEXTS)
@example("\x1b", "\u202e")
@example("a", "a\u200b")
def test_different_texts_look_different_but_for_backslashes(one, other):
    one, other = one.replace("\\", "/"), other.replace("\\", "/")
    assert (shown(one) == shown(other)) == (one == other)


@given(TEXTS)
def test_lines_are_those_of_the_text_each_shown(text):
    lines = text.replace("\r\n", "\n").split("\n")
    assert shown_lines(text) == "\n".join(map(shown, lines))


@given(st.binary())
def test_output_is_utf_8_without_controls(data):
    seen = shown_output(data).decode("utf-8")
    assert FORBIDDEN.intersection(seen) <= {"\n", "\t"}
    assert seen.count("\n") == data.count(b"\n")


@given(TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_so_is_output_of_any_characters(data):
    assert FORBIDDEN.intersection(shown_output(data).decode("utf-8")) <= {"\n", "\t"}
