"""SendCommand, GetCommandInvocation and S3's GetObject at services that others wrote. Their SSM
runs nothing, and does not know ListCommandInvocations."""

import http.client
import time
from urllib.parse import urlsplit

import pytest

from ssm_plugin.aws import s3
from ssm_plugin.aws.keys import Credentials
from ssm_plugin.aws.sigv4 import sign
from ssm_plugin.errors import ServiceError
from ssm_plugin.fleet_plan import FleetPlan
from ssm_plugin.jobs.engine import FleetOrder
from ssm_plugin.nodes.targets import Found
from ssm_plugin.run_command.listing import described
from ssm_plugin.run_command.output import OutputFetcher
from ssm_plugin.run_command.patience import PatientCalls
from ssm_plugin.run_command.script import is_by_id
from ssm_plugin.run_command.sending import Bucket, check_order, request_of, send, shipments
from ssm_plugin.session.streams import CallableStreams
from tests.support.running import KEYS

pytestmark = pytest.mark.e2e


def put(moto, path, body=b""):
    connection = http.client.HTTPConnection(urlsplit(moto.endpoint_url).netloc, timeout=20)
    headers = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    url, now = moto.endpoint_url + path, time.time()
    keys = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    headers.update(sign("PUT", url, headers, body, keys, "us-east-1", "s3", now))
    connection.request("PUT", path, body, headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def test_a_command_is_sent_and_its_end_is_told(moto):
    calls = PatientCalls(moto.client)
    nodes = [Found(moto.run_instance("rc-%d" % number), "rc-%d" % number) for number in (1, 2)]
    order = FleetOrder(nodes, ("echo", "{{x}}"), FleetPlan(2), timeout=60.0, reason="because")
    [shipment] = shipments(nodes, order.plan)
    script = check_order(order)
    command_id = send(calls, request_of(shipment, script, order, 60.0, Bucket("logs", "p")))
    whole = described(calls, command_id)
    assert whole["Parameters"] == {"commands": [script], "executionTimeout": ["60"]}
    assert not is_by_id(whole["Parameters"]["commands"])
    assert (whole["Comment"], whole["MaxConcurrency"]) == ("because", "2")
    assert whole["MaxErrors"] == "100%"
    assert (whole["OutputS3BucketName"], whole["OutputS3KeyPrefix"]) == ("logs", "p")
    for node in nodes:
        streams = CallableStreams(lambda data: pytest.fail("there is no output"))
        fetched = OutputFetcher(calls).fetch(command_id, node.target, lambda s=streams: s)
        assert (fetched.details, fetched.code, fetched.cut) == ("Success", 0, ())
        assert fetched.ran and fetched.ended_at > fetched.started_at


def test_an_invocation_that_is_not_there_is_an_error(moto):
    fetcher = OutputFetcher(PatientCalls(moto.client))
    fetcher.stop()
    with pytest.raises(ServiceError):
        fetcher.fetch("0" * 8 + "-0000" * 3 + "-" + "0" * 12, "i-1", lambda: None)


@pytest.mark.parametrize("size", [0, 1, s3.PART, 2 * s3.PART + 7])
def test_an_object_comes_in_parts(moto, size):
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    put(moto, "/rc-bucket")
    put(moto, "/rc-bucket/a%20b%2Bc/stdout", data)
    source = s3.S3Object(moto.client.perform, "rc-bucket", "a b+c/stdout")
    parts = list(iter(source.read, b""))
    assert b"".join(parts) == data
    assert all(len(part) <= s3.PART for part in parts)
    assert source.at == size


@pytest.mark.parametrize("path, code", [(("rc-bucket", "no"), "NoSuchKey"),
                                        (("rc-none", "no"), "NoSuchBucket")])
def test_what_is_not_there_is_named(moto, path, code):
    put(moto, "/rc-bucket")
    with pytest.raises(ServiceError, match="s3:GetObject on s3://%s/no failed" % path[0]) as caught:
        s3.S3Object(moto.client.perform, *path).read()
    assert caught.value.code == code
    assert s3.is_absent(caught.value) == (code == "NoSuchKey")
