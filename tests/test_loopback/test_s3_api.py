"""The outputs of commands in the local S3, read by our own signature and by botocore."""

import hashlib
import http.client
import time
from urllib.parse import quote, urlsplit

import pytest

from ssm_plugin.aws.keys import Credentials
from ssm_plugin.aws.sigv4 import sign
from tests.support.nodes import WEB, service_with
from tests.support.run_command import DEMO, Sender
from tests.support.running import KEYS

KEY = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
PREFIX = "nightly/a b+\u00fc"
LARGE = 3000000
FOLDER = "%s/%s/awsrunShellScript/0.awsrunShellScript/%s"


@pytest.fixture(scope="module")
def service():
    keys = {KEY.access_key: KEY.secret_key}
    with service_with(*WEB, secret_keys=keys, require_signatures=True) as service:
        yield service


@pytest.fixture(scope="module")
def sent(service):
    """The folder of a command whose output went to a bucket."""
    sender = Sender(service)
    script = "head -c %d /dev/zero; echo oops >&2" % LARGE
    where = {"OutputS3BucketName": "results", "OutputS3KeyPrefix": PREFIX}
    command_id = sender.send(script, targets=[("tag:Name", ["web-1", "web-2", "demo"])], **where)
    sender.finish(command_id)
    return "%s/%s" % (PREFIX, command_id)


def key_of(sent, node=DEMO, stream="stdout"):
    return FOLDER % (sent, node, stream)


def get(service, path, credentials=KEY, method="GET", **headers):
    """Status, headers and body. ``path`` as in a URL."""
    url = service.endpoint_url + path
    body_hash = hashlib.sha256(b"").hexdigest()
    headers = dict({"X-Amz-Content-SHA256": body_hash}, **headers)
    if credentials:
        headers.update(sign(method, url, headers, b"", credentials, "us-east-1", "s3", time.time()))
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def path_of(key, bucket="results"):
    return "/%s/%s" % (bucket, quote(key, safe="/~"))


@pytest.fixture
def s3(service):
    session = pytest.importorskip("botocore.session").Session()
    return session.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=service.endpoint_url,
        aws_access_key_id=KEY.access_key,
        aws_secret_access_key=KEY.secret_key,
    )


def test_the_whole_output_is_where_an_agent_puts_it(service, sent):
    status, headers, body = get(service, path_of(key_of(sent)))
    assert (status, body == b"\0" * LARGE) == (200, True)
    assert headers["ETag"] == '"%s"' % hashlib.md5(body).hexdigest()
    assert get(service, path_of(key_of(sent, stream="stderr")))[2] == b"oops\n"


def test_a_part_of_it_can_be_asked_for(service, sent):
    path = path_of(key_of(sent))
    status, headers, body = get(service, path, Range="bytes=%d-%d" % (LARGE - 5, LARGE + 5))
    assert (status, body) == (206, b"\0" * 5)
    assert headers["Content-Range"] == "bytes %d-%d/%d" % (LARGE - 5, LARGE - 1, LARGE)
    assert get(service, path, Range="bytes=%d-" % LARGE)[0] == 416


def test_the_failure_of_a_script_is_in_its_errors(service):
    sender = Sender(service)
    command_id = sender.send("exit 3", OutputS3BucketName="results")
    sender.finish(command_id)
    assert get(service, path_of(key_of(command_id)))[0] == 404  # it wrote nothing
    errors = get(service, path_of(key_of(command_id, stream="stderr")))[2]
    assert errors == b"failed to run commands: exit status 3"
    url = sender.got(command_id)["StandardErrorUrl"]
    assert url == service.endpoint_url + path_of(key_of(command_id, stream="stderr"))


@pytest.mark.parametrize(
    "path, status, code",
    [
        ("/results/none", 404, b"NoSuchKey"),
        ("/missing/none", 404, b"NoSuchBucket"),
        ("/forbidden/none", 403, b"AccessDenied"),
        ("/results?list-type=1", 501, b"NotImplemented"),
        ("/results?list-type=2&max-keys=x", 400, b"InvalidArgument"),
    ],
)
def test_errors_are_told_in_xml(service, path, status, code):
    told = get(service, path)
    assert told[0] == status and b"<Error><Code>%s</Code>" % code in told[2]


@pytest.mark.parametrize(
    "credentials, code",
    [
        (None, b"AccessDenied"),
        (KEY._replace(secret_key="wrong"), b"SignatureDoesNotMatch"),
        (KEY._replace(access_key="AKIAUNKNOWN"), b"InvalidAccessKeyId"),
    ],
)
def test_who_has_not_the_key_gets_nothing(service, sent, credentials, code):
    status, _, body = get(service, path_of(key_of(sent)), credentials)
    assert status == 403 and b"<Code>%s</Code>" % code in body


def test_a_forbidden_bucket_gets_nothing_and_the_command_succeeds(service):
    sender = Sender(service)
    told = sender.run("echo hi", OutputS3BucketName="forbidden")
    assert (told["Status"], told["StandardOutputContent"]) == ("Success", "hi\n")
    assert service.buckets.keys("forbidden", "") == []


def test_botocore_finds_and_reads_the_outputs(s3, sent):
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="results", Prefix=sent + "/", PaginationConfig={"PageSize": 4}
    )
    found = [[one["Key"] for one in page["Contents"]] for page in pages]
    nodes = sorted([DEMO, WEB[0].node_id, WEB[1].node_id])
    wanted = [key_of(sent, node, name) for node in nodes for name in ("stderr", "stdout")]
    assert found == [wanted[:4], wanted[4:]]
    key = key_of(sent, stream="stderr")
    assert s3.get_object(Bucket="results", Key=key)["Body"].read() == b"oops\n"
    assert s3.head_object(Bucket="results", Key=key_of(sent))["ContentLength"] == LARGE


def test_botocore_lists_folders(s3, sent):
    told = s3.list_objects_v2(Bucket="results", Prefix=sent + "/", Delimiter="/")
    assert [one["Prefix"] for one in told["CommonPrefixes"]] == [
        "%s/%s/" % (sent, node) for node in sorted([DEMO, WEB[0].node_id, WEB[1].node_id])
    ]
    assert "Contents" not in told


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nothing_can_be_changed_there(service, method):
    status, _, body = get(service, "/results/x", method=method)
    assert status == 405 and b"<Code>MethodNotAllowed</Code>" in body
    assert service.s3.calls(method.capitalize() + "Object")[-1].signature == "verified"


@pytest.mark.parametrize(
    "faults, status, code",
    [("deny=GetObject", 403, b"AccessDenied"), ("calls=1:GetObject", 503, b"SlowDown")],
)
def test_its_calls_fail_on_request_as_those_of_the_others(faults, status, code):
    with service_with(faults=faults) as service:
        told = [get(service, "/results/none") for _ in range(2)]
        assert told[1][0] == status and b"<Code>%s</Code>" % code in told[1][2]
        assert service.s3.calls("GetObject")[-1].error == code.decode()
