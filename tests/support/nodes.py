"""A local service with nodes, and who looks them up there.

with service_with(LocalNode("i-1", "web")) as service:
    NodeDirectory(service_client(service)).all()
"""

import contextlib

from ssm_plugin.loopback.nodes import LocalNode, LocalNodes

from .service import local_service

WEB = [
    LocalNode("i-%017x" % number, "web-%d" % number, {"Role": "web"}, address="10.0.0.%d" % number)
    for number in range(1, 13)
]
TWINS = [
    LocalNode("i-%017x" % (0xA0 + number), "twin", {"Role": "twin"}, address="10.0.1.%d" % number)
    for number in (1, 2)
]
TILL = LocalNode("mi-0123456789abcdef0", "till", {"Role": "till"}, address="192.168.0.9")
OFF = LocalNode("i-0000000000000dead", "off", status="ConnectionLost", last_seen=7200.0)
ODD = LocalNode("i-0000000000000000d", "a b, \u65e5\u672c*?\\ \x1b[31m<&>", {"a:b": "c=d"})
PUBLIC = LocalNode("i-00000000000000abc", "", address="10.0.2.1", public_address="203.0.113.9")
ALONE = LocalNode("i-00000000000000def", "no-agent", {"Role": "none"}, is_registered=False)

FLEET = WEB + TWINS + [TILL, OFF, ODD, PUBLIC, ALONE]


@contextlib.contextmanager
def service_with(*nodes, **options):
    """``options`` are those of ``local_service``."""
    with local_service(nodes=LocalNodes(list(nodes)), **options) as service:
        yield service


def many(count):
    return [LocalNode("i-%017x" % number, "node-%d" % number) for number in range(1, count + 1)]
