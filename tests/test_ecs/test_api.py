"""The local service's ECS, as botocore reads it."""

import pytest

from ssm_plugin.loopback.ecs_api import LocalContainer, LocalTask
from ssm_plugin.nodes.containers import find_containers
from ssm_plugin.nodes.grammar import parse_target
from tests.support.running import service_client
from tests.support.service import local_service

KEYS = {"AKIDEXAMPLE": "a secret key"}
ONE = "1" * 32


@pytest.fixture
def service():
    pytest.importorskip("botocore")
    with local_service(secret_keys=KEYS, require_signatures=True) as service:
        yield service


@pytest.fixture
def ecs(service):
    return pytest.importorskip("botocore.session").Session().create_client(
        "ecs",
        region_name="us-east-1",
        endpoint_url=service.endpoint_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="a secret key",
    )


def test_the_demos_service_has_a_running_task(ecs):
    arns = ecs.list_tasks(cluster="demo", serviceName="web")["taskArns"]
    task = ecs.describe_tasks(cluster="demo", tasks=arns)["tasks"][0]
    assert task["taskArn"] == arns[0]
    assert (task["lastStatus"], task["enableExecuteCommand"]) == ("RUNNING", True)
    assert task["startedAt"].year > 2000
    container = task["containers"][0]
    agent = container["managedAgents"][0]
    assert (container["name"], agent["lastStatus"]) == ("web", "RUNNING")
    assert agent["name"] == "ExecuteCommandAgent"
    assert container["runtimeId"]


def test_of_many_tasks_a_hundred_are_listed_at_a_time(ecs, service):
    ids = ["%032x" % number for number in range(230)]
    service.ecs.tasks[:] = [LocalTask(one) for one in ids]
    pages = list(ecs.get_paginator("list_tasks").paginate(cluster="demo"))
    assert [len(page["taskArns"]) for page in pages] == [100, 100, 30]
    arns = [arn for page in pages for arn in page["taskArns"]]
    assert [arn.rpartition("/")[2] for arn in arns] == ids
    assert len(ecs.describe_tasks(cluster="demo", tasks=arns[:100])["tasks"]) == 100
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.describe_tasks(cluster="demo", tasks=arns[:101])


def test_all_of_many_tasks_are_found():
    with local_service() as service:
        tasks = [LocalTask("%032x" % n, started_at=float(n)) for n in range(230)]
        service.ecs.tasks[:] = tasks
        found = find_containers(service_client(service), parse_target("ecs:demo/web", {}))
        assert [one.task for one in found] == [task.task_id for task in reversed(tasks)]
        calls = [call.operation for call in service.ecs.calls()]
        assert calls == ["ListTasks"] * 3 + ["DescribeTasks"] * 5


def test_a_command_opens_a_session(ecs, service):
    task = service.ecs.tasks[0]
    answer = ecs.execute_command(
        cluster="demo", task=task.arn, container="web", command="true", interactive=True
    )
    assert answer["session"]["sessionId"] == service.session().session_id
    assert set(answer["session"]) == {"sessionId", "streamUrl", "tokenValue"}
    assert answer["containerName"] == "web" and answer["interactive"] is True


def test_the_definition_says_what_is_essential(ecs, service):
    both = (LocalContainer("side", essential=False), LocalContainer("app"))
    service.ecs.tasks[:] = [LocalTask(ONE, containers=both)]
    task = ecs.describe_tasks(cluster="demo", tasks=[ONE])["tasks"][0]
    answer = ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])
    found = answer["taskDefinition"]["containerDefinitions"]
    assert [(one["name"], one["essential"]) for one in found] == [("side", False), ("app", True)]


def test_what_is_not_there_is_an_error_or_a_failure_as_at_ecs(ecs):
    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        ecs.list_tasks(cluster="other")
    with pytest.raises(ecs.exceptions.ServiceNotFoundException):
        ecs.list_tasks(cluster="demo", serviceName="other")
    answer = ecs.describe_tasks(cluster="demo", tasks=[ONE])
    assert answer["tasks"] == [] and answer["failures"][0]["reason"] == "MISSING"


def test_where_it_cannot_be_the_refusals_are_those_of_ecs(ecs, service):
    call = dict(cluster="demo", task=ONE, container="web", command="true", interactive=True)
    service.ecs.tasks[:] = [LocalTask(ONE, is_enabled=False)]
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.execute_command(**call)
    cut_off = LocalContainer("web", is_connected=False)
    service.ecs.tasks[:] = [LocalTask(ONE, containers=(cut_off,))]
    with pytest.raises(ecs.exceptions.TargetNotConnectedException):
        ecs.execute_command(**call)
