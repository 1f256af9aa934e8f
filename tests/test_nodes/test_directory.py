"""Nodes are found at the local service, whoever of SSM and EC2 may be asked."""

import socket

import pytest

from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.aws.credentials import CredentialProvider
from ssm_plugin.errors import NetworkError, ServiceError
from ssm_plugin.nodes.directory import NodeDirectory
from ssm_plugin.nodes.grammar import parse_target
from tests.support.http_server import HttpServer, reply
from tests.support.nodes import ALONE, FLEET, ODD, OFF, PUBLIC, TILL, WEB, many, service_with
from tests.support.running import KEYS, NETWORK, service_client


@pytest.fixture(scope="module")
def service():
    with service_with(*FLEET) as service:
        yield service


def directory_of(service):
    return NodeDirectory(service_client(service, retry_delays=lambda: iter([0.0] * 3)))


def found(service, word):
    return [node.node_id for node in directory_of(service).of(parse_target(word))]


def test_all_are_told_with_their_names(service):
    nodes = {node.node_id: node for node in directory_of(service).all()}
    assert len(nodes) == len(FLEET)  # i-demo came, and the one without an agent went
    assert (nodes[WEB[6].node_id].name, nodes[WEB[6].node_id].address) == ("web-7", "10.0.0.7")
    assert nodes[TILL.node_id].name == "till"
    assert nodes[PUBLIC.node_id].name == ""
    assert nodes["i-demo"].is_online


def test_only_those_that_are_online_may_be_asked_for(service):
    online = {node.node_id for node in directory_of(service).all(online_only=True)}
    assert OFF.node_id not in online
    assert len(online) == len(FLEET) - 1


@pytest.mark.parametrize(
    "word, ids",
    [
        ("web-7", [WEB[6].node_id]),
        ("name:web-7", [WEB[6].node_id]),
        ("tag:Role=web", [node.node_id for node in WEB]),
        ("tag:a:b=c=d", [ODD.node_id]),
        ("till", [TILL.node_id]),
        ("till.example.internal", [TILL.node_id]),
        ("off", [OFF.node_id]),
        ("ip:10.0.0.7", [WEB[6].node_id]),
        ("ip:203.0.113.9", [PUBLIC.node_id]),
        ("ip:192.168.0.9", [TILL.node_id]),
        ("name:" + ODD.name.replace("\x1b", "?"), []),
        (WEB[0].node_id, [WEB[0].node_id]),
        ("web-*", []),
        ("web", []),
        ("no-agent", []),
        ("tag:role=web", []),
        ("ip:10.0.0.77", []),
        ("i-0123456789abcdef0", []),
    ],
)
def test_a_target_means_its_nodes_and_no_others(service, word, ids):
    assert found(service, word) == ids


def test_a_name_may_hold_anything(service):
    assert found(service, "name:" + ODD.name) == [ODD.node_id]


def test_a_name_costs_one_call(service):
    before = len(service.ssm.calls()), len(service.ec2.calls())
    assert found(service, "web-7")
    assert (len(service.ssm.calls()), len(service.ec2.calls())) == (before[0] + 1, before[1])


@pytest.mark.parametrize("word", ["web-7", "tag:Role=web", "ip:10.0.0.7", "till", "ip:192.168.0.9"])
def test_without_permission_for_ec2_nodes_are_found_all_the_same(word):
    with service_with(*FLEET, faults="deny=DescribeInstances") as service:
        assert len(found(service, word)) == (12 if "Role" in word else 1)


@pytest.mark.parametrize("word", ["web-7", "tag:Role=web", "ip:10.0.0.7"])
def test_without_permission_for_ssm_ec2_is_asked(word):
    with service_with(*FLEET, faults="deny=DescribeInstanceInformation") as service:
        assert len(found(service, word)) == (12 if "Role" in word else 1)


