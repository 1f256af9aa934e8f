import random
from itertools import islice

from ssm_plugin.net.timing import FIRST_DELAY, LONGEST_DELAY, delays


def test_the_first_attempt_is_at_once_and_the_others_wait_ever_longer():
    for seed in range(100):
        found = list(islice(delays(random.Random(seed)), 20))
        assert found[0] == 0.0
        limit = FIRST_DELAY
        for delay in found[1:]:
            assert limit / 2 <= delay <= limit
            limit = min(2 * limit, LONGEST_DELAY)
        assert found[-1] >= LONGEST_DELAY / 2


def test_two_clients_do_not_come_back_at_the_same_moment():
    one, other = (list(islice(delays(), 10)) for _ in range(2))
    assert one[1:] != other[1:]
