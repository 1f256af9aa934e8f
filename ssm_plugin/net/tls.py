"""TLS 1.2 or newer, certificates always verified."""

import os
import socket
import ssl
import threading
from typing import Dict, Optional, Tuple, cast

from ..errors import CertificateError, ConnectError, NetworkError, UsageError
from .timing import Deadline
from .tls_socket import TlsSocket

_CA_SETTINGS = "network.ca_bundle in the configuration, AWS_CA_BUNDLE or SSL_CERT_FILE"
_STEP = "in the TLS handshake"

# A system's certificates take 30 ms to load, and a session connects twice or more. A context per
# place is kept, with what tells that the file there has changed.
_Version = Optional[Tuple[int, int, int]]
_contexts: Dict[Optional[str], Tuple[_Version, ssl.SSLContext]] = {}
_loading = threading.Lock()


def client_context(ca_bundle: Optional[str]) -> ssl.SSLContext:
    """A context that verifies against ``ca_bundle``, else the system's CA certificates.

    It is shared: any thread may ask, and a second one waits while the first one loads.
    """
    with _loading:
        version = _version(ca_bundle or ssl.get_default_verify_paths().cafile)
        kept = _contexts.get(ca_bundle)
        if kept is None or kept[0] != version or version is None:
            kept = _contexts[ca_bundle] = (version, _new_context(ca_bundle))
        return kept[1]


def _version(path: Optional[str]) -> _Version:
    """What changes if the file does; None if it cannot be told."""
    try:
        status = os.stat(path) if path else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None


def _new_context(ca_bundle: Optional[str]) -> ssl.SSLContext:
    # Not create_default_context(): from Python 3.13 on it refuses private CAs that lack extensions.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if hasattr(context, "minimum_version"):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    else:  # Python 3.6
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    if ca_bundle is None:
        context.load_default_certs()
    else:
        _load(context, ca_bundle)
    return context


def start_tls(
    sock: socket.socket, ca_bundle: Optional[str], server_name: str, deadline: Deadline
) -> socket.socket:
    """TLS over a connected socket, or over another TLS connection; takes ``sock`` over.

    What comes back is a TlsSocket: one thread may read it while another writes.

    CertificateError if the peer is not to be trusted, ConnectError if it does not speak TLS.
    """
    secure = TlsSocket(sock, client_context(ca_bundle), server_name)
    try:
        secure.do_handshake(lambda: deadline.remaining(_STEP))
        return cast(socket.socket, secure)
    except (OSError, ssl.CertificateError) as error:  # Python 3.6: a wrong name is no OSError
        raise _handshake_error(error, ca_bundle, server_name, deadline) from error


def _load(context: ssl.SSLContext, ca_bundle: str) -> None:
    try:
        if os.path.isdir(ca_bundle):
            context.load_verify_locations(capath=ca_bundle)
        else:
            context.load_verify_locations(cafile=ca_bundle)
    except OSError as error:  # SSLError is one
        raise UsageError(
            "the CA bundle %r holds no certificate that can be read: "
            "it must be a PEM file, and is set by %s, or ca_bundle of the AWS profile"
            % (ca_bundle, _CA_SETTINGS)
        ) from error


def _handshake_error(
    error: Exception, ca_bundle: Optional[str], server_name: str, deadline: Deadline
) -> NetworkError:
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.CertificateError) or reason == "CERTIFICATE_VERIFY_FAILED":
        why = getattr(error, "verify_message", None) or _plain(error)
        return CertificateError(
            "the certificate of %s is not trusted: %s; %s"
            % (server_name, why.rstrip("."), _certificate_advice(why, ca_bundle))
        )
    if isinstance(error, socket.timeout):
        return deadline.error(_STEP)
    why = reason.replace("_", " ").lower() or _plain(error)
    return ConnectError(
        "the TLS handshake with %s failed: %s; check that its port speaks TLS, "
        "and whether a firewall or a proxy cuts the connection"
        % (server_name, why)
    )


def _certificate_advice(why: str, ca_bundle: Optional[str]) -> str:
    if "expired" in why or "not yet valid" in why:
        return "check the clock of this machine, and whether that host has a newer one"
    if "match" in why:
        return "it is of another host: check the endpoint, the DNS settings and the proxy"
    from glob import glob

    places = ssl.get_default_verify_paths()
    if not (ca_bundle or places.cafile or (places.capath and glob(places.capath + "/*"))):
        return "this machine has no CA certificates: install them (package ca-certificates)"
    return "if a proxy or a private CA signed it, name its CA file with %s" % _CA_SETTINGS


def _plain(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
