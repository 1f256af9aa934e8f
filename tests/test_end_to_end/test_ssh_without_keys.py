"""OpenSSH at both ends, and a node that knows no key but the pushed ones."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess

import pytest

from tests.support.files import random_file, sha256
from tests.support.pushed_keys import node_without_keys
from tests.support.ssh import HOST, check, find
from tests.test_end_to_end.test_shell_tmux import Tmux
from tests.test_plugins.port_helpers import TargetServer, read_all

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with node_without_keys(tmp_path_factory.mktemp("keyless")) as node:
        yield node


@pytest.fixture(autouse=True)
def nothing_stays(node):
    yield
    node.wait_until_nothing_is_left()


def test_a_command_has_its_input_its_output_and_its_exit_status(node):
    sent = bytes(range(256)) * 400
    done = node.run("connect", node.destination, "cat; echo err >&2; exit 3", input=sent)
    assert check(done, 3) == sent
    assert done.stderr.endswith(b"err\n")


def test_a_local_forward(node):
    def answer(connection):
        connection.sendall(read_all(connection)[::-1])

    with TargetServer(answer) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        words = ["-L", "%d:127.0.0.1:%d" % (port, server.port), "-oExitOnForwardFailure=yes"]
        argv = node.argv("connect", node.destination, *words, "echo up; cat")
        with subprocess.Popen(
            argv, env=node.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as ssh:
            try:
                assert ssh.stdout.readline() == b"up\n"
                with socket.create_connection(("127.0.0.1", port), 10) as sock:
                    sock.sendall(b"abc" * 10000)
                    sock.shutdown(socket.SHUT_WR)
                    assert read_all(sock) == b"cba" * 10000
            finally:
                ssh.stdin.close()
                assert ssh.wait(15) == 0


def test_the_host_key_is_kept_under_the_id_of_the_node_and_a_changed_one_refused(node):
    check(node.run("connect", node.destination, "true"))
    known = node.folder / "known_nodes"
    assert known.read_text().split()[0] == HOST
    kept = known.read_text()
    other = node.make_key(node.folder / "other-host").with_suffix(".pub").read_text()
    known.write_text("%s %s" % (HOST, other))
    try:
        done = node.run("connect", node.destination, "true")
        assert done.returncode == 255
        assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
    finally:
        known.write_text(kept)


def test_a_new_host_key_is_for_those_to_refuse_who_configured_it(node, tmp_path):
    words = ["-oStrictHostKeyChecking=yes", "-oUserKnownHostsFile=%s" % (tmp_path / "none")]
    done = node.run("connect", node.destination, *words, "true")
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


def test_another_key_and_another_user_are_refused(node, tmp_path):
    pushed, other = (node.make_key(tmp_path / name) for name in ("pushed", "other"))
    block = node.configure("--push-key", "--key", str(pushed))
    check(node.call([find("ssh"), "-F", block, HOST, "true"]))
    # Somebody else's key, while ours is good.
    with open(block) as file:
        lines = file.read()
    strangers = tmp_path / "strangers"
    strangers.write_text(lines.replace("IdentityFile %s" % pushed, "IdentityFile %s" % other))
    done = node.call([find("ssh"), "-F", str(strangers), HOST, "true"])
    assert done.returncode == 255 and b"Permission denied (publickey)" in done.stderr
    # Our key, for a user that it was not pushed for.
    without = tmp_path / "without"
    without.write_text(lines.replace(" --key %s '--push-key=%%r'" % pushed, ""))
    done = node.call([find("ssh"), "-F", str(without), "-l", "daemon", HOST, "true"])
    assert done.returncode == 255 and b"Permission denied (publickey)" in done.stderr
    check(node.call([find("ssh"), "-F", str(without), HOST, "true"]))
    # And a minute later.
    node.clock.advance(60)
    done = node.call([find("ssh"), "-F", str(without), HOST, "true"])
    assert done.returncode == 255 and b"Permission denied (publickey)" in done.stderr


def test_scp_both_ways_with_the_block_of_ssh_config(node, tmp_path):
    key = node.make_key(node.folder / "home" / ".ssh" / "id_ed25519")
    digest = random_file(tmp_path / "here", 1 << 20)
    block = node.configure("--push-key")
    scp = [find("scp"), "-q", "-F", block, "-i", str(key)]
    check(node.call(scp + [str(tmp_path / "here"), "%s:%s" % (HOST, tmp_path / "there")]))
    check(node.call(scp + ["%s:%s" % (HOST, tmp_path / "there"), str(tmp_path / "back")]))
    assert sha256(tmp_path / "there") == sha256(tmp_path / "back") == digest


def test_one_push_serves_all_sessions_of_a_master(node, tmp_path):
    key = node.make_key(tmp_path / "key")
    block = node.configure("--push-key", "--key", str(key))
    master = ["-oControlPath=%s" % (tmp_path / "m"), "-oControlMaster=auto", "-oControlPersist=30"]
    before = node.pushes()
    ssh = [find("ssh"), "-F", block] + master
    try:
        with open(os.devnull, "wb") as nowhere:  # the master keeps what it was given open
            done = subprocess.call(ssh + [HOST, "true"], env=node.environ, stderr=nowhere)
        assert done == 0
        node.clock.advance(60)
        assert check(node.call(ssh + [HOST, "echo here"])) == b"here\n"
        assert node.pushes() == before + 1
    finally:
        check(node.call(ssh + ["-Oexit", HOST]))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_it_and_its_key(node, signum):
    argv = node.argv("connect", node.destination, "echo up; exec sleep 60")
    with subprocess.Popen(argv, env=node.environ, stdout=subprocess.PIPE) as connect:
        assert connect.stdout.readline() == b"up\n"
        assert len(os.listdir(str(node.scratch))) == 1
        session = node.service.session()
        connect.send_signal(signum)
        if signum == signal.SIGKILL:
            session.terminate()  # ssh goes on without us
        expected = -signum if signum == signal.SIGKILL else 128 + signum
        assert connect.wait(20) == expected
    node.service.wait_for(lambda: session.is_over, 15)


@pytest.fixture
def agent(node):
    """The environment of an agent that has no key yet."""
    done = node.call([find("ssh-agent"), "-s"])
    found = dict(re.findall(r"(SSH_[A-Z_]+)=([^;]+);", check(done).decode()))
    try:
        yield found
    finally:
        os.kill(int(found["SSH_AGENT_PID"]), signal.SIGTERM)


@pytest.fixture
def no_keys_at_home(node):
    shutil.rmtree(str(node.folder / "home" / ".ssh"), ignore_errors=True)


def test_the_first_key_of_the_agent_is_pushed(node, agent, no_keys_at_home, tmp_path):
    key = node.make_key(tmp_path / "key")
    subprocess.check_call([find("ssh-add"), "-q", str(key)], env=dict(node.environ, **agent))
    key.unlink()
    block = node.configure("--push-key")
    done = node.call([find("ssh"), "-F", block, HOST, "echo in"], env=agent)
    assert check(done) == b"in\n"


def test_an_agent_without_keys_gets_one_for_a_minute(node, agent, no_keys_at_home):
    block = node.configure("--push-key")
    assert check(node.call([find("ssh"), "-F", block, HOST, "echo in"], env=agent)) == b"in\n"
    # It is the agent's alone, and serves the next one, too.
    known = check(node.call([find("ssh-add"), "-L"], env=agent)).split()
    assert known[0] == b"ssh-ed25519"
    check(node.call([find("ssh"), "-F", block, HOST, "true"], env=agent))
    assert check(node.call([find("ssh-add"), "-L"], env=agent)).split() == known


def test_without_a_key_and_an_agent_it_says_what_to_do(node, no_keys_at_home):
    done = node.run("ssh", "--push-key", "me", HOST, str(node.port))
    assert (done.returncode, done.stdout) == (255, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"or use 'ssm-plugin connect'" in done.stderr


def test_a_login_in_tmux(node, tmp_path):
    shell = "exec env PS1='remote> ' sh -i"
    words = [shlex.quote(word) for word in node.argv("connect", node.destination, "-t", shell)]
    with Tmux(tmp_path, dict(node.environ, TERM="xterm"), 100, 30) as tmux:
        program = tmux.program
        program.expect(b"local> ")
        program.send(b"stty -g > before\r")
        script = tmp_path / "login"
        script.write_text("exec " + " ".join(words) + "\n")
        program.send(b"sh ./login\r")
        program.expect(b"remote> ")
        program.send(b"stty size\r")
        program.expect(b"29 100")  # one line is tmux's own
        program.resize(90, 20)
        wait = b"until stty size | grep -q '19 90'; do sleep 0.1; done; echo siz''ed\r"
        program.send(wait)
        program.expect(b"sized")
        # Only the job in the foreground is interrupted: it says when it is.
        program.send(b"sh -c 'echo o\"\"n; exec sleep 60'\r")
        program.expect(b"on\r\n")
        program.send(b"\x03")
        program.expect(b"remote> ")
        # Stopped and taken up again by the shell that it was started from.
        program.send(b"\r")
        program.expect(b"remote> ")
        program.send(b"~\x1a")
        program.expect(b"Stopped")
        program.send(b"fg\r")
        program.send(b"\recho aga''in\r")
        program.expect(b"again")
        program.send(b"exit 3\r")
        program.expect(b"local> ")
        program.send(b"echo status $?; stty -g | diff before - && echo as-bef''ore\r")
        program.expect(b"status 3")
        program.expect(b"as-before")
