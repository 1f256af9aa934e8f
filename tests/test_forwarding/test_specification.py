"""How forwards are written."""

import pytest

from ssm_plugin.errors import LocalError, UsageError
from ssm_plugin.forwarding.specification import Forward, advice_for, check_host, parse_forward
from ssm_plugin.session.types import SessionType


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("8080:80", Forward(80, None, 8080)),
        ("0:5432", Forward(5432)),
        ("127.0.0.2:8080:80", Forward(80, None, 8080, "127.0.0.2")),
        ("0.0.0.0:8080:80", Forward(80, None, 8080, "0.0.0.0")),
        ("[::1]:8080:80", Forward(80, None, 8080, "::1")),
        ("myhost:8080:80", Forward(80, None, 8080, "myhost")),
        ("8080:db.internal:5432", Forward(5432, "db.internal", 8080)),
        ("0:10.0.0.5:5432", Forward(5432, "10.0.0.5")),
        ("8080:[fd00::5]:5432", Forward(5432, "fd00::5", 8080)),
        ("127.0.0.1:8080:db:5432", Forward(5432, "db", 8080, "127.0.0.1")),
        ("[::]:0:[fd00::5]:65535", Forward(65535, "fd00::5", 0, "::")),
    ],
)
def test_the_forms(text, wanted):
    assert parse_forward(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        ":80",
        "80:",
        "8080:0",
        "8080:65536",
        "65536:80",
        "-1:80",
        "x:80",
        "8080:http",
        "8080:9090:80",
        ":8080:80",
        "8080::80",
        "1:2:3:4",
        ":1:db:4",
        "a:b:c:d:e",
        "::1:8080:80",
        "[::1:8080:80",
        "[::1]8080:80",
        "8080:db]:80",
        "8080:a b:80",
        "8080:http://db:80",
        "\u0661:80",
    ],
)
def test_what_is_none_of_them_is_told_how_they_are_written(text):
    with pytest.raises(UsageError, match=r"^forward ") as caught:
        parse_forward(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "0.0.0.0", "[::1]"])
def test_the_nodes_own_address_is_for_the_node_to_refuse(host):
    wanted = parse_forward("0:%s:80" % host)
    assert wanted.request("i-1").parameters["host"] == [host.strip("[]")]
    check_host(wanted.host)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.9.9.9", "0.0.0.0", "::1"])
def test_a_refusal_of_the_nodes_own_address_comes_with_a_way_out(host):
    assert "leave the host out" in advice_for(host)


@pytest.mark.parametrize("host", [None, "db.internal", "10.0.0.5", "localhost.example"])
def test_other_hosts_have_no_such_advice(host):
    assert advice_for(host) == ""


@pytest.mark.parametrize("host", ["", "a b", "a/b"])
def test_what_cannot_be_a_host(host):
    with pytest.raises(UsageError, match="is not a host name"):
        check_host(host)


def test_one_port_alone_is_told_how_to_be_two():
    with pytest.raises(UsageError, match="^forward '80' .* 80:80 .* 0:80 "):
        parse_forward("80")


def test_an_address_for_all_is_for_those_that_name_none():
    assert parse_forward("0:80", "0.0.0.0").bind == "0.0.0.0"
    assert parse_forward("0:db:80", "0.0.0.0").bind == "0.0.0.0"
    assert parse_forward("127.0.0.1:0:80", "0.0.0.0").bind == "127.0.0.1"


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("5432", Forward(5432, path="/s")),
        ("0:5432", Forward(5432, path="/s")),
        ("db:5432", Forward(5432, "db", path="/s")),
        ("0:db:5432", Forward(5432, "db", path="/s")),
        ("[fd00::5]:5432", Forward(5432, "fd00::5", path="/s")),
    ],
)
def test_the_forms_with_a_unix_socket(text, wanted):
    assert parse_forward(text, path="/s") == wanted


@pytest.mark.parametrize("text", ["8080:5432", "8080:db:5432", "", "x", "a:b:5432", "0", "0:0"])
def test_what_a_unix_socket_does_not_go_with(text):
    with pytest.raises(UsageError, match="^forward "):
        parse_forward(text, path="/s")


def test_what_is_asked_of_the_service():
    node = parse_forward("8080:80").request("i-1", None, "why")
    assert node.document_name == "AWS-StartPortForwardingSession"
    assert (node.parameters, node.target, node.reason) == ({"portNumber": ["80"]}, "i-1", "why")
    assert node.session_type is SessionType.PORT
    host = parse_forward("8080:db:80").request("i-1")
    assert host.document_name == "AWS-StartPortForwardingSessionToRemoteHost"
    assert host.parameters == {"portNumber": ["80"], "host": ["db"]}
    assert parse_forward("8080:db:80").request("i-1", "Mine").document_name == "Mine"


def test_where_it_leads_to_in_words():
    assert parse_forward("0:80").destination("web1") == "port 80 of web1"
    assert parse_forward("0:db:80").destination("web1") == "db port 80 behind web1"


def test_it_listens(tmp_path):
    with parse_forward("127.0.0.1:0:80").listen() as local_end:
        assert local_end.port
        with pytest.raises(LocalError, match="in use"):
            parse_forward("127.0.0.1:%d:80" % local_end.port).listen()
    path = str(tmp_path / "socket")
    with parse_forward("80", path=path).listen() as local_end:
        assert local_end.path == path
