"""Copies: at a local service in this process, and by the node's scripts alone, without a session.

with local_service() as service:
    copied, = Copies(service).cp(source, node(there)).files
"""

import os
import shutil
import subprocess
import sys
import threading

from ssm_plugin.copying.options import CopyOptions, TargetReport
from ssm_plugin.copying.places import parse_place, plan
from ssm_plugin.copying.transfer import TargetCopy
from ssm_plugin.nodes.targets import Found
from ssm_plugin.session.environment import Environment

from .running import NETWORK, TARGET, service_client

TIME_LIMIT = 40.0


def node(path):
    """The same path at the node."""
    return "%s:%s" % (TARGET, path)


class Copies:
    """Copies at ``service`` with the node's sessions having ``faults``."""

    def __init__(self, service):
        self.environment = Environment(service_client(service), NETWORK, environ={})

    def make(self, *places, tell=lambda progress: None, read=None, **options):
        direction = plan([parse_place(str(place)) for place in places])
        return TargetCopy(
            Found(TARGET, TARGET), direction, CopyOptions(**options), self.environment, tell,
            read=read,
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
