"""A real OpenSSH client and server, with the local service in between."""

import os
import socket
import subprocess

import pytest

from tests.support.drop_in import with_built_file
from tests.support.files import random_file, sha256
from tests.support.pty import PtyProcess
from tests.support.ssh import HOST, check, find, ssh_through_a_session
from tests.test_plugins.port_helpers import TargetServer, read_all, read_exactly

pytestmark = pytest.mark.e2e

SIZE = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A client that reaches its server through the local service."""
    with ssh_through_a_session(tmp_path_factory.mktemp("ssh")) as client:
        yield client


def test_a_command_has_its_input_its_output_and_its_exit_status(place):
    sent = bytes(range(256)) * 400 + b"\n\r\n~.\n"
    assert check(place.run("ssh", "cat; exit 7", input=sent), 7) == sent


def test_the_stream_is_all_that_comes_out_and_quiet_is_quiet(place):
    done = place.run("ssh", "echo here")
    assert (check(done), done.stderr) == (b"here\n", b"")


def test_an_interactive_login(place):
    argv = place.argv("ssh", "-tt", "PS1='ready> ' sh -i")
    with PtyProcess(argv, cols=91, rows=37, env=place.environ) as program:
        program.expect(b"ready> ")
        program.send(b"stty size\r")
        program.expect(b"37 91")
        # Only the job in the foreground is interrupted: it says when it is.
        program.send(b"sh -c 'echo o\"\"n; exec sleep 60'\r")
        program.expect(b"on\r\n")
        program.send(b"\x03")
        program.expect(b"ready> ")
        program.send(b"exit 3\r")
        assert program.wait() == 3


def test_scp_both_ways(place, tmp_path):
    digest = random_file(tmp_path / "there", SIZE)
    for source, target in (("there", "copy"), ("copy", "back")):
        names = [str(tmp_path / source), "%s:%s" % (HOST, tmp_path / target)]
        check(place.run("scp", "-q", *names))
        check(place.run("scp", "-q", "%s:%s" % (HOST, tmp_path / target), str(tmp_path / "down")))
        assert sha256(tmp_path / target) == sha256(tmp_path / "down") == digest


def test_rsync_both_ways(place, tmp_path):
    find("rsync")
    (tmp_path / "a" / "deep").mkdir(parents=True)
    digests = {name: random_file(tmp_path / "a" / name, 300000) for name in ("x", "deep/y")}
    check(place.run("rsync", "-a", "%s/a/" % tmp_path, "%s:%s/b/" % (HOST, tmp_path)))
    check(place.run("rsync", "-a", "%s:%s/b/" % (HOST, tmp_path), "%s/c/" % tmp_path))
    assert {name: sha256(tmp_path / "c" / name) for name in digests} == digests


def test_sftp(place, tmp_path):
    digest = random_file(tmp_path / "up", 500000)
    batch = "put {0}/up {0}/there\nrename {0}/there {0}/renamed\nget {0}/renamed {0}/down\n"
    check(place.run("sftp", "-q", "-b", "-", HOST, input=batch.format(tmp_path).encode()))
    assert sha256(tmp_path / "down") == digest


def test_a_dynamic_forward(place):
    def answer(connection):
        connection.sendall(read_all(connection)[::-1])

    with TargetServer(answer) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        argv = place.argv("ssh", "-D%d" % port, "-oExitOnForwardFailure=yes", "echo up; cat")
        with subprocess.Popen(
            argv, env=place.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as ssh:
            try:
                assert ssh.stdout.readline() == b"up\n"
                for _ in range(3):
                    with socket.create_connection(("127.0.0.1", port), 10) as sock:
                        _socks(sock, server.port)
                        sock.sendall(b"abc" * 10000)
                        sock.shutdown(socket.SHUT_WR)
                        assert read_all(sock) == b"cba" * 10000
            finally:
                ssh.stdin.close()
                assert ssh.wait(15) == 0


def _socks(sock, port):
    sock.sendall(b"\5\1\0")
    assert read_exactly(sock, 2) == b"\5\0"
    sock.sendall(b"\5\1\0\1\x7f\0\0\1" + port.to_bytes(2, "big"))
    assert read_exactly(sock, 10)[1] == 0


def test_many_sessions_over_one_master(place):
    sessions = len(place.service.sessions())
    master = place.spawn("ssh", "-M", "-N")
    try:
        place.service.wait_for(lambda: len(place.service.sessions()) > sessions)
        assert _ask_master(place, master)
        several = [
            place.spawn("ssh", "echo %d" % number, stdout=subprocess.PIPE) for number in range(12)
        ]
        answers = [one.communicate(timeout=40)[0] for one in several]
        assert answers == [b"%d\n" % number for number in range(12)]
        assert len(place.service.sessions()) == sessions + 1
    finally:
        place.run("ssh", "-Oexit")
        master.wait(10)


def _ask_master(place, master):
    while master.poll() is None:
        if place.run("ssh", "-Ocheck").returncode == 0:
            return True
    return False


def test_a_client_that_is_killed_ends_the_session(place):
    ssh = place.spawn("ssh", "echo up; sleep 60", stdout=subprocess.PIPE)
    with ssh:
        assert ssh.stdout.readline() == b"up\n"
        session = place.service.session()
        ssh.kill()
    place.service.wait_for(lambda: session.is_over, 15)


def test_through_the_aws_cli(place, zipapp, aws_cli, tmp_path):
    command = (
        "%s ssm start-session --target %%h --document-name AWS-StartSSHSession "
        "--parameters portNumber=%%p --endpoint-url %s" % (aws_cli, place.service.endpoint_url)
    )
    environ = with_built_file(place.environ, zipapp, place.environ["PATH"])
    environ["AWS_DEFAULT_REGION"] = "us-east-1"
    environ.pop("PYTHONPATH")
    config = tmp_path / "ssh_config"
    lines = place.config.read_text().splitlines()
    lines[1] = "    ProxyCommand " + command
    config.write_text("\n".join(lines) + "\n")
    sent = os.urandom(200000) + b"\n"
    done = subprocess.run(
        [find("ssh"), "-F", str(config), HOST, "cat; exit 5"],
        input=sent,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (5, sent), done.stderr
