"""Look-ups at EC2 and ECS as others wrote them."""

import pytest

from ssm_plugin.errors import ServiceError, UsageError
from ssm_plugin.nodes import ec2
from ssm_plugin.nodes.containers import find_containers
from ssm_plugin.nodes.grammar import parse_target

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def ids(moto):
    names = ["web-%d" % number for number in range(1, 13)]
    made = {name: moto.run_instance(name, Role="web") for name in names}
    for name in ("twin", "a b, \u65e5\u672c <&>", "st*r"):
        made[name] = moto.run_instance(name, **{"a:b": "c=d"})
    return made


def found(instances):
    return {one.name: one.instance_id for one in instances}


def test_instances_are_found_by_their_ids(moto, ids):
    wanted = [ids["web-7"], ids["twin"], "i-0123456789abcdef0"]
    assert found(ec2.with_ids(moto.client, wanted)) == {
        "web-7": ids["web-7"], "twin": ids["twin"]
    }


@pytest.mark.parametrize("name", ["web-7", "twin", "a b, \u65e5\u672c <&>"])
def test_an_instance_is_found_by_its_name(moto, ids, name):
    assert found(ec2.with_tag(moto.client, "Name", name)) == {name: ids[name]}


def test_instances_are_found_by_a_tag(moto, ids):
    assert len(found(ec2.with_tag(moto.client, "Role", "web"))) == 12
    assert len(found(ec2.with_tag(moto.client, "a:b", "c=d"))) == 3
    assert found(ec2.with_tag(moto.client, "Role", "nobody")) == {}


def test_an_instance_is_found_by_its_addresses(moto, ids):
    [one] = ec2.with_ids(moto.client, [ids["web-3"]])
    assert one.address
    assert found(ec2.with_address(moto.client, one.address)) == {"web-3": ids["web-3"]}


def test_all_names_are_told(moto, ids):
    assert sorted(ec2.all_names(moto.client)) == sorted(ids)


# --- Its ECS knows neither agents nor runtime ids: no session is possible, and why is told.


@pytest.fixture(scope="module")
def task(moto):
    """The id of one that runs."""
    moto.hold("ecs::task")
    call = moto.client.call
    call("ecs:CreateCluster", {"clusterName": "demo"})
    container = {"name": "web", "image": "web", "cpu": 10, "memory": 10}
    call("ecs:RegisterTaskDefinition", {"family": "web", "containerDefinitions": [container]})
    call("ecs:CreateService", {"cluster": "demo", "serviceName": "web", "taskDefinition": "web",
                               "desiredCount": 1})
    [subnet, *_] = moto.client.query("ec2:DescribeSubnets", {}).items("subnetSet")
    network = {"subnets": [subnet.value("subnetId")], "securityGroups": []}
    request = {"cluster": "demo", "taskDefinition": "web", "launchType": "FARGATE",
               "networkConfiguration": {"awsvpcConfiguration": network}}
    [made] = call("ecs:RunTask", request)["tasks"]
    return made["taskArn"].rpartition("/")[2]


def refusal(moto, word, kind=UsageError):
    with pytest.raises(kind) as caught:
        find_containers(moto.client, parse_target(word, {}))
    return str(caught.value)


def test_a_task_is_found_by_its_service_and_by_its_id(moto, task):
    for word in ("ecs:demo/web", "ecs:demo/" + task):
        assert "execute-command is not enabled for the task %s" % task in refusal(moto, word)


def test_what_ecs_does_not_know_is_told(moto, task):
    assert "has no task 111" in refusal(moto, "ecs:demo/" + "1" * 32)
    assert "ClusterNotFound" in refusal(moto, "ecs:other/web", ServiceError)


def test_a_stopped_task_says_why(moto, task):
    request = {"cluster": "demo", "task": task, "reason": "Scaling activity"}
    moto.client.call("ecs:StopTask", request)
    assert "STOPPED (Scaling activity)" in refusal(moto, "ecs:demo/" + task)
