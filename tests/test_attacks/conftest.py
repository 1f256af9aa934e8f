"""What attackers see and may do, they do to a program that was started as anybody starts it."""

import pytest


@pytest.fixture(autouse=True)
def as_started(no_forks):
    yield
