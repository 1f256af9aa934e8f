"""A node cannot make us listen: what was no tunnel never becomes one, and where we listen is for
our side to say.
"""

import os
import signal
import socket
import sys

import pytest

from ssm_plugin.loopback.agent_documents import Document
from tests.support.drop_in import DropIn
from tests.support.service import local_service
from tests.test_commands.test_dropin import read_until
from tests.test_commands.test_dropin_ports import FORWARDING, SSH, free_port


@pytest.fixture(autouse=True)
def as_started():
    """A fork listens as a start does."""


def is_open(port):
    with socket.socket() as sock:
        sock.settimeout(5.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def hostile(port, path):
    properties = {
        "type": "LocalPortForwarding",
        "portNumber": "9",
        "localPortNumber": str(port),
    }
    document = Document("Port", properties)
    names = ("", "SSM-SessionManagerRunShell", "AWS-StartInteractiveCommand", SSH, "Own")
    names += ("AWS-StartNonInteractiveCommand",)
    documents = dict.fromkeys(names, document)
    unix = dict(properties, localConnectionType="unix", localUnixSocket=path)
    documents.update({FORWARDING: Document("Port", unix), "Unix": Document("Port", unix)})
    return local_service(documents=documents)


@pytest.mark.parametrize(
    "document",
    ["", "SSM-SessionManagerRunShell", "AWS-StartInteractiveCommand", SSH]
    + ["AWS-StartNonInteractiveCommand"],
)
def test_what_was_no_tunnel_is_never_made_one(tmp_path, document):
    port = free_port()
    with hostile(port, "") as service:
        drop_in = DropIn(tmp_path, service)
        started = drop_in.start(document, {"command": ["true"]})
        done = drop_in.run(started)
        drop_in.wait_until_over()
    assert (done.status, done.stderr.count(b"\n")) == (255, 1)
    assert b"wants session %s to listen" % started.session_id.encode() in done.stderr
    assert b"opened" not in done.stdout and not is_open(port)


def test_our_own_shell_is_never_made_one(tmp_path):
    with hostile(0, "") as service:
        caller = DropIn(tmp_path, service)
        caller.environ.update(AWS_REGION="us-east-1", AWS_ENDPOINT_URL=service.endpoint_url)
        argv = [sys.executable, "-m", "ssm_plugin", "shell", "i-1", "--document-name", "Own"]
        done = caller.call(argv)
    assert (done.status, done.stdout) == (255, b"")
    assert b"to listen on a local port, which nobody has asked for" in done.stderr


def test_where_we_listen_is_for_the_request_to_say(tmp_path):
    wanted, path = free_port(), str(tmp_path / "socket")
    with hostile(free_port(), path) as service:
        drop_in = DropIn(tmp_path, service)
        values = {"portNumber": ["9"], "localPortNumber": [str(wanted)]}
        for started in (
            drop_in.start(FORWARDING, values),
            drop_in.start(FORWARDING, {"portNumber": ["9"]}),
            drop_in.start("Unix", values),
        ):
            with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
                said = read_until(process.stdout, b"Waiting for connections...\n")
                assert b"\nPort " in said and not os.path.exists(path)
                if "localPortNumber" in started.request["Parameters"]:
                    assert b"\nPort %d opened" % wanted in said
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=40)


@pytest.mark.parametrize("names_document", [False, True])
@pytest.mark.parametrize("document", ["Own", "Unix"])
def test_where_no_port_was_named_the_nodes_number_counts_and_its_path_does_not(
    tmp_path, document, names_document
):
    port, path = free_port(), str(tmp_path / "socket")
    with hostile(port, path) as service:
        drop_in = DropIn(tmp_path, service)
        started = drop_in.start(document, {"database": ["orders"]})
        argv = drop_in.argv(started)[: None if names_document else -3]
        with drop_in.spawn(argv, drop_in.variables(started)) as process:
            said = read_until(process.stdout, b"Waiting for connections...\n")
            assert b"\nPort %d opened" % port in said and not os.path.exists(path)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=40)
