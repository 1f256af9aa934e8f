"""Signatures: AWS's published test vectors, and a thousand random requests beside botocore."""

import random
import time
from datetime import datetime, timezone
from hashlib import sha256
from urllib.parse import quote

import pytest

from ssm_plugin.aws.keys import Credentials
from ssm_plugin.aws.sigv4 import (
    Scope,
    canonical_headers,
    canonical_request,
    encoded_query,
    sign,
    signature,
)
from ssm_plugin.errors import UsageError

NOW = datetime(2015, 8, 30, 12, 36, tzinfo=timezone.utc).timestamp()
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = Credentials("AKIDEXAMPLE", SECRET)
TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
ASCII = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LONG_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPf"
    "IeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7W"
    "Z0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8F"
    "DrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM = b"Param1=value1"
FORM_HEADERS = [
    ("Content-Length", "13"),
    ("X-Amz-Content-SHA256", sha256(FORM).hexdigest()),
]


def _vector(name, method, target, expected, headers=(), body=b"", token=None):
    return pytest.param(method, target, expected, list(headers), body, token, id=name)


# From AWS's signing test suite (header signatures, version 4).
VECTORS = [
    _vector(
        "get-header-key-duplicate",
        "GET",
        "/",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        headers=[("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
    ),
    _vector(
        "get-header-value-multiline",
        "GET",
        "/",
        "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
        headers=[("My-Header1", "value1\n  value2\n     value3")],
    ),
    _vector(
        "get-header-value-order",
        "GET",
        "/",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        headers=[("My-Header1", "value%d" % n) for n in (4, 1, 3, 2)],
    ),
    _vector(
        "get-header-value-trim",
        "GET",
        "/",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        headers=[("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')],
    ),
    _vector(
        "get-relative",
        "GET",
        "/example/..",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    _vector(
        "get-relative-relative",
        "GET",
        "/example1/example2/../..",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    _vector(
        "get-slash-dot-slash",
        "GET",
        "/./",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    _vector(
        "get-slash", "GET", "//", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    ),
    _vector(
        "get-slash-pointless-dot",
        "GET",
        "/./example",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    _vector(
        "get-slashes",
        "GET",
        "//example//",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    _vector(
        "get-space",
        "GET",
        "/example space/",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    _vector(
        "get-unreserved",
        "GET",
        "/" + ASCII,
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    _vector(
        "get-utf8",
        "GET",
        "/\u1234",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    _vector(
        "get-vanilla-empty-query-key",
        "GET",
        "/?Param1=value1",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    _vector(
        "get-vanilla-query-order-encoded",
        "GET",
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    _vector(
        "get-vanilla-query-order-key-case",
        "GET",
        "/?Param2=value2&Param1=value1",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    _vector(
        "get-vanilla-query-unreserved",
        "GET",
        "/?%s=%s" % (ASCII, ASCII),
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    _vector(
        "get-vanilla-utf8-query",
        "GET",
        "/?\u1234=bar",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    _vector(
        "get-vanilla-with-session-token",
        "GET",
        "/",
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        token=TOKEN,
    ),
    _vector(
        "get-vanilla",
        "GET",
        "/",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    _vector(
        "post-header-key-sort",
        "POST",
        "/",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        headers=[("My-Header1", "value1")],
    ),
    _vector(
        "post-header-value-case",
        "POST",
        "/",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        headers=[("My-Header1", "VALUE1")],
    ),
    _vector(
        "post-sts-header-before",
        "POST",
        "/",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        token=LONG_TOKEN,
    ),
    _vector(
        "post-vanilla-query",
        "POST",
        "/?Param1=value1",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    _vector(
        "post-vanilla",
        "POST",
        "/",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    _vector(
        "post-x-www-form-urlencoded-parameters",
        "POST",
        "/",
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
        headers=FORM_HEADERS
        + [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")],
        body=FORM,
    ),
    _vector(
        "post-x-www-form-urlencoded",
        "POST",
        "/",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        headers=FORM_HEADERS + [("Content-Type", "application/x-www-form-urlencoded")],
        body=FORM,
    ),
]


@pytest.mark.parametrize("method, target, expected, headers, body, token", VECTORS)
def test_the_published_vectors_give_the_published_signatures(
    method, target, expected, headers, body, token
):
    url = "https://example.amazonaws.com" + target
    headers = [("Host", "example.amazonaws.com")] + headers
    keys = KEYS._replace(token=token)
    added = sign(method, url, headers, body, keys, "us-east-1", "service", NOW)
    names = {"host", "x-amz-date"} | {name.lower() for name, _ in headers}
    if token:
        names.add("x-amz-security-token")
    assert added["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=%s, Signature=%s" % (";".join(sorted(names)), expected)
    )
    assert added["X-Amz-Date"] == "20150830T123600Z"
    assert added.get("X-Amz-Security-Token") == token


def test_the_pieces_give_the_same_signature_as_the_whole():
    headers = canonical_headers({"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z"})
    request = canonical_request("get", "", "", headers, sha256(b"").hexdigest())
    assert request.splitlines()[:3] == ["GET", "/", ""]
    made = signature(SECRET, Scope("20150830", "us-east-1", "service"), "20150830T123600Z", request)
    assert made == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


@pytest.mark.parametrize(
    "url, host",
    [
        ("https://Example.COM/", "example.com"),
        ("wss://example.com:443/", "example.com"),
        ("ws://example.com:80/", "example.com"),
        ("ws://example.com:443/", "example.com:443"),
        ("https://example.com:8443/", "example.com:8443"),
        ("https://[::1]:8443/", "[::1]:8443"),
        ("https://[::1]/", "[::1]"),
    ],
)
def test_the_host_is_signed_as_a_client_sends_it(url, host):
    with_host = sign("GET", url, {"Host": host}, b"", KEYS, "us-east-1", "service", NOW)
    assert sign("GET", url, {}, b"", KEYS, "us-east-1", "service", NOW) == with_host


def test_headers_that_change_on_the_way_are_not_signed():
    url = "https://example.amazonaws.com/"
    hop_by_hop = {"Connection": "Upgrade", "Upgrade": "websocket", "User-Agent": "x"}
    plain = sign("GET", url, {}, b"", KEYS, "us-east-1", "service", NOW)
    assert sign("GET", url, hop_by_hop, b"", KEYS, "us-east-1", "service", NOW) == plain


@pytest.mark.parametrize("url", ["https://[::1/", "https://example.com:port/"])
def test_an_invalid_url_is_an_error_that_does_not_show_it(url):
    with pytest.raises(UsageError) as caught:
        sign("GET", url + "?secret", {}, b"", KEYS, "us-east-1", "service", NOW)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "query, encoded",
    [
        ("", ""),
        ("?role=publish_subscribe", "?role=publish_subscribe"),
        ("?cell-number=AA+B/C==", "?cell-number=AA%2BB%2FC%3D%3D"),
        ("?cell-number=AA%2BB%2fC%3D%3D&x", "?cell-number=AA%2BB%2FC%3D%3D&x"),
        ("?a=%zz&b=%7E", "?a=%25zz&b=~"),
    ],
)
def test_a_query_is_encoded_so_that_all_signers_read_the_same(query, encoded):
    base = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/s-1"
    assert encoded_query(base + query) == base + encoded
    assert encoded_query(base + encoded) == base + encoded


# --- Beside botocore

PATH_PIECES = [
    "a",
    "/",
    "//",
    ".",
    "..",
    "/../",
    "/./",
    " ",
    "%20",
    "%2F",
    "%25",
    "%",
    "+",
    "~",
    "\u00e9",
    "\u65e5\u672c",
    "\U0001f600",
    "=",
    "@",
    ":",
    ";v=1",
    "!$&'()*,",
    "data-channel",
]
QUERY_NAMES = [
    "",
    "a",
    "A",
    "b",
    "a b",
    "role",
    "cell-number",
    "\u00e9",
    "~",
    "x/y",
    "a=b",
    "%",
    "+",
]
SPACES = ["", " ", "  ", "\t", " \t "]
HEADER_NAMES = ["X-Amz-Target", "content-type", "My-Header", "x-custom", "User-Agent", "Expect"]


def _query(rnd):
    pairs = []
    for _ in range(rnd.randint(0, 5)):
        name, value = rnd.choice(QUERY_NAMES), rnd.choice(QUERY_NAMES)
        separator = rnd.choice(["=", "=", "=", ""]) if not value else "="
        safe = rnd.choice(["", "", "/+"])
        pairs.append(quote(name, safe="-_.~") + separator + quote(value, safe="-_.~" + safe))
    pairs += rnd.sample(pairs, min(len(pairs), rnd.randint(0, 2)))
    return rnd.choice(["", "?"]) if not pairs else "?" + "&".join(pairs)


def _host(rnd):
    name = rnd.choice(["example.amazonaws.com", "Example.COM", "127.0.0.1", "[::1]", "localhost"])
    scheme = rnd.choice(["https", "http"])
    port = rnd.choice(["", "", ":443", ":80", ":8443"])
    return scheme + "://" + name + port


def _header_value(rnd):
    words = [rnd.choice(["a", "b,c", '"q  r"', "x=y", "\u00e9", ""]) for _ in range(3)]
    return rnd.choice(SPACES) + rnd.choice(SPACES).join(words) + rnd.choice(SPACES)


def _request(rnd):
    path = "".join(rnd.choice(PATH_PIECES) for _ in range(rnd.randint(0, 8)))
    url = _host(rnd) + ("/" + path if path else "") + _query(rnd)
    names = rnd.sample(HEADER_NAMES, rnd.randint(0, 4))
    headers = {name: _header_value(rnd) for name in names}
    if rnd.random() < 0.2:
        headers["Host"] = rnd.choice(["other.example:8443", "example.com"])
    if rnd.random() < 0.1:
        headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    body = bytes(bytearray(rnd.randrange(256) for _ in range(rnd.choice([0, 0, 1, 200]))))
    token = rnd.choice([None, TOKEN, LONG_TOKEN])
    keys = Credentials("AKID%d" % rnd.randrange(1000), SECRET[rnd.randrange(20) :], token)
    now = 946684800 + rnd.randrange(10**9)
    method = rnd.choice(["GET", "POST", "PUT", "get"])
    return method, url, headers, body, keys, rnd.choice(["us-east-1", "cn-north-1"]), "ssm", now


def _signed_by_botocore(method, url, headers, body, keys, region, service, now):
    auth = pytest.importorskip("botocore.auth")
    requests = pytest.importorskip("botocore.awsrequest")
    credentials = pytest.importorskip("botocore.credentials")
    frozen = credentials.ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.token)
    signer = auth.SigV4Auth(frozen, service, region)
    request = requests.AWSRequest(method=method, url=url, data=body, headers=dict(headers))
    # What add_auth() does, but for its reading of the clock.
    request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    signer._modify_request_before_signing(request)
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(to_sign, request))
    return {
        name: request.headers[name]
        for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")
        if name in request.headers
    }


def test_random_requests_are_signed_as_by_botocore():
    pytest.importorskip("botocore")
    rnd = random.Random(4)
    for _ in range(300):
        request = _request(rnd)
        assert sign(*request) == _signed_by_botocore(*request), request[:3]
