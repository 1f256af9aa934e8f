"""Whatever stands on the command line, in the environment or in a setting: it is understood, or it
is one of our errors, in one line, that shows no token."""

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ssm_plugin import units  # noqa: E402
from ssm_plugin.aws import endpoints, sigv4  # noqa: E402
from ssm_plugin.errors import RemoteError, SsmPluginError, UsageError  # noqa: E402
from ssm_plugin.loopback import fault_plan, http  # noqa: E402
from ssm_plugin.loopback.websocket_server import accept_upgrade  # noqa: E402
from ssm_plugin.net import address, proxy  # noqa: E402
from ssm_plugin.net.local_end import names_local_end  # noqa: E402
from ssm_plugin.terminal.escapes import EscapeFilter, Send  # noqa: E402
from ssm_plugin.version import newer_than  # noqa: E402
from tests.test_fuzz.strategies import JSON, QUICK  # noqa: E402

TOKEN = "AAEAAsecrettokenvalue"
TEXT = st.text(max_size=40)
URLS = st.one_of(
    TEXT,
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["ws", "wss", "http", "https", "ftp", "WSS"]),
        st.sampled_from(
            [
                "ssmmessages.eu-west-1.amazonaws.com",
                "ssmmessages.eu-west-1.amazonaws.com.evil.example",
                "evil.example#ssmmessages.eu-west-1.amazonaws.com",
                "a@b",
                "[::1]",
                "[::1",
                "127.0.0.1",
                "",
            ]
        )
        | TEXT,
        st.sampled_from(["", ":443", ":0", ":99999", ":x", ":-1", ":443:1"]),
        st.sampled_from(["", "/", "/v1/data-channel/x?role=publish_subscribe", "?a=b&a=%zz"])
        | TEXT,
    ),
)


def understood(function, *arguments):
    """What it returns; None if it refused, in one line."""
    try:
        return function(*arguments)
    except SsmPluginError as error:
        # exit_status.py joins white space that a value brings, and masks what looks like a token.
        assert str(error)
        assert TOKEN not in str(error)
        return None


@QUICK
@given(URLS)
@example("wss://[")
@example("wss://ssmmessages.eu-west-1.amazonaws.com:443\\@evil.example/")
@example("wss://ssmmessages.eu-west-1.amazonaws.com%00.evil.example/")
def test_a_stream_url_leads_to_aws_or_is_refused(url):
    try:
        endpoints.check_stream_url(url)
    except UsageError:
        return
    parsed = address.parse(url, ("wss", "ws"), "the stream URL")
    assert endpoints.is_stream_host(parsed.host) or address.is_loopback(parsed.host)
    assert endpoints.is_presigned(url) in (True, False)
    understood(endpoints.session_region_of, url)
    understood(sigv4.encoded_query, url)


@QUICK
@given(URLS | TEXT)
def test_addresses_and_proxies_are_understood_or_refused(text):
    understood(address.parse, text, ("https", "http", "ws", "wss"), "it")
    understood(address.split_host, text, "it")
    understood(proxy.parse_proxy, text, "HTTPS_PROXY")
    assert proxy.bypasses(text, "example.com", 443) in (True, False)
    assert address.is_loopback(text) in (True, False)


@QUICK
@given(TEXT | st.from_regex(r"[0-9.]{1,30}[a-zA-Z]{0,2}", fullmatch=True))
@example("9" * 5000 + "s")
@example("1e999")
def test_durations_sizes_and_versions_are_understood_or_refused(text):
    duration = understood(units.parse_duration, text)
    size = understood(units.parse_size, text)
    assert duration is None or 0 <= duration <= units.MAX_DURATION
    assert size is None or size >= 0
    assert newer_than(text, "3.0.196.0") in (True, False)


@QUICK
@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\r~.", b"\n~?", b"~~"]), max_size=6))
def test_keys_that_are_no_escapes_are_sent_as_they_are(pieces):
    escapes = EscapeFilter()
    actions = [action for piece in pieces for action in escapes.feed(piece)] + escapes.finish()
    sent = b"".join(action.data for action in actions if isinstance(action, Send))
    typed = b"".join(pieces)
    assert len(sent) <= len(typed)
    if b"~" not in typed:
        assert sent == typed


@QUICK
@given(st.dictionaries(TEXT, JSON, max_size=3))
def test_what_the_local_end_is_asked_for_is_understood(parameters):
    assert names_local_end(parameters) in (True, False)


# The local service, whose clients may be anybody's programs.


@QUICK
@given(TEXT | st.from_regex(r"(lose|delay|pause|silent|seed|drop-after)=[0-9.%:ms]{0,8}"))
def test_faults_are_understood_or_refused(text):
    plan = understood(fault_plan.parse_faults, text)
    assert plan is None or isinstance(plan, fault_plan.FaultPlan)


@QUICK
@given(
    st.binary(max_size=200)
    | st.builds(
        "GET {} HTTP/1.1\r\n{}: {}".format, TEXT, st.sampled_from(["Host", "Upgrade"]), TEXT
    ).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_a_request_is_understood_or_refused(head):
    try:
        request = http.parse_head(head)
    except http._Refused as refused:
        assert refused.status == 400
    else:
        assert accept_upgrade(request, lambda stream, rest: None).status >= 400


def test_what_is_not_ours_is_an_error_of_the_peer():
    assert not issubclass(RemoteError, UsageError)
