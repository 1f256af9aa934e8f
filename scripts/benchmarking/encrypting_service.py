"""The local service, whose sessions are encrypted, in a process of its own.

It writes its URL, and serves until its standard input ends.
"""

import sys

from ssm_plugin.loopback.agent_work import AgentOptions
from ssm_plugin.loopback.service import demo_service

with demo_service(options=AgentOptions(shell=("/bin/sh",)), kms_key_id="key-1") as service:
    sys.stdout.write(service.endpoint_url + "\n")
    sys.stdout.flush()
    sys.stdin.read()
