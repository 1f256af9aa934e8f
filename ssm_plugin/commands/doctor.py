"""Go the whole way to a node, say at each step what is there, and end with the one thing to do.

Looked at are this program, its configuration, the region, the credentials, the clock, the way to
the services ssm and ssmmessages, and the session document; with a TARGET the node and its agent,
too. No session is started, and nothing is changed anywhere.
"""

import argparse
from functools import partial
from typing import Mapping

from ..config import Settings
from ..display import encoded, shown
from ..doctor.examination import Examination
from ..doctor.finding import as_json, as_text, problems
from ..session.streams import write_all
from .command_line import settings_from

# A configuration that cannot be read is one of the things to find.
LOADS_SETTINGS_ITSELF = True

EXAMPLE = """\
examples:
  ssm-plugin doctor
  ssm-plugin doctor i-0123456789abcdef0 --profile ops
  ssm-plugin doctor web1 --json | jq -r .next

exit status: 0 if nothing stands in the way, else 1
"""

FOUND_PROBLEMS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", nargs="?", help="a node that is to be reached")
    parser.add_argument("--json", action="store_true", help="print one object on stdout")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    load = partial(settings_from, options, environ)
    findings = Examination(load, options.target, environ).findings()
    target = shown(options.target or "")
    if options.json:
        write_all(1, as_json(findings, target).encode("ascii"))
    else:
        write_all(1, encoded(as_text(findings, target, environ)))
    return FOUND_PROBLEMS if problems(findings) else 0
