import pytest

from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import UsageError
from ssm_plugin.net.proxy import Proxy, bypasses, choose_proxy, parse_proxy, passed_over


def proxy_for(url, environ, **settings):
    scheme, _, host = url.partition("://")
    return choose_proxy(scheme, host, 443, environ, NetworkSettings(**settings))


def named(environ, scheme="https", **settings):
    """The host of the proxy chosen for a host, or None."""
    proxy = proxy_for(scheme + "://example.com", environ, **settings)
    return proxy and proxy.host


def test_without_settings_there_is_no_proxy():
    assert named({}) is None


@pytest.mark.parametrize(
    "scheme, wanted", [("https", "s"), ("wss", "s"), ("http", "p"), ("ws", "p")]
)
def test_https_and_wss_share_a_variable_as_http_and_ws_do(scheme, wanted):
    environ = {"HTTPS_PROXY": "http://s:1", "HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://a:1"}
    assert named(environ, scheme) == wanted


def test_all_proxy_is_for_what_has_no_variable_of_its_own():
    environ = {"ALL_PROXY": "http://a:1", "HTTP_PROXY": "http://p:1"}
    assert named(environ, "wss") == "a"
    assert named({"all_proxy": "http://b:1"}, "ws") == "b"


@pytest.mark.parametrize("url", ["socks5://s:1", "SOCKS5h://s:1", "socks4a://s", "socks://s:1/"])
def test_a_socks_proxy_in_all_proxy_alone_is_passed_over(url):
    for name in ("ALL_PROXY", "all_proxy"):
        assert named({name: url}) is None
        assert named({name: url, "HTTPS_PROXY": "http://a:1"}) == "a"
        assert passed_over("wss", {name: url}, NetworkSettings()) == name
        assert not passed_over("wss", {name: url, "https_proxy": ""}, NetworkSettings())
    assert named({"ALL_PROXY": "socks.example:1"}) == "socks.example"
    for name in ("HTTPS_PROXY", "https_proxy"):
        with pytest.raises(UsageError, match="which is not supported"):
            named({name: url})


def test_lower_case_names_win_and_an_empty_one_switches_the_proxy_off():
    assert named({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}) == "lower"
    assert named({"HTTPS_PROXY": "http://upper:1", "https_proxy": ""}) is None
    assert named({"HTTPS_PROXY": "", "ALL_PROXY": "http://a:1"}) == "a"


def test_the_configuration_wins_over_the_environment_and_may_switch_it_off():
    environ = {"HTTPS_PROXY": "http://env:1"}
    proxy = proxy_for("wss://example.com", environ, proxy="http://conf:2")
    assert (proxy.host, proxy.port) == ("conf", 2)
    assert "configuration" in proxy.source
    assert named(environ, proxy="") is None


def test_no_proxy_applies_to_a_configured_proxy_as_well():
    assert named({"NO_PROXY": "example.com"}, proxy="http://conf:2") is None
    environ = {"NO_PROXY": "example.com", "HTTPS_PROXY": "http://env:1"}
    assert named(environ, no_proxy="other.com") == "env"
    assert named({"HTTPS_PROXY": "http://env:1", "no_proxy": "example.com"}) is None


def test_an_empty_list_in_lower_case_wins_too():
    environ = {"HTTPS_PROXY": "http://env:1", "no_proxy": "", "NO_PROXY": "example.com"}
    assert named(environ) == "env"


def test_loopback_is_not_exempt_by_itself():
    assert proxy_for("wss://127.0.0.1", {"HTTPS_PROXY": "http://p:1"}).host == "p"
    assert proxy_for("wss://localhost", {"HTTPS_PROXY": "http://p:1"}).host == "p"


@pytest.mark.parametrize(
    "no_proxy, host, expected",
    [
        ("*", "anything", True),
        ("example.com", "example.com", True),
        ("example.com", "a.b.example.com", True),
        ("EXAMPLE.com", "a.example.com", True),
        ("example.com", "notexample.com", False),
        (".example.com", "a.example.com", True),
        (".example.com", "example.com", True),
        ("*.example.com", "a.example.com", True),
        ("example.com.", "example.com", True),
        ("example.com", "example.com.", True),
        ("other.com, example.com", "example.com", True),
        ("other.com example.com", "example.com", True),
        ("example.com:443", "example.com", True),
        ("example.com:8443", "example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.5/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "ten.example.com", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:443", "127.0.0.1", True),
        ("127.0.0.1:80", "127.0.0.1", False),
        ("fd00::/8", "fd00::1", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:443", "::1", True),
        ("[::1]:80", "::1", False),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("", "example.com", False),
        (",,", "example.com", False),
        (".", "example.com", False),
        (":443", "example.com", False),
        ("10.0.0.0/99", "10.0.0.1", False),
    ],
)
def test_no_proxy_lists_names_suffixes_networks_and_ports(no_proxy, host, expected):
    assert bypasses(no_proxy, host, 443) is expected


def test_user_and_password_are_percent_decoded():
    proxy = parse_proxy("http://d%40m:p%3Aw%2F%20%C3%A9@proxy.example:3128", "HTTPS_PROXY")
    assert proxy == Proxy("proxy.example", 3128, "d@m", "p:w/ é", False, "HTTPS_PROXY")


@pytest.mark.parametrize(
    "url, host, port, tls",
    [
        ("http://Proxy.Example:3128/", "proxy.example", 3128, False),
        ("proxy.example:3128", "proxy.example", 3128, False),
        ("http://proxy.example", "proxy.example", 80, False),
        ("https://proxy.example", "proxy.example", 443, True),
        ("HTTPS://[fd00::1]:8443", "fd00::1", 8443, True),
    ],
)
def test_host_port_and_scheme_of_a_proxy(url, host, port, tls):
    proxy = parse_proxy(url, "HTTPS_PROXY")
    assert (proxy.host, proxy.port, proxy.tls) == (host, port, tls)
    assert (proxy.username, proxy.password) == (None, None)


def test_a_user_name_may_come_without_a_password():
    proxy = parse_proxy("http://user@p:1", "HTTPS_PROXY")
    assert (proxy.username, proxy.password) == ("user", "")


@pytest.mark.parametrize(
    "url",
    [
        "socks5://user:hush@p:1",
        "http://user:hu/sh@p:1",
        "http://user:hu#sh@p:1",
        "http://user:hush@p:port",
        "http://user:hush@p:99999",
        "http://user:hush@",
        "http://user:hush @p:1",
        "http://user:hush@[::1:1",
        "http://user:hush@p:1/path",
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_error_without_its_password(url):
    with pytest.raises(UsageError) as caught:
        proxy_for("wss://example.com", {"HTTPS_PROXY": url})
    text = str(caught.value)
    assert "HTTPS_PROXY" in text and "\n" not in text
    assert "hu" not in text


def test_a_socks_proxy_is_named_as_unsupported():
    with pytest.raises(UsageError, match="socks5 proxy, which is not supported"):
        parse_proxy("socks5://p:1", "ALL_PROXY")


def test_a_bad_proxy_does_no_harm_where_it_is_not_used():
    assert named({"HTTPS_PROXY": "socks5://p:1", "NO_PROXY": "*"}) is None


def test_text_of_a_proxy_hides_user_and_password():
    proxy = parse_proxy("https://someone:hush@p:1", "HTTPS_PROXY")
    for text in (repr(proxy), str(proxy), "{!r}".format([proxy])):
        assert "hush" not in text and "someone" not in text
    assert repr(proxy) == "Proxy(https://***@p:1, HTTPS_PROXY)"
    assert repr(parse_proxy("p:1", "x")) == "Proxy(http://p:1, x)"
