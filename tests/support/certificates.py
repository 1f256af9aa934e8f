"""A throw-away certificate authority, made with the ``openssl`` command."""

import os
import shutil
import ssl
import subprocess

import pytest

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """``ca_file`` is what clients must trust."""

    def __init__(self, directory):
        if shutil.which("openssl") is None:
            pytest.skip("the openssl command makes the certificates")
        self._directory = str(directory)
        self.ca_file = self._path("ca.pem")
        self._ca_key = self._path("ca.key")
        extensions = ["-addext", "keyUsage=critical,keyCertSign"]
        self._openssl(
            ["req", "-x509", "-subj", "/CN=throw-away CA", "-days", "2"]
            + extensions
            + _KEY
            + ["-keyout", self._ca_key, "-out", self.ca_file]
        )

    def server_context(self, names="DNS:localhost,IP:127.0.0.1", days=2):
        """A server's context with a certificate for ``names``; ``days`` below 0: expired."""
        key, request, signed, extensions = (
            self._path("leaf" + end) for end in (".key", ".csr", ".pem", ".ext")
        )
        with open(extensions, "w") as file:
            file.write("subjectAltName={}\n".format(names))
        self._openssl(["req", "-new", "-subj", "/CN=leaf", "-out", request, "-keyout", key] + _KEY)
        self._openssl(
            ["x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self._ca_key]
            + ["-set_serial", str(2 + days % 1000), "-days", str(days)]
            + ["-extfile", extensions, "-out", signed]
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed, key)
        return context

    def _path(self, name):
        return os.path.join(self._directory, name)

    def _openssl(self, arguments):
        done = subprocess.run(
            ["openssl"] + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20
        )
        assert done.returncode == 0, done.stdout.decode("utf-8", "replace")
