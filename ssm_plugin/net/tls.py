"""TLS 1.2 or newer, certificates always verified; which CA certificates to trust.

Of several settings the first wins and replaces the system's certificates: ``network.ca_bundle`` of
the configuration, ``AWS_CA_BUNDLE``, ``ca_bundle`` of the AWS profile, ``SSL_CERT_FILE``.
"""

import os
import socket
import ssl
from typing import Mapping, Optional, cast

from ..config import NetworkSettings
from ..errors import CertificateError, ConnectError, NetworkError, UsageError
from .timing import Deadline
from .tls_socket import TlsSocket

_CA_SETTINGS = "network.ca_bundle in the configuration, AWS_CA_BUNDLE or SSL_CERT_FILE"
_STEP = "in the TLS handshake"


def ca_bundle_path(
    settings: NetworkSettings, environ: Mapping[str, str], profile_ca_bundle: Optional[str] = None
) -> Optional[str]:
    """The file or directory of CA certificates to use, or None for the system's.

    UsageError, which names the file and the setting, if it cannot be read.
    """
    candidates = (
        ("network.ca_bundle of the configuration", settings.ca_bundle),
        ("AWS_CA_BUNDLE", environ.get("AWS_CA_BUNDLE")),
        ("ca_bundle of the AWS profile", profile_ca_bundle),
        ("SSL_CERT_FILE", environ.get("SSL_CERT_FILE")),
    )
    for source, value in candidates:
        if value:
            return _readable(os.path.expanduser(value), source)
    return None


def client_context(ca_bundle: Optional[str]) -> ssl.SSLContext:
    """A context that verifies against ``ca_bundle``, else the system's CA certificates."""
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
        raise _handshake_error(error, server_name, deadline) from error


def _readable(path: str, source: str) -> str:
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            with open(path, "rb"):
                pass
    except OSError as error:
        raise UsageError(
            "cannot read the CA bundle %r, set by %s: %s" % (path, source, error.strerror)
        ) from error
    return path


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


def _handshake_error(error: Exception, server_name: str, deadline: Deadline) -> NetworkError:
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.CertificateError) or reason == "CERTIFICATE_VERIFY_FAILED":
        why = getattr(error, "verify_message", None) or _plain(error)
        return CertificateError(
            "the certificate of %s is not trusted: %s; if a proxy or a private CA "
            "signed it, name its CA file with %s"
            % (server_name, why, _CA_SETTINGS)
        )
    if isinstance(error, socket.timeout):
        return deadline.error(_STEP)
    why = reason.replace("_", " ").lower() or _plain(error)
    return ConnectError(
        "the TLS handshake with %s failed: %s; check that its port speaks TLS, "
        "and whether a firewall or a proxy cuts the connection"
        % (server_name, why)
    )


def _plain(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
