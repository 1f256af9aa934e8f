import random

import pytest

from ssm_plugin.errors import (
    ConfigurationError,
    ConnectError,
    CredentialsError,
    DeadlineError,
    NoCredentialsError,
    ServiceError,
    UpgradeError,
    UsageError,
)
from ssm_plugin.session.resumption import GOOD_AFTER, Resumption, cannot_heal


def resumption(limit=900.0):
    found = Resumption(limit, random.Random(1))
    found.connected(0.0, 0)
    return found


def attempts(found, now):
    """The moments of all attempts, if each fails at once."""
    moments = []
    delay = found.next_delay(now)
    while delay is not None:
        now += delay
        moments.append(now)
        delay = found.next_delay(now)
    return moments


def test_the_first_attempt_is_made_at_once_and_the_last_at_the_limit():
    found = resumption(900.0)
    found.lost(1000.0, 5)
    moments = attempts(found, 1000.0)
    assert moments[0] == 1000.0
    assert moments[-1] == 1900.0
    assert found.attempts == len(moments)
    assert 30 < len(moments) < 80


def test_a_limit_of_zero_means_no_attempt():
    found = resumption(0.0)
    found.lost(1000.0, 5)
    assert found.next_delay(1000.0) is None


def test_a_loss_after_progress_begins_anew():
    found = resumption()
    found.lost(1000.0, 5)
    for _ in range(5):
        found.next_delay(1000.0)
    found.connected(1100.0, 5)
    found.lost(1101.0, 6)
    assert found.gives_up_at == 2001.0
    assert found.next_delay(1101.0) == 0.0


def test_a_loss_after_a_good_while_begins_anew():
    found = resumption()
    found.lost(1000.0, 5)
    found.next_delay(1000.0)
    found.connected(1100.0, 5)
    found.lost(1100.0 + GOOD_AFTER, 5)
    assert found.next_delay(1100.0 + GOOD_AFTER) == 0.0


def test_a_connection_that_was_of_no_use_counts_as_one_more_failed_attempt():
    found = resumption()
    now = 1000.0
    found.lost(now, 5)
    delays = []
    for _ in range(8):
        delays.append(found.next_delay(now))
        now += delays[-1]
        found.connected(now, 5)
        now += 0.1
        found.lost(now, 5)
    assert delays[0] == 0.0
    assert delays[-1] > 10
    assert found.gives_up_at == 1900.0


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("x", "AccessDeniedException", 400),
        ServiceError("x", "DoesNotExistException", 400),
        ServiceError("x", "ValidationException:http://internal/", 400),
        NoCredentialsError("x"),
        UsageError("x"),
        ConfigurationError("x"),
    ],
)
def test_what_stays_as_it_is_cannot_heal(error):
    assert cannot_heal(error)


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("x", "ThrottlingException", 400),
        ServiceError("x", "ExpiredTokenException", 400),
        ServiceError("x", "InternalServerError", 500),
        ConnectError("x"),
        DeadlineError("x"),
        CredentialsError("x"),
        UpgradeError("x", 503),
    ],
)
def test_what_passes_may_heal(error):
    assert not cannot_heal(error)
