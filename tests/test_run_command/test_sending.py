"""From an order to SendCommand."""

import pytest

from ssm_plugin.errors import ServiceError, UsageError
from ssm_plugin.fleet_plan import ErrorLimit, FleetPlan
from ssm_plugin.jobs.engine import FleetOrder
from ssm_plugin.nodes.grammar import parse_target
from ssm_plugin.nodes.targets import Found
from ssm_plugin.run_command.sending import (
    Bucket,
    at_once,
    check_order,
    filters_of,
    parse_bucket,
    request_of,
    shipments,
    split,
)


def nodes(count):
    return [Found("i-%017x" % number, "web-%d" % number) for number in range(count)]


def targets(*words):
    return filters_of([parse_target(word) for word in words])


def request(count=1, delivery=60.0, bucket=None, **order):
    plan = order.setdefault("plan", FleetPlan())
    [first] = shipments(nodes(count), plan)
    return request_of(first, "script", FleetOrder(nodes(count), ("x",), **order), delivery, bucket)


@pytest.mark.parametrize("count, parallel", [(1, 10), (60, 10), (5000, 10), (5000, 200), (99, 1)])
def test_no_more_run_at_once_than_the_plan_allows(count, parallel):
    plan = FleetPlan(parallel)
    sent = shipments(nodes(count), plan)
    assert [node for one in sent for node in one.nodes] == nodes(count)
    assert max(len(one.nodes) for one in sent) <= 50
    slots = at_once(len(sent), plan)
    for start in range(len(sent) - slots + 1):
        together = sent[start : start + slots]
        assert sum(one.concurrency for one in together) <= parallel
        assert min(one.concurrency for one in together) >= 1


def test_values_of_one_tag_are_one_command_and_all_else_is_sent_by_ids():
    assert targets("tag:Role=web", "tag:Role=db") == [{"Key": "tag:Role", "Values": ["web", "db"]}]
    for words in (("tag:Role=web", "tag:Env=x"), ("tag:Role=web", "i-1"), ("web-1",), ("ip:::1",)):
        assert targets(*words) == []
    assert targets(*["tag:Role=%d" % number for number in range(51)]) == []
    [one] = shipments(nodes(5000), FleetPlan(7), targets("tag:Role=web"))
    assert (one.concurrency, len(one.nodes)) == (7, 5000)
    [one] = shipments(nodes(1), FleetPlan(7), targets("tag:Role=web"))
    assert not one.targets


@pytest.mark.parametrize(
    "limit, said", [(None, "100%"), (ErrorLimit(1), "0"), (ErrorLimit(3), "2"),
                    (ErrorLimit(10, True), "4")]
)
def test_the_service_stops_when_we_would(limit, said):
    assert request(50, plan=FleetPlan(10, limit))["MaxErrors"] == said


def test_what_is_asked_for():
    asked = request(3, timeout=2.5, reason="because " * 50, bucket=Bucket("b", "p/q"))
    assert asked["InstanceIds"] == [node.target for node in nodes(3)]
    assert asked["DocumentName"] == "AWS-RunShellScript"
    assert asked["Parameters"] == {"commands": ["script"], "executionTimeout": ["5"]}
    assert len(asked["Comment"]) == 100
    assert (asked["OutputS3BucketName"], asked["OutputS3KeyPrefix"]) == ("b", "p/q")
    assert asked["TimeoutSeconds"] == 60
    assert request(timeout=100.2)["Parameters"]["executionTimeout"] == ["101"]
    assert request()["Parameters"]["executionTimeout"] == ["172800"]
    assert "Comment" not in request() and "OutputS3BucketName" not in request()


def test_nodes_that_wait_for_their_turn_have_time_for_it():
    assert request(delivery=1.0)["TimeoutSeconds"] == 30
    asked = request(50, plan=FleetPlan(10), timeout=60.0)
    assert asked["TimeoutSeconds"] == 60 + 4 * 60
    assert request(50, plan=FleetPlan(1), timeout=172800.0)["TimeoutSeconds"] == 2592000


@pytest.mark.parametrize(
    "order, said",
    [
        ({"nodes": [Found("ecs:a_b_c", "ecs:a/b")]}, "ecs:a/b"),
        ({"read_input": lambda: b""}, "standard input"),
        ({"plan": FleetPlan(rolling=3)}, "batches"),
        ({"timeout": 172801.0}, "48h"),
        ({"argv": ("echo", "\udcff")}, "UTF-8"),
    ],
)
def test_what_run_command_cannot_do_is_refused_in_words(order, said):
    with pytest.raises(UsageError, match=said):
        check_order(FleetOrder(**dict({"nodes": nodes(2), "argv": ("x",)}, **order)))


def test_a_node_that_is_not_ec2s_is_fine():
    assert check_order(FleetOrder([Found("mi-0123456789abcdef0", "till")], ("x",)))


def test_a_wrong_node_does_not_stop_the_others():
    [one] = shipments(nodes(8), FleetPlan())
    text = "ssm:SendCommand failed: InvalidInstanceId: Instances [[i-%017x]] not in a valid state"
    wrong, rest = split(one, ServiceError(text % 3, "InvalidInstanceId", 400))
    assert wrong == [nodes(8)[3]]
    assert [len(each.nodes) for each in rest] == [7]
    unnamed = ServiceError("x: y", "UnsupportedPlatformType", 400)
    wrong, rest = split(one, unnamed)
    assert wrong == [] and [len(each.nodes) for each in rest] == [4, 4]
    assert split(one._replace(nodes=nodes(1)), unnamed) == (nodes(1), [])
    assert split(one, ServiceError("x", "AccessDeniedException", 400)) == (nodes(8), [])


def test_a_bucket_is_written_as_a_url():
    assert parse_bucket("s3://bucket") == Bucket("bucket", "")
    assert parse_bucket("s3://my.bucket-1/a b/c/") == Bucket("my.bucket-1", "a b/c")
    for wrong in ("bucket", "s3://", "s3://A/b", "s3:///x", "https://bucket/x", "s3://b/\n"):
        with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
            parse_bucket(wrong)
