"""The local service's look-ups of nodes, as botocore reads them, and with the rules of AWS."""

import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest

from ssm_plugin.loopback.nodes import LocalNode
from tests.support.nodes import FLEET, ODD, OFF, PUBLIC, TILL, WEB, many, service_with

KEYS = {"AKIDEXAMPLE": "a secret key"}


@pytest.fixture(scope="module")
def service():
    pytest.importorskip("botocore")
    with service_with(*FLEET, secret_keys=KEYS, require_signatures=True) as service:
        yield service


@pytest.fixture(scope="module")
def client_of(service):
    session = pytest.importorskip("botocore.session").Session()

    def make(name):
        config = pytest.importorskip("botocore.config").Config(retries={"max_attempts": 0})
        return session.create_client(
            name,
            region_name="eu-west-1",
            endpoint_url=service.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="a secret key",
            config=config,
        )

    return make


@pytest.fixture(scope="module")
def ssm(client_of):
    return client_of("ssm")


@pytest.fixture(scope="module")
def ec2(client_of):
    return client_of("ec2")


def filters(**named):
    return [{"Key": key.replace("_", ":"), "Values": values} for key, values in named.items()]


def ids_of(answer):
    return [node["InstanceId"] for node in answer["InstanceInformationList"]]


def instances_of(answer):
    return [one for group in answer["Reservations"] for one in group["Instances"]]


def code_of(call, **arguments):
    exceptions = pytest.importorskip("botocore.exceptions")
    with pytest.raises(exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_botocore_pages_through_all_nodes(ssm):
    pages = ssm.get_paginator("describe_instance_information").paginate(
        PaginationConfig={"PageSize": 5}
    )
    found = [ids_of(page) for page in pages]
    assert [len(page) for page in found] == [5, 5, 5, 4]
    assert sorted(sum(found, [])) == sorted(
        ["i-demo"] + [node.node_id for node in FLEET if node.is_registered]
    )


def test_ten_nodes_are_a_page_unless_asked_otherwise(ssm):
    assert len(ids_of(ssm.describe_instance_information())) == 10


def test_a_node_has_the_fields_that_aws_gives(ssm):
    answer = ssm.describe_instance_information(Filters=filters(InstanceIds=[TILL.node_id]))
    [node] = answer["InstanceInformationList"]
    assert (node["Name"], node["ResourceType"]) == ("till", "ManagedInstance")
    assert (node["PlatformType"], node["PlatformName"]) == ("Linux", "Amazon Linux")
    assert node["LastPingDateTime"].year > 2000


@pytest.mark.parametrize(
    "wanted, ids",
    [
        (filters(PingStatus=["ConnectionLost", "Inactive"]), [OFF.node_id]),
        (filters(ResourceType=["ManagedInstance"]), [TILL.node_id]),
        (filters(tag_Name=["web-7", "web-8"]), [WEB[6].node_id, WEB[7].node_id]),
        (filters(tag_Role=["web"], tag_Name=["web-7"]), [WEB[6].node_id]),
        (filters(**{"tag-key": ["a:b"]}), [ODD.node_id]),
        (filters(tag_Name=[ODD.name]), [ODD.node_id]),
        (filters(PingStatus=["Online"], InstanceIds=[OFF.node_id, TILL.node_id]), [TILL.node_id]),
        (filters(tag_Role=["nobody"]), []),
    ],
)
def test_filters_leave_what_they_name(ssm, wanted, ids):
    assert ids_of(ssm.describe_instance_information(Filters=wanted)) == ids


@pytest.mark.parametrize(
    "arguments, code",
    [
        ({"Filters": filters(tag_Role=["web"], PingStatus=["Online"])}, "ValidationException"),
        ({"Filters": filters(Name=["web-7"])}, "InvalidFilterKey"),
        ({"Filters": filters(InstanceIds=["i"] * 101)}, "InvalidInstanceInformationFilterValue"),
        ({"MaxResults": 51}, "ValidationException"),
        ({"NextToken": "no such token"}, "InvalidNextToken"),
    ],
)
def test_aws_refuses_these(ssm, arguments, code):
    assert code_of(ssm.describe_instance_information, **arguments) == code


def test_a_token_is_good_for_its_own_question_alone(ssm):
    token = ssm.describe_instance_information()["NextToken"]
    other = filters(PingStatus=["Online"])
    call = ssm.describe_instance_information
    assert code_of(call, NextToken=token, Filters=other) == "InvalidNextToken"
    assert len(ids_of(call(NextToken=token))) == 9


def test_nodes_that_are_not_online_refuse_sessions(ssm):
    for target in (OFF.node_id, "i-unknown", ""):
        assert code_of(ssm.start_session, Target=target or "x") == "TargetNotConnected"
    assert ssm.start_session(Target=WEB[0].node_id)["SessionId"]


def test_a_fresh_node_refuses_sessions_for_a_while():
    fresh = LocalNode("i-1", connects_after=3600.0)
    with service_with(fresh) as service:
        assert "i-1" not in service.nodes
        assert "i-demo" in service.nodes


def test_botocore_reads_instances_with_their_tags(ec2):
    wanted = [{"Name": "instance-id", "Values": [ODD.node_id]}]
    [one] = instances_of(ec2.describe_instances(Filters=wanted))
    tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
    assert tags == {"Name": ODD.name.replace("\x1b", "?"), "a:b": "c=d"}
    assert one["State"] == {"Code": 16, "Name": "running"}


def test_hybrid_nodes_are_none_of_ec2s(ec2):
    ids = {one["InstanceId"] for one in instances_of(ec2.describe_instances())}
    assert TILL.node_id not in ids
    assert len(ids) == len(FLEET)  # with i-demo


@pytest.mark.parametrize(
    "name, value, ids",
    [
        ("tag:Name", "web-1?", [WEB[9].node_id, WEB[10].node_id, WEB[11].node_id]),
        ("tag:Name", "web-1\\?", []),
        ("tag:Role", "t*", None),
        ("private-ip-address", "10.0.0.7", [WEB[6].node_id]),
        ("ip-address", "203.0.113.9", [PUBLIC.node_id]),
        ("tag-key", "a:b", [ODD.node_id]),
        ("instance-state-name", "stopped", []),
    ],
)
def test_filters_of_ec2_have_wildcards(ec2, name, value, ids):
    found = instances_of(ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}]))
    assert [one["InstanceId"] for one in found] == (ids or [one["InstanceId"] for one in found])
    assert len(found) == (2 if ids is None else len(ids))


