"""One order by either engine, at a local service, inside the test's process.

with service_with(*WEB) as service:
    ran = Ran(run_command(service), WEB[:3], "echo", "x")
    assert ran.outcome.status == 0 and ran.stdout["web-1"] == b"x\\n"
"""

import json
import queue

from ssm_plugin.aws.s3 import S3Object  # noqa: F401  (loaded before any time is taken)
from ssm_plugin.jobs.engine import FleetOrder, SessionsEngine
from ssm_plugin.jobs.request import as_objects, table
from ssm_plugin.nodes.targets import Found
from ssm_plugin.run_command.engine import RunCommandEngine
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.waiting import Waiting
from tests.support.running import NETWORK, service_client


def environment(service, wait=None):
    waiting = Waiting(wait) if wait else None
    return Environment(service_client(service), NETWORK, environ={}, waiting=waiting)


def run_command(service, wait=None, **options):
    options.setdefault("quiet", True)
    return RunCommandEngine(environment(service, wait), **options)


def sessions(service):
    return SessionsEngine(environment(service))


def found(nodes):
    return [Found(node.node_id, node.name or node.node_id) for node in nodes]


class Ran:
    """``order`` are fields of ``FleetOrder``; ``on_tell`` is called with each result, and may put
    events into ``events``."""

    def __init__(self, engine, nodes, *argv, on_tell=None, events=None, **order):
        self.events = events or queue.Queue()
        self.told = []
        self._outputs = {}
        self._on_tell = on_tell
        self.outcome = engine.run(
            FleetOrder(found(nodes), argv, **order), self._streams, self.events, tell=self._tell
        )

    @property
    def results(self):
        return self.outcome.results

    @property
    def stdout(self):
        return {name: b"".join(parts[0]) for name, parts in self._outputs.items()}

    @property
    def stderr(self):
        return {name: b"".join(parts[1]) for name, parts in self._outputs.items()}

    @property
    def statuses(self):
        return [result.status for result in self.results]

    @property
    def reasons(self):
        return [result.reason for result in self.results]

    @property
    def table(self):
        """Without the times."""
        return table([one._replace(started_at=0, ended_at=0) for one in self.results])

    @property
    def json(self):
        """Without ids and times."""
        told = as_objects(self.outcome)
        for one in told["targets"]:
            for key in ("session_id", "command_id", "started_at", "ended_at", "seconds"):
                one.pop(key, None)
        return json.dumps(told)

    def _streams(self, node):
        parts = self._outputs.setdefault(node.name, ([], []))
        return CallableStreams(parts[0].append, parts[1].append)

    def _tell(self, result):
        self.told.append(result.name)
        if self._on_tell:
            self._on_tell(self, result)
