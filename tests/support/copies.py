"""Copies: at a local service in this process, and by the node's scripts alone, without a session.

with local_service() as service:
    copied, = Copies(service).cp(source, node(there)).files
"""

import os
import shutil
import subprocess
import sys
import threading

from ssm_plugin.copying.download import Download
from ssm_plugin.copying.options import CopyFailed, CopyOptions, TargetReport
from ssm_plugin.copying.places import parse_place, plan
from ssm_plugin.copying.transfer import TargetCopy
from ssm_plugin.copying.upload import Upload
from ssm_plugin.nodes.targets import Found
from ssm_plugin.session.environment import Environment

from .running import NETWORK, TARGET, service_client

TIME_LIMIT = 40.0
PLAIN = CopyOptions()

# What each node has, beside one of the programs for digests.
NEEDED = "sh base64 cat mv mkdir rm dd head tail wc tee sed ls stat chmod touch".split()
DATA = bytes(range(256)) * 1000 + b"end"
NAMES = ["plain", " sp ace ", "new\nline\n", "'q\"", "-rf", "{{x}}", "%s\\n", "é", "a:b", "*", "~"]
NAMES.append(b"\xff\xfe")


def node(path):
    """The same path at the node."""
    return "%s:%s" % (TARGET, path)


class Copies:
    """Copies at ``service`` with the node's sessions having ``faults``."""

    def __init__(self, service):
        self.environment = Environment(service_client(service), NETWORK, environ={})

    def make(self, *places, tell=lambda progress: None, read=None, listed=None, **options):
        direction = plan([parse_place(str(place)) for place in places])
        return TargetCopy(
            Found(TARGET, TARGET), direction, CopyOptions(**options), self.environment, tell,
            read=read, listed=listed,
        )

    def cp(self, *places, **options):
        """The report."""
        copy = self.make(*places, **options)
        return TargetReport(copy.run(), copy.files)


class ScriptNode:
    """What stands in for a node: its ``shell``, and its ``tools`` where not all are there, or
    where one ``program`` is all of them."""

    def __init__(self, shell=("sh",), tools=None, folder=None, program=None):
        self._shell = [shutil.which(shell[0])] + list(shell[1:])
        self._environ = dict(os.environ)
        if tools is not None:
            self._environ["PATH"] = folder_of(tools, folder, program)

    def run(self, work):
        """Let a ``Download`` or ``Upload`` have its command; status and stderr of it."""
        words = list(work.argv())
        assert words[0] == "sh"
        with subprocess.Popen(
            self._shell + words[1:],
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            errors = []
            threads = [threading.Thread(target=lambda: errors.append(process.stderr.read()))]
            if work.read_input:
                threads.append(threading.Thread(target=_feed, args=(process.stdin, work)))
            for thread in threads:
                thread.start()
            for piece in iter(lambda: os.read(process.stdout.fileno(), 10000), b""):
                work.output(piece)
            process.wait(TIME_LIMIT)
            work.wake()
            for thread in threads:
                thread.join(TIME_LIMIT)
        return process.returncode, errors[0]


def _feed(stdin, work):
    try:
        for data in iter(work.read_input, b""):
            if data is None:
                break
            stdin.write(data)
        stdin.close()
    except BrokenPipeError:
        pass  # the command wants no more


def folder_of(tools, folder, program=None):
    os.makedirs(str(folder), exist_ok=True)
    for tool in tools:
        found = sys.executable if tool == "python3" else shutil.which(program or tool)
        os.symlink(found, os.path.join(str(folder), tool))
    return str(folder)


def down(script_node, source, destination, options=PLAIN):
    """What became of a file or directory of the node; CopyFailed, with the words of the node."""
    work = Download(TARGET, source, destination, options)
    try:
        status, said = script_node.run(work)
        if status:
            raise CopyFailed(said.decode())
        return work.finish()
    finally:
        work.close()


def up(script_node, source, destination, options=PLAIN):
    """As :func:`down`, to the node."""
    work = Upload(TARGET, source, destination, options)
    status, said = script_node.run(work)
    if work.failure:
        raise work.failure
    if status:
        raise CopyFailed(said.decode())
    return work.finish()


def write(path, data=DATA):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_tree(root):
    """Of all kinds of names, files and directories."""
    for folder in ("", "/d", "/d/empty", "/d/.hidden"):
        os.mkdir(root + folder)
    for name in NAMES + ["d/" + "x" * 200, "d/.hidden/f"]:
        write(os.path.join(os.fsencode(root), os.fsencode(name)), os.fsencode(name))
    os.symlink("../plain", root + "/d/link")
    os.chmod(root + "/plain", 0o751)
    os.utime(root + "/plain", (1e9, 1e9))
    os.utime(root + "/d", (1e9, 1e9))
    os.utime(root + "/d/.hidden", (1.1e9, 1.1e9))
    os.utime(root, (1.2e9, 1.2e9))
    os.chmod(root + "/d/empty", 0o500)


def tree_state(root):
    """Everything beneath ``root`` that a copy keeps: kind, mode, seconds, content or link."""
    root = os.fsencode(str(root))
    found = {}
    for folder, directories, files in os.walk(root):
        for name in directories + files + [b"."]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[relative] = ("directory", status.st_mode, int(status.st_mtime))
            else:
                with open(path, "rb") as file:
                    found[relative] = (status.st_mode, int(status.st_mtime), file.read())
    return found
