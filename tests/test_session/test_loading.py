"""Two threads load the same modules at once while there are too few descriptors: each says so."""

import subprocess
import sys

import pytest

from ssm_plugin.shortage import OPEN_FILES
from tests.support.pty import ROOT

TIME_LIMIT = 60.0
PROGRAM = """
import os, resource, sys, threading
from ssm_plugin.session.connector import Connector
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.types import SessionConfig
from ssm_plugin.shortage import explain, prepare_for_ends_of_threads

prepare_for_ends_of_threads()
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
config = SessionConfig("s-1", "ws://127.0.0.1:1/", "the-token")
connector = Connector(Environment(silent=True, environ={}), config, "c-1")
said = set()

def load(together):
    together.wait()
    try:
        connector.load()
    except Exception as error:
        said.add(str(explain(error) or repr(error)))

connector.load()
for _ in range(100):
    for name in [name for name in sys.modules if name.partition(".")[0] == "websocket"]:
        del sys.modules[name]
    del sys.modules["ssm_plugin.transport.websocket"], sys.modules["ssm_plugin.transport"].websocket
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    together = threading.Barrier(2)
    threads = [threading.Thread(target=load, args=(together,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for fd in taken:
        os.close(fd)
    connector.load()
print("\\n".join(sorted(said)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count otherwise")
def test_a_shortage_is_told_by_whichever_thread_meets_it():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=TIME_LIMIT,
    )
    assert (result.stdout.decode(), result.stderr.decode()) == (OPEN_FILES + "\n", "")
