"""The record of credentials and its JSON."""

import pytest

from ssm_plugin.aws.keys import Credentials, checked, from_document, parse_time
from ssm_plugin.errors import CredentialsError

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
DOCUMENT = {
    "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
    "SecretAccessKey": SECRET,
    "Token": "a-token",
    "Expiration": "2030-01-01T00:00:00Z",
}


def test_no_secret_is_shown():
    keys = Credentials("ASIAIOSFODNN7EXAMPLE", SECRET, "a-token")
    for text in (repr(keys), str(keys), "{}".format(keys), "{!r}".format([keys])):
        assert SECRET not in text
        assert "a-token" not in text
        assert "temporary" in text
    assert "long-term" in repr(Credentials("AKIAIOSFODNN7EXAMPLE", SECRET))


def test_a_document_is_read():
    keys = from_document("x", DOCUMENT, "Token")
    assert keys == Credentials("ASIAIOSFODNN7EXAMPLE", SECRET, "a-token", 1893456000.0)


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_what_is_no_object_is_refused(document):
    with pytest.raises(CredentialsError, match="the place did not answer with a JSON object"):
        from_document("the place", document, "Token")


@pytest.mark.parametrize("name", ["AccessKeyId", "SecretAccessKey"])
def test_a_missing_field_is_named(name):
    document = dict(DOCUMENT)
    del document[name]
    with pytest.raises(CredentialsError, match="the place has no " + name) as caught:
        from_document("the place", document, "Token")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", ["", " ", "with space", SECRET + "\n", "caf\u00e9", 7, None])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(value):
    with pytest.raises(CredentialsError, match="the secret access key from the place") as caught:
        checked("the place", "AKIA", value)
    assert SECRET not in str(caught.value)


def test_an_empty_token_is_no_token():
    assert checked("x", "AKIA", "s", "", "") == Credentials("AKIA", "s")


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-01T00:00:00Z",
        "2030-01-01T00:00:00.123Z",
        "2030-01-01T00:00:00",
        "2030-01-01 00:00:00UTC",
        "2030-01-01T00:00:00+00:00",
        "2030-01-01T02:30:00+02:30",
        "2029-12-31T19:00:00-0500",
        "2030-01-01T01:00:00+01",
        "2030-01-01 00:00:00 UTC",
        "2030-01-01t00:00:00z",
        "2030-01-01T00:00:00,5Z",
        "2030-01-01T00:00Z",
        "20300101T000000Z",
    ],
)
def test_times_are_read_in_all_forms_that_are_in_use(text):
    assert parse_time(text) == 1893456000.0


@pytest.mark.parametrize("text", ["tomorrow", "2030-13-01T00:00:00Z", "12:00", "2030-01-01", 5])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(CredentialsError, match="expiration time from the place"):
        checked("the place", "AKIA", "s", None, text)
