"""A throw-away certificate authority for the local service, made with the ``openssl`` command."""

import os
import ssl
import subprocess
from typing import List, Sequence

from ssm_plugin.errors import LocalError

NAMES = ("DNS:localhost", "IP:127.0.0.1")

_DAYS = "2"
_TIMEOUT = 20.0  # seconds for each command
_CONFIGURATION = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = loopback
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
subjectAltName = %s
authorityKeyIdentifier = keyid
"""


class ThrowAwayAuthority:
    """Its files lie in ``directory``, which must exist. ``ca_file`` is what clients must trust."""

    def __init__(self, directory: str, names: Sequence[str] = NAMES) -> None:
        self._directory = directory
        self.ca_file = self._path("ca.pem")
        with open(self._path("openssl.cnf"), "w") as file:
            file.write(_CONFIGURATION % ",".join(names))
        self._new_key("ca")
        self._req("ca", ["-x509", "-extensions", "authority", "-days", _DAYS], "pem")

    def server_context(self) -> ssl.SSLContext:
        """With a new certificate for the names, signed by this authority."""
        self._new_key("server")
        self._req("server", [], "csr")
        serial = str(int.from_bytes(os.urandom(8), "big"))
        self._openssl(
            ["x509", "-req", "-days", _DAYS, "-set_serial", serial]
            + ["-in", self._path("server.csr"), "-out", self._path("server.pem")]
            + ["-CA", self.ca_file, "-CAkey", self._path("ca.key")]
            + ["-extfile", self._path("openssl.cnf"), "-extensions", "server"]
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._path("server.pem"), self._path("server.key"))
        return context

    def _new_key(self, name: str) -> None:
        key = self._path(name + ".key")
        os.close(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600))
        self._openssl(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])

    def _req(self, name: str, options: List[str], ending: str) -> None:
        files = ["-key", self._path(name + ".key"), "-out", self._path(name + "." + ending)]
        self._openssl(
            ["req", "-new", "-config", self._path("openssl.cnf"), "-sha256"] + options + files
        )

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _openssl(self, arguments: List[str]) -> None:
        try:
            done = subprocess.run(
                ["openssl"] + arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LocalError(
                "cannot make a certificate: the openssl command does not run: %s" % error
            ) from error
        if done.returncode != 0:
            words = " ".join(done.stdout.decode("utf-8", "replace").split())
            raise LocalError("cannot make a certificate: openssl says: %s" % words)
