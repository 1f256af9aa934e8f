"""Calls of a Query API: how they are written, and what becomes of the answers."""

from urllib.parse import parse_qs

import pytest

from ssm_plugin.aws.call import form
from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.errors import NetworkError, ServiceError
from tests.support.http_server import HttpServer, reply
from tests.test_aws.test_client import KEYS, NOW, REGION, Script, provider

ANSWER = b"<DescribeInstancesResponse><nextToken>n</nextToken></DescribeInstancesResponse>"


def error_of(code, message, status):
    error = "<Error><Code>%s</Code><Message>%s</Message></Error>" % (code, message)
    return reply(status, ("<Response><Errors>%s</Errors></Response>" % error).encode("utf-8"))


@pytest.fixture
def client_of(tmp_path):
    def make(server):
        return ServiceClient(
            provider(KEYS, tmp_path),
            REGION,
            server.url,
            environ={},
            now=lambda: NOW,
            retry_delays=lambda: iter([0.0] * 3),
        )

    return make


def test_lists_become_numbered_names():
    request = {"Filter": [{"Name": "tag:Name", "Value": ["a b", "\u00fc&"]}], "MaxResults": 5}
    assert parse_qs(form("ec2", "DescribeInstances", request).decode("ascii")) == {
        "Action": ["DescribeInstances"],
        "Version": ["2016-11-15"],
        "Filter.1.Name": ["tag:Name"],
        "Filter.1.Value.1": ["a b"],
        "Filter.1.Value.2": ["\u00fc&"],
        "MaxResults": ["5"],
    }


def test_a_stand_in_on_this_machine_is_one_for_ec2_too(client_of):
    with HttpServer(Script(reply(200, ANSWER))) as server:
        root = client_of(server).query("ec2:DescribeInstances", {})
        [request] = server.requests
    assert root.value("nextToken") == "n"
    assert request.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert "/%s/ec2/aws4_request" % REGION in request.headers["authorization"]


def test_an_error_of_ec2_names_the_permission_and_leaves_the_encoded_text_out(client_of):
    said = "You are not authorized. Encoded authorization failure message: " + "x" * 500
    with HttpServer(Script(error_of("UnauthorizedOperation", said, 403))) as server:
        with pytest.raises(ServiceError) as caught:
            client_of(server).query("ec2:DescribeInstances", {})
    assert caught.value.code == "UnauthorizedOperation"
    assert str(caught.value) == (
        "ec2:DescribeInstances failed: UnauthorizedOperation: You are not authorized (status 403); "
        "the credentials need the permission ec2:DescribeInstances"
    )


def test_throttling_is_tried_again(client_of):
    throttled = error_of("RequestLimitExceeded", "Request limit exceeded.", 503)
    with HttpServer(Script(throttled, throttled, reply(200, ANSWER))) as server:
        assert client_of(server).query("ec2:DescribeInstances", {}).value("nextToken") == "n"


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"<!DOCTYPE x><x/>"])
def test_an_answer_that_is_no_xml_is_not_from_aws(client_of, body):
    with HttpServer(Script(reply(200, body))) as server:
        with pytest.raises(NetworkError, match="not from AWS"):
            client_of(server).query("ec2:DescribeInstances", {})


@pytest.mark.parametrize("body", [b"<Error>", b"<x><Error/></x>", b"<!DOCTYPE x><Error/>"])
def test_an_error_that_cannot_be_read_has_its_status(client_of, body):
    with HttpServer(Script(reply(400, body))) as server:
        with pytest.raises(ServiceError, match="HTTP400"):
            client_of(server).query("ec2:DescribeInstances", {})