def test_without_permission_for_ssm_what_ec2_alone_knows_is_found_too():
    with service_with(*FLEET, faults="deny=DescribeInstanceInformation") as service:
        assert found(service, "no-agent") == [ALONE.node_id]
        assert found(service, "name:" + ODD.name.replace("\x1b", "?")) == []


def test_a_name_with_the_wildcards_of_ec2_means_itself():
    star = ODD._replace(name="a*?\\b")
    other = ODD._replace(node_id="i-00000000000000fff", name="axx\\b")
    with service_with(star, other, faults="deny=DescribeInstanceInformation") as service:
        assert found(service, star.name) == [star.node_id]


@pytest.mark.parametrize("word", ["web-7", "tag:Role=web", "ip:10.0.0.7"])
def test_without_any_permission_one_error_names_both(word):
    faults = "deny=DescribeInstanceInformation+DescribeInstances"
    with service_with(*FLEET, faults=faults) as service:
        with pytest.raises(ServiceError) as caught:
            found(service, word)
    assert "neither ssm:DescribeInstanceInformation nor ec2:DescribeInstances" in str(caught.value)


def test_without_permission_for_names_the_rest_is_told_and_why():
    with service_with(*FLEET, faults="deny=DescribeInstances") as service:
        directory = directory_of(service)
        assert {node.name for node in directory.all()} == {"", "till"}
        [error] = directory.without
    assert "the credentials need the permission ec2:DescribeInstances" in str(error)


def test_where_ec2_is_out_of_reach_the_rest_is_told_and_why(service):
    """As in a private network with a way to SSM alone."""
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        environ = dict(
            KEYS,
            AWS_ENDPOINT_URL=service.endpoint_url,
            AWS_ENDPOINT_URL_EC2="http://127.0.0.1:%d" % bound.getsockname()[1],
        )
        keys = CredentialProvider(environ=environ)
        client = ServiceClient(
            keys, "us-east-1", None, NETWORK, environ, retry_delays=lambda: iter([0.0] * 3)
        )
        for word, count in (("tag:Role=web", 12), ("ip:10.0.0.7", 1), ("till", 1)):
            directory = NodeDirectory(client)
            assert len(directory.of(parse_target(word))) == count
        directory = NodeDirectory(client)
        assert len(directory.all()) == len(FLEET)
    [error] = directory.without
    assert "cannot connect to 127.0.0.1" in str(error)


@pytest.mark.volume
def test_many_nodes_come_in_many_pages():
    with service_with(*many(1000)) as service:
        names = [node.name for node in directory_of(service).all()]
        assert len(service.ssm.calls("DescribeInstanceInformation")) == 21
    assert len(names) == 1001
    assert len(set(names)) == 1001


def test_throttling_in_the_middle_is_waited_out():
    with service_with(*many(500), faults="throttle=6:3") as service:
        assert len(directory_of(service).all()) == 501
        errors = [call.error for call in service.ssm.calls("DescribeInstanceInformation")]
    assert errors[5:10] == [""] + 3 * ["ThrottlingException"] + [""]


def test_throttling_without_an_end_is_one_error():
    with service_with(*many(500), faults="throttle=6:100%") as service:
        with pytest.raises(ServiceError, match="too many requests at once: try again in a moment"):
            directory_of(service).all()


def test_pages_without_an_end_are_an_error():
    page = reply(200, {"InstanceInformationList": [], "NextToken": "again"})
    with HttpServer(lambda request: page) as server:
        server.endpoint_url = server.url
        with pytest.raises(NetworkError, match="no end: more than 7 pages"):
            NodeDirectory(service_client(server), pages=7).all()


@pytest.mark.parametrize("value", [None, 7, "x", {}, [None, 7, {"InstanceId": None}]])
def test_an_answer_of_another_form_has_no_nodes(value):
    with HttpServer(lambda request: reply(200, {"InstanceInformationList": value})) as server:
        server.endpoint_url = server.url
        assert directory_of(server).all() == []
