"""An idle session costs nothing. scripts/soak --kind idle watches one for ten minutes."""

import os
import select
import subprocess
import sys

import pytest

from tests.support.measure import usage
from tests.support.pty import ROOT
from tests.support.running import KEYS
from tests.support.service import local_service

IDLE = 3.0  # s
# Ten minutes at 30 s are 20 pings and may take 0.2 s of processor time: so 10 ms for each.
PING = 0.5
COST = 0.01 * IDLE / PING


@pytest.mark.serial
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's /proc")
def test_an_idle_session_only_wakes_for_its_pings(tmp_path):
    (tmp_path / "config.yaml").write_text("network: {ping_interval: %gs}" % PING)
    environ = dict(os.environ, PYTHONPATH=ROOT, SSM_PLUGIN_CONFIG=str(tmp_path / "config.yaml"))
    environ.update(KEYS, AWS_REGION="us-east-1")
    with local_service(shell=("env", "PS1=ready> ", "/bin/sh")) as service:
        command = [sys.executable, "-m", "ssm_plugin", "shell", "i-demo"]
        with subprocess.Popen(
            command + ["--endpoint-url", service.endpoint_url],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                assert process.stdout.read(7) == b"ready> "
                # Its start is over, and the first pong was read, for which more is imported.
                select.select([process.stdout], [], [], 1.5 * PING)
                before = usage(process.pid)
                assert select.select([process.stdout], [], [], IDLE)[0] == []
                after = usage(process.pid)
            finally:
                process.kill()
    assert after.cpu - before.cpu <= COST
    assert after.threads == before.threads
    assert after.descriptors == before.descriptors
    assert after.memory - before.memory < 512 * 1024
