"""Everything that this package raises on purpose, sorted by who is at fault::

    SsmPluginError (RuntimeError)
    ├── UsageError (ValueError)      the caller: an argument, a field, a file
    │   ├── ConfigurationError       the configuration file; names file, line and key
    │   └── SessionPropertyError     a field of a session: missing, empty, malformed, unknown
    ├── LocalError                   this machine: a port in use, no permission, no terminal
    ├── CredentialsError             no usable AWS credentials were found
    │   └── NoCredentialsError       nor will any be later: no source has any
    ├── NetworkError                 the way to the service
    │   ├── NameResolutionError      the host name does not resolve
    │   ├── ConnectError             refused, unreachable, reset while connecting
    │   ├── ProxyError               the proxy refused, or wants another password
    │   ├── CertificateError         TLS: not trusted, wrong name, expired
    │   ├── DeadlineError            a time limit passed
    │   ├── UpgradeError             the gateway answered, but not with a WebSocket; has ``status``
    │   └── ConnectionLost           an open connection ended
    ├── ServiceError                 the AWS API said no; has ``code`` and ``status``
    ├── RemoteError                  the agent or the gateway broke the protocol, or gave up
    │   ├── MessageError             one message that cannot be read; it is logged and survived
    │   ├── HandshakeError           the handshake failed or did not come
    │   ├── EncryptionError          a sealed message does not open, or AES-GCM is not available
    │   └── SessionLost              the session ended before its work was done
    ├── SessionInterrupted           a signal, or our own program, ended it; has ``exit_status``
    └── StateError                   a programming mistake: called in the wrong state

Each message is one line that says what failed, for which host or target, why, and what to do.
Nothing of ``websocket``, ``ssl``, ``json``, ``struct`` or ``http`` leaks: errors are converted
where they arise, and keep their cause in ``__cause__``.
"""

import copyreg
from typing import Any, Optional, Tuple


class SsmPluginError(RuntimeError):
    """Base of all errors here. ``str()`` of it is one line for the user.

    ``uncertain``: the service may have done all the same what failed, such as starting a session.
    """

    uncertain = False

    def __reduce__(self) -> Tuple[Any, ...]:
        """For another process, which may raise it again: ``__init__`` may want more than the text,
        and a pool of processes that cannot read an error waits for ever."""
        return copyreg.__newobj__, (type(self),) + self.args, vars(self)  # type: ignore[attr-defined]


class UsageError(SsmPluginError, ValueError):
    pass


class ConfigurationError(UsageError):
    pass


class SessionPropertyError(UsageError):
    pass


class LocalError(SsmPluginError):
    pass


class CredentialsError(SsmPluginError):
    pass


class NoCredentialsError(CredentialsError):
    pass


class NetworkError(SsmPluginError):
    pass


class NameResolutionError(NetworkError):
    """``temporary``: nobody said that there is no such name; the next attempt may find it."""

    temporary = False


class ConnectError(NetworkError):
    pass


class ProxyError(NetworkError):
    pass


class CertificateError(NetworkError):
    pass


class DeadlineError(NetworkError):
    pass


class UpgradeError(NetworkError):
    """``status`` is the HTTP status that came in place of 101."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ConnectionLost(NetworkError):
    pass


class ServiceError(SsmPluginError):
    """``code`` is the service's (``AccessDeniedException``), ``status`` the HTTP status."""

    def __init__(self, message: str, code: str, status: Optional[int] = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class RemoteError(SsmPluginError):
    pass


class MessageError(RemoteError):
    pass


class HandshakeError(RemoteError):
    pass


class EncryptionError(RemoteError):
    pass


class SessionLost(RemoteError):
    pass


class SessionInterrupted(SsmPluginError):
    """``exit_status`` is 128 and the signal's number, or 124 for our own time limit."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class StateError(SsmPluginError):
    pass
