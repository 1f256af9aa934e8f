"""Where the services are: partitions and regions -> endpoint URLs, and which stream URLs to trust.

Region and endpoint come from the first that says something: what the caller was given, the
environment, the profile. ``profile`` is the plain settings of an AWS profile; a key such as
``endpoint_url_ssm`` is of the section for services that the profile names.
"""

import re
from typing import Mapping, Optional, Sequence, Tuple
from urllib.parse import parse_qsl, urlsplit

from ..errors import UsageError
from ..named_tuple import NamedTuple
from ..net.address import Address, is_loopback, parse, split_host
from .profiles import CONFIG_FILE, file_path


class Partition(NamedTuple):
    """``suffix`` ends the names of its hosts, ``dual_stack`` those that have IPv6 as well."""

    name: str
    prefixes: Tuple[str, ...]
    suffix: str
    dual_stack: str


AWS = Partition("aws", (), "amazonaws.com", "api.aws")
# The first prefix that fits counts, so us-iso- and us-gov- need not differ from us- in length.
PARTITIONS = (
    Partition("aws-cn", ("cn-",), "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition("aws-us-gov", ("us-gov-",), "amazonaws.com", "api.aws"),
    Partition("aws-iso", ("us-iso-",), "c2s.ic.gov", "api.aws.ic.gov"),
    Partition("aws-iso-b", ("us-isob-",), "sc2s.sgov.gov", "api.aws.scloud"),
    Partition("aws-iso-e", ("eu-isoe-",), "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    Partition("aws-iso-f", ("us-isof-",), "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    Partition("aws-eusc", ("eusc-",), "amazonaws.eu", "api.amazonwebservices.eu"),
    AWS,
)

# A VPC endpoint's own name comes first. Its service label is AWS's word for it: endpoints of
# other people's services say vpce-svc-… there.
_STREAM_HOST = re.compile(
    r"(vpce-[0-9a-z-]{1,58}\.)?ssmmessages(?:-fips)?"
    r"\.([a-z]{2,5}(?:-[a-z]{1,20}){1,3}-[0-9]{1,2})\.(.*)\Z"
)
_VPC_SUFFIXES = frozenset("vpce." + item.suffix for item in PARTITIONS)
_SUFFIXES = frozenset(suffix for item in PARTITIONS for suffix in (item.suffix, item.dual_stack))

_SIGNATURE_KEYS = frozenset(
    "x-amz-" + key
    for key in (
        "algorithm",
        "credential",
        "date",
        "expires",
        "signedheaders",
        "signature",
        "security-token",
    )
)

_FIPS_IN_GOVCLOUD = ("ssm", "ec2", "sts")


def partition_of(region: str) -> Partition:
    """The partition of a region; an unknown region is taken for one of the main partition."""
    for partition in PARTITIONS:
        if region.startswith(partition.prefixes):
            return partition
    return AWS


def endpoint(service: str, region: str, fips: bool = False, dual_stack: bool = False) -> str:
    """The https URL of a service, such as ``ssm``, in a region."""
    check_region(region)
    partition = partition_of(region)
    name = service + "-fips" if fips else service
    if service in _FIPS_IN_GOVCLOUD and partition.name == "aws-us-gov" and not dual_stack:
        name = service  # the one endpoint there is the FIPS one, and has no name of its own
    if service == "s3" and dual_stack:  # older than the domain of the others
        return "https://s3%s.dualstack.%s.%s" % (name[2:], region, partition.suffix)
    suffix = partition.dual_stack if dual_stack else partition.suffix
    return "https://%s.%s.%s" % (name, region, suffix)


def endpoint_url(
    service: str,
    region: str,
    explicit: Optional[str] = None,
    environ: Mapping[str, str] = {},
    profile: Mapping[str, str] = {},
) -> str:
    """The URL to call ``service`` at, as the AWS CLI would choose it.

    An http URL from the environment or the profile must be of a loopback address, since answers
    carry session tokens; an explicit one may be of any host. UsageError otherwise.
    """
    if explicit:
        parse(explicit, ("https", "http"), "the endpoint URL")
        return explicit
    url, source = _configured_url(service, environ, profile)
    if url:
        address = parse(url, ("https", "http"), "the endpoint URL in %s" % source)
        if not address.tls and not is_loopback(address.host):
            raise UsageError(
                "the endpoint URL in %s is not encrypted: use https://, or unset it and "
                "give the http:// one with --endpoint-url"
                % source
            )
        return url
    fips = _switch("use_fips_endpoint", environ, profile)
    return endpoint(service, region, fips, _switch("use_dualstack_endpoint", environ, profile))


def given_for(service: str, given: Optional[str]) -> Optional[str]:
    """What an endpoint that was given for SSM says of a service. A stand-in on this machine is one
    for whatever else it knows, too."""
    if service == "ssm" or not given:
        return given
    return given if is_loopback(parse(given, ("https", "http"), "the endpoint URL").host) else None


def find_region(
    explicit: Optional[str], environ: Mapping[str, str], profile: Mapping[str, str] = {}
) -> str:
    """The region to work in. UsageError if nothing names one, or if it is not a valid one."""
    region = (
        explicit
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
        or profile.get("region")
    )
    if not region:
        raise UsageError("no AWS region is set: give --region, or set AWS_REGION")
    check_region(region)
    return region


def check_region(region: str) -> None:
    """UsageError if ``region`` does not look like one."""
    # A region becomes a part of a host name: "x.evil.example/" must not get there.
    if not re.match(r"[a-z0-9]+(-[a-z0-9]+)+\Z", region):
        raise UsageError("%r is not an AWS region, such as eu-west-1" % region[:50])


def is_stream_host(host: str) -> bool:
    """Whether ``host``, in lower case, can only be a message gateway of AWS."""
    return _region_of(host) is not None


def check_stream_url(url: str, extra_hosts: Sequence[str] = ()) -> None:
    """UsageError unless ``url`` is of a gateway of AWS, of ``extra_hosts``, or of this machine.

    ``extra_hosts`` are ``host`` or ``host:port``, and stand for their subdomains too. Beyond this
    machine the URL must be ``wss``: the session's token is the first thing that is sent to it.
    """
    address = parse(url, ("wss", "ws"), "the stream URL")
    if "#" in url:
        raise UsageError("the stream URL must not have a fragment")
    if is_loopback(address.host):
        return
    if not address.tls:
        raise UsageError("the stream URL to %s must begin with wss://" % address.host)
    trusted = is_stream_host(address.host) and address.port == 443
    if not trusted and not any(_covers(extra, address) for extra in extra_hosts):
        raise UsageError(
            "the stream URL names %s, which is not a Session Manager host of "
            "AWS: if it is meant, list it in network.stream_hosts of the configuration"
            % address.authority
        )


def session_region_of(url: str) -> Optional[str]:
    """The region that the host of a stream URL names, None if it names none."""
    return _region_of(parse(url, ("wss", "ws"), "the stream URL").host)


def _region_of(host: str) -> Optional[str]:
    """The region that the name of a message gateway of AWS holds; None for any other host."""
    found = _STREAM_HOST.match(host)
    if not found:
        return None
    vpc_endpoint, region, suffix = found.groups()
    return region if suffix in (_VPC_SUFFIXES if vpc_endpoint else _SUFFIXES) else None


def is_presigned(url: str) -> bool:
    """Whether a stream URL brings its own signature: then it must not be signed again."""
    return any(name.lower() in _SIGNATURE_KEYS for name, _ in parse_qsl(urlsplit(url).query, True))


def _configured_url(
    service: str, environ: Mapping[str, str], profile: Mapping[str, str]
) -> Tuple[str, str]:
    if _switch("ignore_configured_endpoint_urls", environ, profile):
        return "", ""
    service = service.replace("-", "_")
    for name in ("AWS_ENDPOINT_URL_%s" % service.upper(), "AWS_ENDPOINT_URL"):
        if environ.get(name):
            return environ[name], name
    if "services" in profile:  # else we would go to other endpoints than those that are meant
        raise UsageError(
            "the AWS profile names the services %r, and %s has no such section; check the spelling"
            % (profile["services"], file_path(CONFIG_FILE, environ))
        )
    url = profile.get("endpoint_url_%s" % service) or profile.get("endpoint_url", "")
    return url, "the AWS profile"


def _switch(name: str, environ: Mapping[str, str], profile: Mapping[str, str]) -> bool:
    value = environ.get("AWS_%s" % name.upper()) or profile.get(name) or ""
    return value.strip().lower() == "true"


def _covers(extra: str, address: Address) -> bool:
    host, port = split_host(extra.lower(), "network.stream_hosts")
    if port not in (None, address.port):
        return False
    return address.host == host or address.host.endswith("." + host)
