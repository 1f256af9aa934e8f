"""Run Command as botocore knows it, and as moto, which others wrote, answers the same calls."""

import pytest

from tests.support.nodes import FLEET, WEB, service_with
from tests.support.run_command import Sender

REQUEST = {
    "DocumentName": "AWS-RunShellScript",
    "Parameters": {"commands": ["echo out", "echo err >&2"], "executionTimeout": ["60"]},
    "InstanceIds": [WEB[0].node_id],
    "Comment": "why",
    "MaxConcurrency": "10%",
    "MaxErrors": "1",
    "TimeoutSeconds": 60,
    "OutputS3BucketName": "results",
    "OutputS3KeyPrefix": "here",
}


@pytest.fixture(scope="module")
def service():
    with service_with(*FLEET) as service:
        yield service


def client_of(endpoint_url):
    session = pytest.importorskip("botocore.session").Session()
    return session.create_client(
        "ssm",
        region_name="us-east-1",
        endpoint_url=endpoint_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="a secret key",
    )


@pytest.fixture(scope="module")
def ssm(service):
    return client_of(service.endpoint_url)


def sent_and_over(service, ssm):
    command_id = ssm.send_command(**REQUEST)["Command"]["CommandId"]
    Sender(service).finish(command_id)
    return command_id


def check(value, shape):
    """Every field is one that botocore's model has, of that type and within its limits."""
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members)
        for name, one in value.items():
            check(one, shape.members[name])
    elif shape.type_name == "list":
        for one in value:
            check(one, shape.member)
    elif shape.type_name == "string":
        assert isinstance(value, str)
        assert len(value) <= shape.metadata.get("max", len(value))
        assert value in (shape.enum or [value]) or value == ""
    else:
        kinds = {"integer": int, "boolean": bool, "timestamp": (int, float), "map": dict}
        assert isinstance(value, kinds[shape.type_name])


@pytest.mark.parametrize(
    "operation, fields",
    [
        ("SendCommand", REQUEST),
        ("ListCommands", {}),
        ("ListCommandInvocations", {"Details": True}),
        ("GetCommandInvocation", {"CommandId": "", "InstanceId": WEB[0].node_id}),
        ("CancelCommand", {"CommandId": ""}),
    ],
)
def test_each_field_is_known_to_botocore(service, ssm, operation, fields):
    if "CommandId" in fields:
        fields = dict(fields, CommandId=sent_and_over(service, ssm))
    answer = Sender(service).call(operation, **fields)
    check(answer, ssm.meta.service_model.operation_model(operation).output_shape)


def test_botocore_waits_for_a_command(service, ssm):
    command_id = sent_and_over(service, ssm)
    node = WEB[0].node_id
    ssm.get_waiter("command_executed").wait(CommandId=command_id, InstanceId=node)
    told = ssm.get_command_invocation(CommandId=command_id, InstanceId=node)
    assert (told["StandardOutputContent"], told["StandardErrorContent"]) == ("out\n", "err\n")
    [listed] = ssm.list_command_invocations(CommandId=command_id)["CommandInvocations"]
    assert listed["RequestedDateTime"].year > 2000
    assert listed["StandardOutputUrl"].endswith("/awsrunShellScript/0.awsrunShellScript/stdout")


def test_errors_are_those_that_botocore_knows(ssm):
    with pytest.raises(ssm.exceptions.InvalidInstanceId):
        ssm.send_command(**dict(REQUEST, InstanceIds=["i-00000000000000fff"]))
    with pytest.raises(ssm.exceptions.InvocationDoesNotExist):
        ssm.get_command_invocation(CommandId="x" * 36, InstanceId=WEB[0].node_id)


@pytest.mark.e2e
def test_moto_tells_the_same_fields(service, ssm, moto):
    ours, theirs = ssm, client_of(moto.endpoint_url)
    sent = [one.send_command(**REQUEST)["Command"] for one in (ours, theirs)]
    assert set(sent[1]) - set(sent[0]) == set()
    for name in set(REQUEST) - {"DocumentName"}:
        assert sent[0][name] == sent[1][name]
    Sender(service).finish(sent[0]["CommandId"])
    told = [
        client.get_command_invocation(CommandId=one["CommandId"], InstanceId=WEB[0].node_id)
        for client, one in zip((ours, theirs), sent)
    ]
    assert set(told[1]) - set(told[0]) == set()
    assert {one["PluginName"] for one in told} == {"aws:runShellScript"}
    listed = [
        client.list_commands(CommandId=one["CommandId"])["Commands"][0]
        for client, one in zip((ours, theirs), sent)
    ]
    assert set(listed[1]) - set(listed[0]) == set()