def test_botocore_pages_through_ec2(ec2):
    pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 7})
    assert [len(instances_of(page)) for page in pages] == [7, 7, 5]


@pytest.mark.parametrize(
    "arguments, code",
    [
        ({"MaxResults": 4}, "InvalidParameterValue"),
        ({"MaxResults": 1001}, "InvalidParameterValue"),
        ({"MaxResults": 5, "InstanceIds": ["i-1"]}, "InvalidParameterCombination"),
        ({"Filters": [{"Name": "colour", "Values": ["red"]}]}, "InvalidParameterValue"),
        ({"Filters": [{"Name": "tag:x", "Values": ["y"] * 201}]}, "FilterLimitExceeded"),
        ({"NextToken": "no such token"}, "InvalidNextToken"),
    ],
)
def test_ec2_refuses_these(ec2, arguments, code):
    assert code_of(ec2.describe_instances, **arguments) == code


def test_a_number_without_end_is_refused_too():
    with service_with() as service:
        status, answer = form(service, Action="DescribeInstances", MaxResults="9" * 5000)
        assert status == 400 and b"<Code>InvalidParameterValue</Code>" in answer


def form(service, **fields):
    """Status and body of one call of EC2."""
    url = urllib.request.Request(service.endpoint_url, urlencode(fields).encode())
    try:
        return 200, urllib.request.urlopen(url, timeout=10).read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_wrong_key_is_refused_by_ec2_too(service):
    session = pytest.importorskip("botocore.session").Session()
    client = session.create_client(
        "ec2", region_name="eu-west-1", endpoint_url=service.endpoint_url,
        aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="another",
    )
    assert code_of(client.describe_instances) == "InvalidSignatureException"


def test_an_unknown_action_is_no_call_of_ec2(ec2):
    assert code_of(ec2.describe_vpcs) == "UnknownOperationException"


def test_a_thousand_instances_come_in_one_answer():
    pytest.importorskip("botocore")
    session = pytest.importorskip("botocore.session").Session()
    with service_with(*many(999)) as service:
        client = session.create_client(
            "ec2", region_name="eu-west-1", endpoint_url=service.endpoint_url,
            aws_access_key_id="x", aws_secret_access_key="y",
        )
        assert len(instances_of(client.describe_instances())) == 1000
