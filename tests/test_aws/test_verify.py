"""The service's side: what we sign is accepted, and nothing else is."""

from datetime import datetime, timezone
from hashlib import sha256

import pytest

from ssm_plugin.aws.keys import Credentials
from ssm_plugin.aws.sigv4 import Scope, encoded_query, sign
from ssm_plugin.aws.verify import authorization, verify
from ssm_plugin.errors import ServiceError

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc).timestamp()
KEYS = Credentials("AKIDEXAMPLE", "top/secret", "the+token==")
BODY = b'{"Target": "i-1"}'
TARGET = "/v1/data-channel/s%201?role=publish_subscribe&cell-number=AA%2BB%3D"
HOST = "127.0.0.1:8080"


def _received(body=BODY, target=TARGET, keys=KEYS, now=NOW, method="POST", **more):
    headers = {"Host": HOST, "Content-Type": "application/json"}
    headers.update(more)
    url = "http://" + HOST + target
    headers.update(sign(method, url, headers, body, keys, "eu-west-1", "ssm", now))
    headers["User-Agent"] = "put in after signing"
    return headers


def _verify(headers, method="POST", target=TARGET, body=BODY, secret="top/secret", now=NOW):
    verify(method, target, headers, sha256(body).hexdigest(), secret, now)


def _code(*args, **more):
    with pytest.raises(ServiceError) as caught:
        _verify(*args, **more)
    assert caught.value.status == 403
    for secret in ("top/secret", "the+token"):
        assert secret not in str(caught.value)
    return caught.value.code


def test_a_signed_request_is_accepted():
    headers = _received()
    assert _verify(headers) is None
    claim = authorization(headers)
    assert claim.access_key == "AKIDEXAMPLE"
    assert claim.scope == Scope("20300102", "eu-west-1", "ssm")
    assert claim.signature not in repr(claim)


def test_header_names_are_compared_without_their_case():
    assert _verify({name.upper(): value for name, value in _received().items()}) is None


def test_headers_may_come_as_pairs():
    assert _verify(list(_received().items())) is None


def test_a_stream_url_with_raw_base64_is_accepted_once_it_is_encoded():
    url = encoded_query("http://" + HOST + "/v1/x?role=a&cell-number=A+/B==")
    headers = {"Host": HOST}
    headers.update(sign("GET", url, headers, b"", KEYS, "eu-west-1", "ssmmessages", NOW))
    assert _verify(headers, "GET", "/v1/x?role=a&cell-number=A%2B%2FB%3D%3D", b"") is None


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{}"},
        {"method": "GET"},
        {"target": "/v1/data-channel/s%202"},
        {"target": TARGET + "&more=1"},
        {"secret": "another"},
    ],
)
def test_whatever_was_signed_may_not_change(change):
    assert _code(_received(), **change) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", ["Content-Type", "X-Amz-Security-Token", "Host"])
def test_no_signed_header_may_change(name):
    assert _code(dict(_received(), **{name: "other"})) == "SignatureDoesNotMatch"


def test_no_signed_header_may_be_missing():
    headers = _received()
    del headers["Content-Type"]
    assert _code(headers) == "IncompleteSignature"


def test_a_token_must_be_signed_with_the_rest():
    headers = _received(keys=KEYS._replace(token=None))
    assert _code(dict(headers, **{"X-Amz-Security-Token": "x"})) == "IncompleteSignature"


@pytest.mark.parametrize("seconds", [-301, 301, 86400])
def test_an_old_or_early_request_is_refused(seconds):
    headers = _received(now=NOW + seconds)
    assert _code(headers) == "RequestExpired"


@pytest.mark.parametrize("now", [NOW + 299, NOW - 299])
def test_some_difference_of_the_clocks_is_allowed(now):
    assert _verify(_received(), now=now) is None


def test_the_day_of_the_scope_must_be_that_of_the_request():
    headers = _received()
    headers["Authorization"] = headers["Authorization"].replace("/20300102/", "/20300101/")
    assert _code(headers) == "RequestExpired"


def test_a_time_that_is_none_is_refused():
    assert _code(dict(_received(), **{"X-Amz-Date": "yesterday"})) == "IncompleteSignature"


def test_an_unsigned_request_is_refused():
    assert _code({"Host": HOST}) == "MissingAuthenticationToken"


@pytest.mark.parametrize("value", ["Bearer x", "AWS4-HMAC-SHA256 Credential=a/b, Signature=00"])
def test_another_kind_of_authorization_is_refused(value):
    assert _code({"Host": HOST, "Authorization": value}) == "IncompleteSignature"
