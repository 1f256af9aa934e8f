import pytest

from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import UsageError
from ssm_plugin.net.route import Route, service_route, stream_route

STREAM = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/s?role=publish_subscribe"
STREAM_HOST = "ssmmessages.eu-west-1.amazonaws.com"


def test_a_stream_url_gives_host_port_and_tls():
    assert stream_route(STREAM, NetworkSettings(), {}) == Route(STREAM_HOST, 443, True, STREAM_HOST)
    route = stream_route("ws://127.0.0.1:8080/x", NetworkSettings(), {})
    assert route == Route("127.0.0.1", 8080, False, "127.0.0.1")


@pytest.mark.parametrize(
    "endpoint, host, port",
    [("vpce-1.example", "vpce-1.example", 443), ("127.0.0.1:8443", "127.0.0.1", 8443)],
)
def test_the_stream_endpoint_is_dialled_but_the_certificate_is_the_urls(endpoint, host, port):
    route = stream_route(STREAM, NetworkSettings(stream_endpoint=endpoint), {})
    assert route == Route(host, port, True, STREAM_HOST)


def test_a_proxy_is_chosen_by_the_dialled_host():
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "vpce-1.example"}
    assert stream_route(STREAM, NetworkSettings(), environ).proxy.host == "p"
    direct = NetworkSettings(stream_endpoint="vpce-1.example")
    assert stream_route(STREAM, direct, environ).proxy is None


def test_a_stream_endpoint_must_be_a_host():
    with pytest.raises(UsageError, match="network.stream_endpoint"):
        stream_route(STREAM, NetworkSettings(stream_endpoint="https://x"), {})


def test_a_service_url_is_http_or_https():
    route = service_route("https://ssm.eu-west-1.amazonaws.com", NetworkSettings(), {})
    assert (route.host, route.port, route.tls) == ("ssm.eu-west-1.amazonaws.com", 443, True)
    assert not service_route("http://127.0.0.1:1", NetworkSettings(), {}).tls
    with pytest.raises(UsageError, match="the endpoint URL must begin with"):
        service_route(STREAM, NetworkSettings(), {})


def test_the_ca_bundle_is_read_only_where_a_certificate_is_checked(tmp_path):
    environ = {"AWS_CA_BUNDLE": str(tmp_path / "missing")}
    assert service_route("http://127.0.0.1:1", NetworkSettings(), environ).ca_bundle is None
    for url, proxy in (("https://x", None), ("http://127.0.0.1:1", "https://p:1")):
        with pytest.raises(UsageError, match="AWS_CA_BUNDLE"):
            service_route(url, NetworkSettings(proxy=proxy), environ)
    bundle = str(tmp_path)
    assert service_route("https://x", NetworkSettings(), {}, bundle).ca_bundle == bundle


def test_text_of_a_route_names_the_proxy_without_its_password():
    environ = {"HTTPS_PROXY": "http://user:hush@p:1"}
    route = service_route("https://host", NetworkSettings(), environ)
    assert str(route) == "host:443 through the proxy p:1 (HTTPS_PROXY)"
    assert "hush" not in repr(route)
