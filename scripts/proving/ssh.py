"""OpenSSH through its ProxyCommand, at full size. Each returns a line about what it saw."""

import os
import socket
import subprocess
import time
from pathlib import Path

from tests.support.files import MIB, random_file, sha256
from tests.support.pty import PtyProcess
from tests.support.ssh import HOST, check, ssh_through_a_session

from .tunnels import fetch, web_server


def ssh_login(folder):
    with ssh_through_a_session(folder) as client:
        argv = client.argv("ssh", "-tt", "PS1='ready> ' sh -i")
        with PtyProcess(argv, env=client.environ) as program:
            for line in (b"echo $((6*7))\r", b"tput cols; seq 1 20000 | tail -1\r"):
                program.expect(b"ready> ")
                program.send(line)
            program.expect(b"20000")
            program.expect(b"ready> ")
            program.send(b"exit 3\r")
            assert program.wait() == 3
    return "interactive login on a terminal, exit status 3 came back"


def ssh_copies(folder, size=200 * MIB):
    folder = Path(folder)
    digest = random_file(folder / "file", size)
    said = []
    with ssh_through_a_session(folder) as client:
        def timed(name, *arguments, **options):
            began = time.monotonic()
            check(client.run(*arguments, timeout=600, **options))
            said.append("%s %.0f MiB/s" % (name, size / MIB / (time.monotonic() - began)))

        there, here = str(folder / "there"), str(folder / "here")
        remote = "%s:%s" % (HOST, there)
        timed("scp up", "scp", "-q", str(folder / "file"), remote)
        timed("scp down", "scp", "-q", remote, here)
        assert sha256(there) == sha256(here) == digest
        os.unlink(there), os.unlink(here)
        timed("rsync up", "rsync", str(folder / "file"), remote)
        timed("rsync down", "rsync", remote, here)
        assert sha256(there) == sha256(here) == digest
        os.unlink(there), os.unlink(here)
        batch = "put %s %s\nget %s %s\n" % (folder / "file", there, there, here)
        timed("sftp both", "sftp", "-q", "-b", "-", HOST, input=batch.encode())
        assert sha256(there) == sha256(here) == digest
    return "%d MiB, SHA-256 equal: %s" % (size // MIB, ", ".join(said))


def ssh_dynamic(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with web_server(folder, 50) as (web, digests), ssh_through_a_session(folder) as client:
        with client.spawn("ssh", "-D%d" % port, "echo up; cat",
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ssh:
            assert ssh.stdout.readline() == b"up\n"
            fetch(folder, web, digests, 20, "--socks5-hostname", "127.0.0.1:%d" % port)
            ssh.stdin.close()
            assert ssh.wait(20) == 0
    return "ssh -D: curl fetched 50 files, 20 at once, through SOCKS; SHA-256 equal"


def ssh_master(folder, sessions=50):
    with ssh_through_a_session(folder) as client:
        with client.spawn("ssh", "-M", "-N") as master:
            while client.run("ssh", "-Ocheck").returncode:
                assert master.poll() is None
            several = [
                client.spawn("ssh", "echo %d; head -c 1000000 /dev/zero | sha256sum" % number,
                             stdout=subprocess.PIPE)
                for number in range(sessions)
            ]
            answers = [one.communicate(timeout=60)[0].split(b"\n") for one in several]
            assert [answer[0] for answer in answers] == [b"%d" % n for n in range(sessions)]
            assert len({answer[1] for answer in answers}) == 1
            count = len(client.service.sessions())
            assert count == 1, count
            client.run("ssh", "-Oexit")
            master.wait(10)
    return "%d sessions at once over one ControlMaster, one session at the service" % sessions
