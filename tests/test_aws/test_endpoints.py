import itertools

import pytest

from ssm_plugin.aws.endpoints import (
    PARTITIONS,
    check_stream_url,
    endpoint,
    endpoint_url,
    find_region,
    is_presigned,
    is_stream_host,
    partition_of,
    session_region_of,
)
from ssm_plugin.errors import UsageError

REGION = "eu-west-1"
REGIONS = (
    "us-east-1",
    "cn-north-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
    "eusc-de-east-1",
)
SSM = "https://ssm.eu-west-1.amazonaws.com"
PATH = "/v1/data-channel/someone-0a1b?role=publish_subscribe&cell-number=AAA+b/w="


@pytest.mark.parametrize(
    "region, name, suffix, dual_stack",
    [
        ("us-east-1", "aws", "amazonaws.com", "api.aws"),
        ("ap-southeast-7", "aws", "amazonaws.com", "api.aws"),
        ("xx-new-1", "aws", "amazonaws.com", "api.aws"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com", "api.aws"),
        ("us-iso-east-1", "aws-iso", "c2s.ic.gov", "api.aws.ic.gov"),
        ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud"),
        ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        ("eusc-de-east-1", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu"),
    ],
)
def test_each_partition_has_its_own_domain(region, name, suffix, dual_stack):
    assert partition_of(region).name == name
    assert endpoint("kms", region) == "https://kms.{}.{}".format(region, suffix)
    url = endpoint("ssmmessages", region, fips=True, dual_stack=True)
    assert url == "https://ssmmessages-fips.{}.{}".format(region, dual_stack)


def test_fips_in_govcloud_has_no_name_of_its_own():
    gov = "us-gov-west-1"
    assert endpoint("ssm", REGION, fips=True) == "https://ssm-fips.eu-west-1.amazonaws.com"
    assert endpoint("ssm", gov, fips=True) == "https://ssm.us-gov-west-1.amazonaws.com"
    assert endpoint("kms", gov, fips=True) == "https://kms-fips.us-gov-west-1.amazonaws.com"
    both = endpoint("ssm", gov, fips=True, dual_stack=True)
    assert both == "https://ssm-fips.us-gov-west-1.api.aws"


@pytest.mark.parametrize("service", ["ssm", "kms", "ec2", "sts", "ecs", "ec2-instance-connect"])
def test_endpoints_are_those_of_botocore(service):
    pytest.importorskip("botocore")
    from botocore.endpoint_provider import EndpointProvider
    from botocore.loaders import Loader

    loader = Loader()
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    resolver = EndpointProvider(rules, loader.load_data("partitions"))
    for region, fips, dual_stack in itertools.product(REGIONS, (False, True), (False, True)):
        theirs = resolver.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual_stack)
        assert endpoint(service, region, fips, dual_stack) == theirs.url


@pytest.mark.parametrize("fips", ["", "-fips"])
def test_s3_has_a_dual_stack_domain_of_its_own(fips):
    url = endpoint("s3", REGION, bool(fips), dual_stack=True)
    assert url == "https://s3%s.dualstack.eu-west-1.amazonaws.com" % fips
    url = endpoint("s3", "cn-north-1", bool(fips), dual_stack=True)
    assert url == "https://s3%s.dualstack.cn-north-1.amazonaws.com.cn" % fips
    assert endpoint("s3", REGION, bool(fips)) == "https://s3%s.eu-west-1.amazonaws.com" % fips


def test_an_endpoint_is_the_first_that_is_set():
    environ = {
        "AWS_ENDPOINT_URL_SSM": "https://own.example",
        "AWS_ENDPOINT_URL": "https://all.example",
    }
    profile = {"endpoint_url": "https://profile.example"}
    explicit = "https://explicit.example"
    assert endpoint_url("ssm", REGION, explicit, environ, profile) == explicit
    assert endpoint_url("ssm", REGION, None, environ, profile) == "https://own.example"
    assert endpoint_url("kms", REGION, None, environ, profile) == "https://all.example"
    assert endpoint_url("ssm", REGION, "", {}, profile) == "https://profile.example"
    profile["endpoint_url_ssm"] = "https://ssm.profile.example"
    assert endpoint_url("ssm", REGION, None, {}, profile) == "https://ssm.profile.example"
    assert endpoint_url("kms", REGION, None, {}, profile) == "https://profile.example"
    assert endpoint_url("ssm", REGION) == SSM


def test_the_variable_of_a_service_with_a_dash_is_that_of_the_aws_cli():
    environ = {"AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT": "https://own.example"}
    profile = {"endpoint_url_ec2_instance_connect": "https://profile.example"}
    assert endpoint_url("ec2-instance-connect", REGION, None, environ) == "https://own.example"
    found = endpoint_url("ec2-instance-connect", REGION, None, {}, profile)
    assert found == "https://profile.example"


def test_configured_endpoints_can_be_ignored():
    environ = {"AWS_ENDPOINT_URL": "https://all.example"}
    profile = {"endpoint_url": "https://profile.example"}
    ignore = dict(environ, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="True")
    assert endpoint_url("ssm", REGION, None, ignore, profile) == SSM
    assert endpoint_url("ssm", REGION, "https://x", ignore, profile) == "https://x"
    profile["ignore_configured_endpoint_urls"] = "true"
    assert endpoint_url("ssm", REGION, None, environ, profile) == SSM


def test_fips_and_dual_stack_are_switched_by_environment_or_profile():
    environ = {"AWS_USE_FIPS_ENDPOINT": "true"}
    assert endpoint_url("ssm", REGION, None, environ) == endpoint("ssm", REGION, True)
    profile = {"use_dualstack_endpoint": "true"}
    both = endpoint_url("ssm", REGION, None, environ, profile)
    assert both == "https://ssm-fips.eu-west-1.api.aws"
    off = {"AWS_USE_DUALSTACK_ENDPOINT": "false"}
    assert endpoint_url("ssm", REGION, None, off, profile) == SSM


def test_an_unencrypted_endpoint_must_be_local_or_given_explicitly():
    assert endpoint_url("ssm", REGION, "http://any.example:4566") == "http://any.example:4566"
    local = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
    assert endpoint_url("ssm", REGION, None, local) == "http://127.0.0.1:4566"
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL is not encrypted"):
        endpoint_url("ssm", REGION, None, {"AWS_ENDPOINT_URL": "http://any.example"})
    with pytest.raises(UsageError, match="the AWS profile is not encrypted"):
        endpoint_url("ssm", REGION, None, {}, {"endpoint_url": "http://any.example"})


def test_an_endpoint_that_is_no_url_is_named_with_its_source():
    with pytest.raises(UsageError, match="^the endpoint URL must begin with https:// or http://"):
        endpoint_url("ssm", REGION, "ssm.example")
    with pytest.raises(UsageError, match="the endpoint URL in AWS_ENDPOINT_URL_KMS"):
        endpoint_url("kms", REGION, None, {"AWS_ENDPOINT_URL_KMS": "https://"})


def test_the_region_is_the_first_that_is_set():
    environ = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-2"}
    profile = {"region": "us-west-1"}
    assert find_region("eu-west-1", environ, profile) == "eu-west-1"
    assert find_region(None, environ, profile) == "us-east-1"
    assert find_region(None, {"AWS_DEFAULT_REGION": "us-east-2"}, profile) == "us-east-2"
    assert find_region("", {"AWS_REGION": ""}, profile) == "us-west-1"


def test_without_a_region_the_way_to_set_one_is_named():
    with pytest.raises(UsageError, match="no AWS region is set: give --region, or set AWS_REGION"):
        find_region(None, {})


@pytest.mark.parametrize(
    "region", ["evil.example/", "eu-west-1.evil", "eu", "EU-WEST-1", "eu west 1", "eu-west-1\n"]
)
def test_a_region_cannot_change_the_host_it_becomes_a_part_of(region):
    with pytest.raises(UsageError, match="is not an AWS region"):
        endpoint("ssm", region)
    with pytest.raises(UsageError, match="is not an AWS region"):
        find_region(region, {})


def gateways():
    for region in REGIONS:
        for fips in (False, True):
            for dual_stack in (False, True):
                yield region, endpoint("ssmmessages", region, fips, dual_stack)[len("https://") :]
    for partition in PARTITIONS:
        host = "vpce-0a1b-x9y8-us-east-1a.ssmmessages.us-east-1.vpce." + partition.suffix
        yield "us-east-1", host


def test_the_gateways_of_all_partitions_are_trusted_and_name_their_region():
    for region, host in gateways():
        url = "wss://{}{}".format(host, PATH)
        assert check_stream_url(url) is None
        assert is_stream_host(host)
        assert session_region_of(url) == region
    assert check_stream_url("WSS://SSMMESSAGES.us-east-1.amazonaws.com:443" + PATH) is None


@pytest.mark.parametrize(
    "host",
    [
        "ssmmessages.eu-west-1.amazonaws.com.evil.com",
        "ssmmessages.eu-west-1.amazonaws.com.",
        "ssmmessages.evil.com",
        "ssmmessages.eu-west-1.evil.com",
        "xssmmessages.eu-west-1.amazonaws.com",
        "x.ssmmessages.eu-west-1.amazonaws.com",
        "ssmmessages.amazonaws.com",
        "ssmmessages.s3.amazonaws.com",
        "ssmmessages.s3-us-west-2.amazonaws.com",
        "ssmmessages.eu-west-1.elb.amazonaws.com",
        "ssmmessages.eu-west-1.xamazonaws.com",
        "ssmmessages.eu-west-1.amazonaws.org",
        "ssmmessages-evil.eu-west-1.amazonaws.com",
        "ec2.eu-west-1.amazonaws.com",
        "vpce-1.ssmmessages.eu-west-1.vpce.amazonaws.com.evil.com",
        "vpce-1.vpce-svc-2.eu-west-1.vpce.amazonaws.com",
        "vpce-1.x.ssmmessages.eu-west-1.vpce.amazonaws.com",
        "evil.ssmmessages.eu-west-1.vpce.amazonaws.com",
        "amazonaws.com",
        "ssmmessages.eu-west-1.amazonaws.com:8443",
        "10.0.0.1",
        "2130706433",
    ],
)
def test_a_host_that_only_looks_like_a_gateway_is_refused(host):
    with pytest.raises(UsageError, match="not a Session Manager host of AWS"):
        check_stream_url("wss://{}{}".format(host, PATH))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://ssmmessages.eu-west-1.amazonaws.com/",
        "ssmmessages.eu-west-1.amazonaws.com",
        "ws://ssmmessages.eu-west-1.amazonaws.com/",
        "ws://listed.example/",
        "ws://127.0.0.1.evil.com/",
        "wss://user@ssmmessages.eu-west-1.amazonaws.com/",
        "wss://ssmmessages.eu-west-1.amazonaws.com@evil.com/",
        "wss://evil.com\\@ssmmessages.eu-west-1.amazonaws.com/",
        "wss://evil.com#@ssmmessages.eu-west-1.amazonaws.com/",
        "wss://ssmmessages.eu-west-1.amazonaws.com/#x",
        "wss://ssmmessages.eu-west-1.amazonaws.com\t.evil.com/",
        "wss://ssmmessages.eu-west-1.amazonaws.com\n/",
        " wss://ssmmessages.eu-west-1.amazonaws.com/",
        "wss://ssmmessages.eu-west-1.amazonaws.com:x/",
        "wss://evil.com/ssmmessages.eu-west-1.amazonaws.com",
        "wss://evil.com?ssmmessages.eu-west-1.amazonaws.com",
        "wss:ssmmessages.eu-west-1.amazonaws.com",
        "wss:///ssmmessages.eu-west-1.amazonaws.com",
        "wss://ssmmessages\u3002eu-west-1.amazonaws.com/",
    ],
)
def test_a_url_that_is_not_plainly_a_gateways_is_refused(url):
    with pytest.raises(UsageError) as caught:
        check_stream_url(url, ["listed.example"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.1.2.3", "[::1]:1", "localhost:9"])
def test_this_machine_may_be_spoken_to_with_and_without_tls(host):
    assert check_stream_url("ws://{}/x".format(host)) is None
    assert check_stream_url("wss://{}/x".format(host)) is None


def test_listed_hosts_and_their_subdomains_are_trusted():
    extra = ["My-VPCE.example", "other.example:8443"]
    for host in ("my-vpce.example", "a.my-vpce.example", "my-vpce.example:9", "other.example:8443"):
        assert check_stream_url("wss://" + host + "/", extra) is None
    for host in ("xmy-vpce.example", "my-vpce.example.evil.com", "other.example", "example"):
        with pytest.raises(UsageError, match="list it in network.stream_hosts"):
            check_stream_url("wss://" + host + "/", extra)


def test_a_listed_host_must_be_one():
    with pytest.raises(UsageError, match="network.stream_hosts"):
        check_stream_url("wss://x.example/", ["https://x.example"])


def test_other_hosts_name_no_region():
    assert session_region_of("wss://my-vpce.example/") is None
    assert session_region_of("ws://127.0.0.1:1/") is None


@pytest.mark.parametrize(
    "query, expected",
    [
        ("role=publish_subscribe&cell-number=X-Amz-Signature", False),
        ("", False),
        ("X-Amz-Signature=abc", True),
        ("a=b&x-amz-algorithm=AWS4-HMAC-SHA256", True),
        ("X-Amz-Credential", True),
        ("X-AMZ-DATE=1", True),
        ("X-Amz-Expires=1", True),
        ("X-Amz-SignedHeaders=host", True),
        ("X%2DAmz-Security-Token=x", True),
        ("X-Amz-Other=1", False),
    ],
)
def test_a_url_with_a_signature_in_its_query_is_presigned(query, expected):
    assert is_presigned("wss://ssmmessages.eu-west-1.amazonaws.com/v1?" + query) is expected
