"""Whatever a gateway or a node sends, and however much of it: our memory stays within bounds."""

import json
import sys

import pytest

from ssm_plugin.channel.cipher import unavailable_reason
from ssm_plugin.channel.events import Failed
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from tests.support.aws_home import AwsHome
from tests.support.hostile_gateway import FLOODS, HostileGateway, peak_of
from tests.support.pty import ROOT

MOST_MEMORY = 64  # MiB

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.parametrize("name", list(FLOODS))
def test_a_flood_leaves_memory_within_its_bound(name, tmp_path):
    if name == "challenges" and unavailable_reason():
        pytest.skip("no AES-GCM here")
    with HostileGateway(FLOODS[name]) as gateway:
        endpoint = "http://127.0.0.1:%d" % gateway.port
        request = {"Target": "i-1"}
        if name in ("smux SYN", "handshake again"):
            request["DocumentName"] = "AWS-StartPortForwardingSession"
        argv = [sys.executable, "-m", "ssm_plugin", json.dumps(gateway.response), "us-east-1"]
        argv += ["StartSession", "", json.dumps(request), endpoint]
        environ = dict(
            AwsHome(tmp_path).environ,
            AWS_ACCESS_KEY_ID="AKIATESTTESTTESTTEST",
            AWS_SECRET_ACCESS_KEY="of-no-value",
            AWS_ENDPOINT_URL_KMS=endpoint,
            PYTHONPATH=ROOT,
        )
        peak = peak_of(gateway, argv, environ)
        print("%s: %.0f MiB after %.1f MiB sent" % (name, peak, gateway.sent / (1 << 20)))
        assert peak < MOST_MEMORY


def test_a_node_that_wants_answers_and_acknowledges_none_ends_the_session():
    protocol = ChannelProtocol(Role.CLIENT, {"Port"})
    protocol.connection_made(0.0)
    sent = 0
    while not protocol.ended and sent < 100000:
        protocol.send_control(payloads.OUTPUT, b"a" * 1000, 0.0)
        sent += 1
    (event,) = protocol.events()
    assert isinstance(event, Failed) and "acknowledges none" in str(event.error)
    assert sent < 20000
