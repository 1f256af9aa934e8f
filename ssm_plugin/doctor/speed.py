"""Where the configuration wants fast tunnels: what keeps them from being fast, short of trying."""

from ..aws.client import ServiceClient
from ..errors import SsmPluginError
from ..jobs.request import DEFAULT_DOCUMENT
from ..relay.choice import LoggingCheck, check_target
from .finding import NOTE, OK, Finding, Findings

SPEED = "speed"


def check_speed(speed: str, target: str, service: ServiceClient) -> Findings:
    """Whether the node can run a relay is seen only by starting one."""
    logging = LoggingCheck(service, DEFAULT_DOCUMENT)
    logging.begin()
    reason = logging.reason()
    try:
        check_target(target)
    except SsmPluginError as error:
        reason = str(error)
    if not reason:
        return [Finding(SPEED, OK, "%s: sessions are not logged" % speed)]
    remedy = "tunnels are plain under 'speed: auto'; see 'Fast tunnels' in the README"
    return [Finding(SPEED, NOTE, "%s: %s" % (speed, reason), remedy)]
