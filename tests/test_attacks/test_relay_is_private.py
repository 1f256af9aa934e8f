"""Another user of the node gains nothing from a relay: by ps, at its port, or by guessing."""

import os
import pwd
import subprocess
import sys

import pytest

from tests.support.echo import EchoServer
from tests.support.relay_at_node import RelayAtNode, relay_runners

GUESSES = 200

# As another user: guess so many secrets, for streams that there are and for others; print how many
# connections were not hung up on, and what came from them.
_GUESSING = r"""
import os, socket, struct, sys
port, guesses, target = map(int, sys.argv[1:])
kept, came = 0, b""
for number in range(guesses):
    sock = socket.create_connection(("127.0.0.1", port), 10)
    hello = struct.pack(">I16sH", number % 80 + 1, os.urandom(16), target)
    sock.sendall(struct.pack(">BH", 0, len(hello)) + hello)
    try:
        data = sock.recv(100)
    except ConnectionResetError:
        data = b""
    came += data
    sock.close()
print(came)
"""

_LOOKING = r"""
import os, sys
shown = b""
for name in ("cmdline", "environ", "maps", "fd"):
    path = "/proc/%s/%s" % (sys.argv[1], name)
    try:
        shown += "".join(os.listdir(path)).encode() if name == "fd" else open(path, "rb").read()
    except PermissionError:
        pass
sys.stdout.buffer.write(shown)
"""

pytestmark = [
    pytest.mark.may_skip,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user"),
]


def as_nobody(script, *arguments):
    nobody = pwd.getpwnam("nobody")

    def become():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    return subprocess.check_output(
        [python, "-c", script] + [str(one) for one in arguments],
        preexec_fn=become,
        cwd="/",
        timeout=60,
    )


@pytest.fixture(params=sorted(relay_runners()))
def relay(request):
    with RelayAtNode(relay_runners()[request.param], spare=64) as running:
        running.wait_for(lambda: len(running.secrets) == 64)
        yield running


def test_two_hundred_guesses_gain_nothing_and_cost_nothing(relay):
    with EchoServer() as target:
        came = as_nobody(_GUESSING, relay.decoder.port, GUESSES, target.port)
        assert came.strip() == b"b''"
        assert not any(relay.said.values())
        stream = relay.open(target.port)  # the secrets are still good for whoever has them
        stream.send(b"mine")
        assert stream.expect_output(4) == b"mine"


def test_neither_ps_nor_proc_shows_a_secret(relay):
    shown = as_nobody(_LOOKING, relay.process.pid)
    assert b"def issue" in shown or b"sub issue" in shown  # its source is no secret
    for secret in relay.secrets.values():
        assert secret not in shown and secret.hex().encode() not in shown
