import re

import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.loopback.fault_plan import (
    ALWAYS,
    FAULTS,
    Amount,
    CallRate,
    DirectionPlan,
    FaultPlan,
    Period,
    parse_faults,
)


def test_no_text_is_no_fault():
    assert parse_faults("") == parse_faults(" , ") == FaultPlan()


def test_a_fault_without_a_direction_goes_both_ways():
    plan = parse_faults("lose=5%, double=0.25,reorder=3")
    expected = DirectionPlan(lose=Amount(0.05), double=Amount(0.25), reorder=Amount(first=3))
    assert plan.down == plan.up == expected


def test_a_fault_with_a_direction_goes_that_way_only():
    plan = parse_faults("down.corrupt=1%,up.no-acknowledge")
    assert plan.down == DirectionPlan(corrupt=Amount(0.01))
    assert plan.up == DirectionPlan(no_acknowledge=ALWAYS)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("delay", DirectionPlan(delay=ALWAYS)),
        ("delay=5%", DirectionPlan(delay=Amount(0.05))),
        ("delay=5%:30ms", DirectionPlan(delay=Amount(0.05), delay_time=0.03)),
        ("delay=2:1.5s", DirectionPlan(delay=Amount(first=2), delay_time=1.5)),
    ],
)
def test_a_delay_has_an_amount_and_a_time(text, expected):
    assert parse_faults(text).up == expected


def test_the_later_of_two_items_counts():
    assert parse_faults("lose=5%,down.lose=0%").down.lose == Amount(0.0)


def test_faults_of_the_session():
    plan = parse_faults(
        "drop-after=1,drop-every=2,bye-after=3,bye-every=4,silent=5:2m,refuse-token,"
        "refuse-upgrade=2,skip-handshake,force-handshake,lose-channel-closed,pause-away,seed=9"
    )
    assert plan == FaultPlan(
        drop_after=1,
        drop_every=2,
        bye_after=3,
        bye_every=4,
        silent=Period(5, 120.0),
        refuse_token=ALWAYS,
        refuse_upgrade=Amount(first=2),
        skip_handshake=True,
        force_handshake=True,
        lose_channel_closed=True,
        pause_away=True,
        seed=9,
    )


def test_faults_of_calls():
    plan = parse_faults("calls=20:SendCommand+ListCommands,delivery=300ms,lag=2s,deny=GetObject")
    assert plan.calls == CallRate(20, ("SendCommand", "ListCommands"))
    assert (plan.delivery, plan.lag, plan.deny) == (0.3, 2.0, ("GetObject",))
    assert parse_faults("calls=5").calls == CallRate(5)


def test_a_pause_is_for_the_client():
    plan = parse_faults("pause=50ms")
    assert plan.down.pause == Period(0, 0.05)
    assert plan.up.pause is None


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("loose=5%", "'loose=5%': known are lose, double"),
        ("down.silent=3s", "known are lose"),
        ("left.lose=5%", "the direction is down or up"),
        ("lose=", "an amount is a rate"),
        ("lose=-1", "an amount is a rate"),
        ("lose=150%", "a rate above 100%"),
        ("delay=5%:20", "a duration is written"),
        ("delay=:20ms:", "a duration is written"),
        ("silent", "a duration is written"),
        ("silent=x:3s", "a count is missing"),
        ("drop-after", "a count is missing"),
        ("drop-every=0", "at least 1"),
        ("skip-handshake=yes", "takes no value"),
        ("seed=abc", "a count is missing"),
        ("calls=0", "at least 1"),
        ("calls=3:", "calls are named"),
        ("delivery=5", "a duration is written"),
    ],
)
def test_what_cannot_be_read_is_named(text, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse_faults("double=1%," + text)


def test_the_text_for_users_names_every_fault_and_no_other():
    lines = FAULTS.partition("\n\n")[0].splitlines()
    named = [re.match(r"  ([a-z-]+)", line).group(1) for line in lines]
    with pytest.raises(UsageError) as known:
        parse_faults("nonsense")
    assert sorted(named) == sorted(str(known.value).rpartition("known are ")[2].split(", "))


def test_a_gateway_has_a_rate_and_may_have_a_buffer_and_its_patience():
    assert parse_faults("gateway=500kbit").gateway == (62500, 4 << 20, 60.0)
    assert parse_faults("gateway=5Mbit:64KiB:2s").gateway == (625000, 65536, 2.0)


@pytest.mark.parametrize("text", ["gateway", "gateway=", "gateway=5", "gateway=0kbit",
                                  "gateway=5Mbit:7", "gateway=5Mbit:64KiB:7", "up.gateway=5Mbit"])
def test_a_gateway_that_cannot_be_read_is_refused(text):
    with pytest.raises(UsageError):
        parse_faults(text)
