"""OpenSSH at both ends, of this machine, with keys and settings of its own::

    with ssh_through_a_session(tmp_path) as client:
        assert client.run("ssh", "true").returncode == 0
"""

import contextlib
import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from .drop_in import REGION, DropIn
from .pty import ROOT
from .service import local_service

HOST = "i-0123456789abcdef0"
TIME_LIMIT = 40.0
OURS = "%s -m ssm_plugin ssh --quiet %%h %%p" % shlex.quote(sys.executable)

_SERVER = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxSessions 100
PrintMotd no
PrintLastLog no
PermitUserRC no
SetEnv HOME={folder}
LogLevel ERROR
Subsystem sftp internal-sftp
"""

_CLIENT = """\
Host *
    ProxyCommand {proxy_command}
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
    HostKeyAlias server
    BatchMode yes
    ForwardX11 no
    ControlPath {folder}/master
"""


def find(program):
    """Its path; the test is skipped where it is not installed."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not path:
        import pytest  # scripts use this module, too, and may run without it

        pytest.skip("no %s here" % program)
    return path


def check(done, status=0):
    """What a finished program wrote to stdout; it ended with ``status``."""
    assert done.returncode == status, (done.args, done.returncode, done.stderr)
    return done.stdout


@contextlib.contextmanager
def ssh_through_a_session(folder, proxy_command=OURS, **service):
    """A client that reaches its server through a local service: ``client.service``."""
    folder = Path(str(folder))
    with local_service(**service) as running, SshServer(folder) as server:
        home = folder / "home"
        home.mkdir()
        environ = dict(
            DropIn(home, running).environ,
            AWS_ENDPOINT_URL=running.endpoint_url,
            AWS_REGION=REGION,
            PYTHONPATH=ROOT,
        )
        client = SshClient(folder, server, proxy_command, environ)
        client.service = running
        yield client
        running.wait_for(lambda: not running.open_sessions())


class SshServer:
    """An sshd for each connection to ``port``, as inetd would start it. ``settings`` are lines of
    its configuration that hold in place of ours."""

    def __init__(self, folder, settings=""):
        self.folder = folder
        self._settings = settings
        self._sshd = find("sshd")
        self._processes = []

    def __enter__(self):
        for name in ("host_key", "user_key"):
            command = [find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f"]
            subprocess.check_call(command + [str(self.folder / name)])
        host_key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text("server " + host_key)
        self._config = self.folder / "sshd_config"
        self._config.write_text(self._settings + _SERVER.format(folder=self.folder))
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(20)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._processes.append(
                    subprocess.Popen(
                        [self._sshd, "-i", "-e", "-f", str(self._config)],
                        stdin=connection,
                        stdout=connection,
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )


class SshClient:
    """``ssh`` and its relatives with ``proxy_command``, for the host ``host``."""

    host = HOST

    def __init__(self, folder, server, proxy_command, environ):
        self.folder = folder
        self.environ = environ
        self.config = folder / "ssh_config"
        self.config.write_text(
            _CLIENT.format(
                proxy_command=proxy_command,
                port=server.port,
                user=getpass.getuser(),
                folder=folder,
            )
        )

    def argv(self, program, *arguments):
        """``program`` is ``ssh``, ``scp``, ``sftp`` or ``rsync``."""
        if program == "rsync":
            shell = "%s -F %s" % (find("ssh"), shlex.quote(str(self.config)))
            return [find("rsync"), "-e", shell] + list(arguments)
        host = [self.host] if program == "ssh" else []
        options = []
        if program == "ssh":
            while arguments and arguments[0].startswith("-"):
                options.append(arguments[0])
                arguments = arguments[1:]
        return [find(program), "-F", str(self.config)] + options + host + list(arguments)

    def run(self, program, *arguments, **options):
        options.setdefault("timeout", TIME_LIMIT)
        options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
        if options["stdin"] is None:
            del options["stdin"]
        return subprocess.run(
            self.argv(program, *arguments),
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options
        )

    def spawn(self, program, *arguments, **options):
        return subprocess.Popen(self.argv(program, *arguments), env=self.environ, **options)
