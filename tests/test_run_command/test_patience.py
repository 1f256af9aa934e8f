"""Calls that fail on the way are made again; what must not be done twice is not."""

from types import SimpleNamespace

import pytest

from ssm_plugin.errors import NetworkError
from ssm_plugin.run_command.patience import PatientCalls
from tests.support.http_server import HttpServer, reply
from tests.support.running import service_client

WHOLE = reply(200, {"CommandInvocations": []})
LIST = "ssm:ListCommandInvocations"


class Scripted(HttpServer):
    """Gives these answers, each to one request; an empty one is a connection that ends."""

    def __init__(self, *answers):
        left = list(answers)
        super().__init__(lambda request: left.pop(0) if left else b"")

    def calls(self, **options):
        client = service_client(SimpleNamespace(endpoint_url=self.url))
        return PatientCalls(client, **options)


@pytest.mark.parametrize("broken", [b"", WHOLE[:20], WHOLE[:-1], reply(500, {})])
def test_a_connection_that_ends_and_an_answer_that_is_cut_are_tried_again(broken):
    with Scripted(broken, WHOLE) as server:
        assert server.calls().call(LIST, {"CommandId": "x"}) == {"CommandInvocations": []}
    assert len(server.requests) == 2


@pytest.mark.parametrize("broken", [b"", WHOLE[:-1]])
def test_a_command_whose_answer_is_lost_is_not_sent_again(broken):
    with Scripted(broken, WHOLE) as server, pytest.raises(NetworkError) as raised:
        server.calls().call("ssm:SendCommand", {}, repeatable=False)
    assert raised.value.uncertain
    assert len(server.requests) == 1


def test_patience_has_an_end():
    with Scripted() as server, pytest.raises(NetworkError):
        server.calls(patience=0.1).call(LIST, {})
    assert server.requests
