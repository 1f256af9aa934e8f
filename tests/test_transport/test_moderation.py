"""When the reader lets some milliseconds pass, so that messages come in batches."""

from typing import List

import pytest

from ssm_plugin.transport.moderation import (
    FEW,
    MANY,
    PAUSE,
    PROMPT,
    SLOWEST,
    SMALL,
    TRANSFER,
    UNHINDERED,
    Moderator,
)

AGENT = 0.0013  # s between an agent's messages
BUFFER = 57  # messages that one look can take


def paced(
    moderator: Moderator, apart: float, seconds: float, begin: float = 0.0
) -> List[float]:
    """Takes a stream of messages that come ``apart`` s, as a reader does that obeys; the pauses."""
    pauses = []
    now, taken = begin, 0
    while now < begin + seconds:
        count = min(BUFFER, max(1, int((now - begin) / apart) - taken))
        now = max(now, begin + (taken + count) * apart)
        taken += count
        pauses.append(moderator.pause(count, now))
        now += pauses[-1]
    return pauses


def test_the_first_messages_are_taken_at_once_and_then_a_transfer_in_batches() -> None:
    pauses = paced(Moderator(), AGENT, 2.0)
    assert pauses[: TRANSFER - 1] == [0.0] * (TRANSFER - 1)
    assert set(pauses[TRANSFER:]) == {PAUSE}
    assert len(pauses) < 2.0 / PAUSE + TRANSFER + 2


@pytest.mark.parametrize("apart", [0.0002, 0.0003, 0.0006, 0.0009, 0.002])
def test_a_quicker_peer_is_given_shorter_pauses(apart: float) -> None:
    pauses = paced(Moderator(), apart, 4.0)
    assert 4.0 / apart / len(pauses) > 8  # messages for each look
    assert max(pauses[len(pauses) // 2 :]) <= MANY * apart


@pytest.mark.parametrize("apart", [SLOWEST * 1.5, 0.1, 10.0])
def test_messages_that_come_slowly_are_never_waited_for(apart: float) -> None:
    assert set(paced(Moderator(), apart, 100 * apart)) == {0.0}


def test_a_peer_that_does_not_wait_itself_is_hardly_ever_waited_for() -> None:
    """It looks slow only where the reader's pauses hold it up."""
    moderator, now, waited = Moderator(), 0.0, 0.0
    count = 4
    while now < 10 * UNHINDERED:
        pause = moderator.pause(count, now)
        count = 2 * MANY if pause else 4
        waited += pause
        now += pause + 0.002
    assert 0.0 < waited < 10 * 2 * PAUSE


def test_a_transfer_that_has_ended_leaves_no_pause_behind() -> None:
    moderator = Moderator()
    paced(moderator, AGENT, 1.0)
    assert moderator.pause(1, 1.5) == 0.0
    assert moderator.pause(1, 1.5 + AGENT) == 0.0


def test_what_answers_a_key_is_taken_at_once_beside_a_transfer() -> None:
    moderator = Moderator()
    paced(moderator, AGENT, 1.0)
    assert moderator.sent(1, 5000, 1.0)
    assert set(paced(moderator, AGENT, PROMPT - AGENT, 1.0)) == {0.0}
    assert set(paced(moderator, AGENT, 1.0, 1.0 + PROMPT)[1:]) == {PAUSE}


def test_a_request_is_answered_at_once_but_an_upload_is_not_waited_for() -> None:
    moderator = Moderator()
    assert moderator.sent(4 * SMALL, FEW - 1, 0.0)
    assert not moderator.sent(4 * SMALL, FEW, 10.0)
    assert PAUSE in paced(moderator, AGENT, 1.0, 10.0)


def test_requests_that_follow_their_answers_are_never_slowed_down() -> None:
    """As a database's client does: each request is made of the answer before it."""
    moderator, now = Moderator(), 0.0
    for _ in range(1000):
        moderator.sent(1000, 1, now)
        now += AGENT
        assert moderator.pause(2, now) == 0.0
