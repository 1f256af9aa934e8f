import pytest

from ssm_plugin.errors import DeadlineError
from ssm_plugin.net.timing import Deadline


def test_what_is_left_of_a_deadline_shrinks_until_it_is_an_error():
    now = [100.0]
    deadline = Deadline(20, "connecting to h:443", clock=lambda: now[0])
    assert deadline.remaining("waiting") == 20
    now[0] = 119.0
    assert deadline.remaining("waiting") == deadline.left == 1
    now[0] = 120.0
    with pytest.raises(DeadlineError) as caught:
        deadline.remaining("waiting for the proxy")
    assert str(caught.value).startswith(
        "connecting to h:443 took longer than 20 s (waiting for the proxy): check the network"
    )
