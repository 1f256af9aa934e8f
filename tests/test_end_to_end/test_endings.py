"""An end with a hole in the output, whatever the kind of session."""

import socket
import threading
from contextlib import contextmanager

from ssm_plugin.session.types import SessionType
from tests.support.running import RunningSession
from tests.support.service import local_service

INCOMPLETE = b"the output is incomplete: the session ended before all of it had arrived\n"


def end_with_a_hole(running):
    running.at_service.misbehave("down.lose=50%")
    running.wait_for(lambda: running.session.channel.is_incomplete)
    running.at_service.terminate()
    assert running.finish() == 255
    assert running.errors.endswith(INCOMPLETE)


@contextmanager
def talkative_server():
    """Sends without end to the one who connects."""

    def talk():
        try:
            with server.accept()[0] as sock:
                while True:
                    sock.sendall(b"x" * 1000)
        except OSError:
            pass  # the session has ended

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        thread = threading.Thread(target=talk)
        thread.start()
        yield server.getsockname()[1]
    thread.join(10)


def test_a_shell_that_ends_with_a_hole_in_its_output_gives_255_and_says_so():
    with local_service() as service, RunningSession(service) as running:
        running.send(b"yes\n")
        running.expect(b"y\r\ny\r\n")
        end_with_a_hole(running)


def test_a_stream_that_ends_with_a_hole_gives_255_and_says_so():
    with talkative_server() as port, local_service() as service:
        parameters = {"portNumber": str(port)}
        with RunningSession(
            service, "AWS-StartSSHSession", parameters, SessionType.PORT
        ) as running:
            running.expect(b"xxx")
            end_with_a_hole(running)
