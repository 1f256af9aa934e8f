import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.net.address import Address, is_loopback, parse, split_host

WEB = ("https", "http")


@pytest.mark.parametrize(
    "url, address, authority",
    [
        ("https://Host.Example/a?b", ("https", "host.example", 443), "host.example"),
        ("HTTPS://host:443", ("https", "host", 443), "host"),
        ("http://host", ("http", "host", 80), "host"),
        ("http://host:8080/", ("http", "host", 8080), "host:8080"),
        ("https://[::1]:4443/", ("https", "::1", 4443), "[::1]:4443"),
        ("https://[::1]/", ("https", "::1", 443), "[::1]"),
    ],
)
def test_scheme_host_and_port_of_a_url(url, address, authority):
    found = parse(url, WEB, "the URL")
    assert found == Address(*address)
    assert found.authority == authority
    assert found.tls is (address[0] == "https")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host",
        "host.example",
        "https://",
        "https:///path",
        "https://user@host",
        "https://user:hush@host",
        "https://@host",
        "https://ho st",
        "https://host\n.example",
        "https://host\\.evil.example",
        "https://h\u00f6st",
        "https://host:0",
        "https://host:x",
        "https://host:65536",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        "https://a..b",
        "https://-%2e.b",
        "https://" + "a" * 64,
        "https://" + "a." * 130 + "b",
    ],
)
def test_what_could_be_misread_is_refused_and_not_repeated(url):
    with pytest.raises(UsageError) as caught:
        parse(url, WEB, "the URL")
    assert str(caught.value).startswith("the URL ")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url, shown",
    [
        ("localhost:1", ", not 'localhost:1'"),
        ("host.example/path?key=hush", ", not 'host.example/path'"),
        ("ftp://host/hush", ", not 'ftp://'"),
        ("user:hush@host", ""),
    ],
)
def test_a_url_without_a_scheme_is_shown_as_it_was_typed_but_for_secrets(url, shown):
    with pytest.raises(UsageError) as caught:
        parse(url, WEB, "the URL")
    assert str(caught.value) == "the URL must begin with https:// or http://" + shown


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Host.Example", ("host.example", None)),
        ("host:8443", ("host", 8443)),
        ("::1", ("::1", None)),
        ("[::1]", ("::1", None)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_a_setting_may_be_a_host_with_or_without_a_port(text, expected):
    assert split_host(text, "the setting") == expected


@pytest.mark.parametrize("text", ["", "wss://host", "host/path", "u@host", "host:x", "a b"])
def test_a_setting_that_is_no_host_is_refused(text):
    with pytest.raises(UsageError, match="^the setting "):
        split_host(text, "the setting")


def test_loopback_is_a_network_and_one_name():
    loopback = ["localhost", "127.0.0.1", "127.9.9.9", "::1"]
    assert [host for host in loopback if not is_loopback(host)] == []
    others = ["localhost.example", "127.0.0.1.example", "10.0.0.1", "::2", "", "2130706433"]
    assert [host for host in others if is_loopback(host)] == []
