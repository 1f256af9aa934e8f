"""Each status in words, and the exit status that it means."""

import pytest

from ssm_plugin.nodes.targets import Found
from ssm_plugin.run_command.results import Results
from ssm_plugin.run_command.statuses import Cause, Verdict, normal, verdict


@pytest.mark.parametrize(
    "details, code, options, status, said",
    [
        ("Success", 0, {}, 0, ""),
        ("Failed", 7, {}, 7, ""),
        ("Failed", 256, {}, 255, ""),  # from Windows; what ends with it would tell 0
        ("Failed", -1, {}, 255, "no exit status"),
        ("Failed", 1, {"said": "no sh"}, 255, "could not run it: no sh"),
        ("ExecutionTimedOut", 137, {"time_limit": 2.5}, 124, "limit of 2.5 s for the command on n"),
        ("ExecutionTimedOut", 137, {}, 124, "limit for the command on n has passed"),
        ("DeliveryTimedOut", -1, {}, 255, "not begun: the node did not answer"),
        ("Undeliverable", -1, {}, 255, "not begun: AWS cannot deliver"),
        ("Terminated", -1, {}, 255, "not begun: too many"),
        ("Terminated", -1, {"cause": Cause(failed=3)}, 255, "not begun: 3 had failed"),
        ("InvalidPlatform", -1, {}, 255, "Linux and macOS"),
        ("AccessDenied", -1, {}, 255, "not permitted"),
        ("RateExceeded", -1, {}, 255, "too many commands"),
        ("Whatever", -1, {}, 255, "the service says Whatever"),
        ("Cancelled", 137, {}, 255, "somebody cancelled it"),
        ("Cancelled", 137, {"cause": Cause(signum=2)}, 130, "ended by signal 2 here"),
        ("Cancelled", -1, {"cause": Cause(signum=15), "ran": False}, 143,
         "not begun: signal 15 came"),
        ("Cancelled", 137, {"cause": Cause(time_limit=9.0)}, 124, "limit of 9 s"),
        ("Cancelled", -1, {"cause": Cause(delivery=9.0), "ran": False}, 255, "did not answer"),
        ("Cancelled", -1, {"cause": Cause(failed=3), "ran": False}, 255,
         "not begun: 3 had failed"),
        ("Cancelled", 137, {"cause": Cause(failed=3)}, 255, "cancelled: 3 had failed"),
        ("Success", 0, {"cause": Cause(signum=2)}, 0, ""),
    ],
)
def test_a_status_and_its_words(details, code, options, status, said):
    found = verdict("n", details, code, **options)
    assert found.status == status
    assert said in found.reason
    assert bool(found.reason) == bool(said)
    if found.error is not None:
        assert "command on n" in str(found.error)


def test_details_may_have_spaces_as_in_the_documentation():
    assert normal("Delivery Timed Out") == "DeliveryTimedOut"
    assert normal(None) == ""


def test_a_result_took_as_long_as_it_did_whatever_the_clock_is_set_to():
    clock, told = iter((5000.0, 1000.0)), []
    node = Found("i-1", "web")
    Results([node], told.append, lambda: next(clock)).judged(node, Verdict(0))
    assert told[0].started_at == 5000.0
    assert 0 <= told[0].seconds < 30
