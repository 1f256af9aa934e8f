"""A command's line on a terminal of the test's own, with the programs that a container may lack."""

import os
import select
import shlex
import subprocess

from ssm_plugin.jobs.terminal_line import ERRORS, OUTPUT

# The first terminal that a session's leader opens becomes the one that controls the session.
_TAKE_TERMINAL = ': <"$0"; exec "$@"'
TIME_LIMIT = 20.0


def outputs_of(line, stream, path, shell="/bin/sh", typed=b""):
    """Output and errors, taken apart by ``stream``; ``path`` is where programs are found. What is
    ``typed`` goes in once the script has begun."""
    words = shlex.split(line.text)
    words[0] = shell
    master, slave = os.openpty()
    argv = ["/bin/sh", "-c", _TAKE_TERMINAL, os.ttyname(slave)] + words
    outputs = {OUTPUT: b"", ERRORS: b""}
    try:
        process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env={"PATH": path},
            start_new_session=True,
        )
        with process:
            while not stream.is_complete:
                assert select.select([master], [], [], TIME_LIMIT)[0], "nothing came any more"
                for kind, data in stream.feed(os.read(master, 65536)):
                    outputs[kind] += data
                if stream.is_ready and typed:
                    os.write(master, typed)
                    typed = b""
            os.write(master, b"\x03")
            process.wait(TIME_LIMIT)
    finally:
        os.close(master)
        os.close(slave)
    return outputs[OUTPUT], outputs[ERRORS]
