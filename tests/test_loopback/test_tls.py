import os
import ssl
import stat

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.loopback.service import LocalService
from tests.support.throw_away_authority import ThrowAwayAuthority

from .helpers import Agents, Client, data


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return ThrowAwayAuthority(str(tmp_path_factory.mktemp("authority")))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_clients_that_trust_it_accept_its_certificates(authority, name):
    client, server = handshake(authority.server_context(), client_context(authority), name)
    assert client is None
    assert server is None


def test_another_name_is_not_covered(authority):
    client, _ = handshake(authority.server_context(), client_context(authority), "example.com")
    assert isinstance(client, (ssl.SSLError, ssl.CertificateError))


def test_clients_that_do_not_trust_it_refuse(authority):
    context = ssl.create_default_context()
    client, _ = handshake(authority.server_context(), context, "localhost")
    assert isinstance(client, ssl.SSLError)


def test_its_keys_are_private(tmp_path):
    ThrowAwayAuthority(str(tmp_path)).server_context()
    keys = [name for name in os.listdir(str(tmp_path)) if name.endswith(".key")]
    assert sorted(keys) == ["ca.key", "server.key"]
    for name in keys:
        assert stat.S_IMODE(os.stat(str(tmp_path / name)).st_mode) == 0o600


def test_the_complaint_of_openssl_is_passed_on(tmp_path):
    with pytest.raises(LocalError, match="openssl says"):
        ThrowAwayAuthority(str(tmp_path), names=["nonsense"]).server_context()


def test_without_openssl_the_error_says_so(tmp_path):
    path = os.environ["PATH"]
    os.environ["PATH"] = str(tmp_path)
    try:
        with pytest.raises(LocalError, match="openssl command does not run"):
            ThrowAwayAuthority(str(tmp_path))
    finally:
        os.environ["PATH"] = path


def test_the_local_service_speaks_tls_with_it(authority):
    with LocalService(Agents(), tls=authority.server_context()) as service:
        session = service.gateway.start_session(StartRequest("i-1", "", {}, ""))
        opening = {"StreamUrl": service.gateway.stream_url(session), "TokenValue": session.token}
        with Client(opening, sslopt={"context": client_context(authority)}) as client:
            client.send(data(0))
            assert client.receive() == [data(0)]


def client_context(authority):
    return ssl.create_default_context(cafile=authority.ca_file)


def handshake(server_context, context, name):
    """The errors, or None, of a client that wants ``name`` and of the server."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    server = server_context.wrap_bio(outgoing, incoming, server_side=True)
    results = {}
    for _ in range(6):
        for side in (client, server):
            if side not in results:
                try:
                    side.do_handshake()
                    results[side] = None
                except ssl.SSLWantReadError:
                    pass
                except (ssl.SSLError, ssl.CertificateError) as error:
                    results[side] = error
    return results.get(client), results.get(server)
