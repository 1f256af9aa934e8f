import pytest

from ssm_plugin.terminal.escapes import HELP_TEXT, End, EscapeFilter, Help, Send, Suspend


def sent(actions):
    assert all(isinstance(action, Send) for action in actions)
    return b"".join(action.data for action in actions)


@pytest.mark.parametrize(
    "typed, expected",
    [
        (b"", []),
        (b"ls -l\r", [Send(b"ls -l\r")]),
        (b"~.", [End()]),
        (b"ls\r~.", [Send(b"ls\r"), End()]),
        (b"ls\n~.", [Send(b"ls\n"), End()]),
        (b"ls~.", [Send(b"ls~.")]),
        (b"~~", [Send(b"~")]),
        (b"~~.", [Send(b"~.")]),
        (b"~/bin/run\r", [Send(b"~/bin/run\r")]),
        (b"~\r~.", [Send(b"~\r"), End()]),
        (b"a\r~?b", [Send(b"a\r"), Help(), Send(b"b")]),
        (b"~?~.", [Help(), End()]),
        (b"a\r~\x1a~.", [Send(b"a\r"), Suspend(), End()]),
        (b"~.rm -rf x\r", [End()]),
        (b"~-~.\r~?", [Send(b"~.\r~?")]),
        (b"\xff\x00\x03", [Send(b"\xff\x00\x03")]),
    ],
)
def test_keys_become_actions(typed, expected):
    assert EscapeFilter().feed(typed) == expected


def test_a_lone_tilde_is_held_until_the_next_key():
    keys = EscapeFilter()
    assert keys.feed(b"\r") == [Send(b"\r")]
    assert keys.feed(b"~") == []
    assert keys.feed(b"x") == [Send(b"~x")]


def test_an_escape_may_come_in_two_pieces():
    keys = EscapeFilter()
    assert keys.feed(b"ls\r~") == [Send(b"ls\r")]
    assert keys.feed(b".") == [End()]


def test_nothing_is_sent_after_the_end():
    keys = EscapeFilter()
    keys.feed(b"~.")
    assert keys.feed(b"more") == []
    assert keys.finish() == []


def test_a_tilde_in_the_middle_of_a_line_is_sent_at_once():
    assert EscapeFilter().feed(b"cd ~") == [Send(b"cd ~")]


def test_a_tilde_held_at_the_end_of_the_input_is_sent():
    keys = EscapeFilter()
    keys.feed(b"~")
    assert keys.finish() == [Send(b"~")]
    assert keys.finish() == []


def test_the_result_does_not_depend_on_how_the_keys_are_cut():
    typed = b"~~a\r~?b\n~xc\r\r~~~\r~-~.\r~?z"
    whole, single = EscapeFilter(), EscapeFilter()
    bit_by_bit = [action for key in typed for action in single.feed(bytes([key]))]
    at_once = whole.feed(typed)
    assert at_once.count(Help()) == bit_by_bit.count(Help()) == 1
    assert sent(a for a in at_once if a != Help()) == sent(a for a in bit_by_bit if a != Help())


def test_the_help_names_every_escape_and_is_fit_for_raw_mode():
    for escape in ("~.", "~^Z", "~-", "~?", "~~"):
        assert escape in HELP_TEXT
    assert HELP_TEXT.count("\n") == HELP_TEXT.count("\r\n")
