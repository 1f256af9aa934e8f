"""Entry point: answers what the AWS CLI asks before each session, and leaves the rest to others.

Called ``session-manager-plugin``, or in the AWS CLI's positional form under any name, this program
is the drop-in for AWS's plugin; else it is our own command line. The AWS CLI starts us twice for
each session, the first time only for the version: that path imports nothing.
"""

import os
import sys

from .version import PROTOCOL_VERSION, __version__

DROP_IN = "session-manager-plugin"
INSTALLED = (
    "\nThe Session Manager plugin was installed successfully. "
    "Use the AWS CLI to start a session.\n\n"
)
TOO_LITTLE = (
    "ssm-plugin: too few descriptors or too little memory to load the program: "
    "raise the limits (ulimit -n, ulimit -v)\n"
)
FAILURE = 255
INTERRUPTED = 130
OUTPUT_GONE = 141  # 128 + SIGPIPE, as everywhere

# New objects before Python looks for circles among them. Its own 700 make a hundred such searches
# while the program loads, and each finds nothing.
GARBAGE_THRESHOLD = 20000


def main() -> int:
    """Run what ``sys.argv`` asks for; returns the exit status."""
    arguments = sys.argv[1:]
    drop_in = os.path.basename(sys.argv[0]).startswith(DROP_IN)
    if arguments in (["--version"], ["-V"]):
        return _answer((PROTOCOL_VERSION if drop_in else "ssm-plugin " + __version__) + "\n")
    if drop_in and not arguments:
        return _answer(INSTALLED)
    try:
        import gc

        _reserve_standard_streams()
        gc.set_threshold(GARBAGE_THRESHOLD)
        from . import unpacked

        unpacked.use()
        from .commands import exit_status, program

        status = exit_status.run(program.choose(arguments, drop_in), arguments)
        if hasattr(gc, "freeze"):  # not on 3.6
            # Python would look through all objects for circles, more than once: 20 ms. What is left
            # goes with the process.
            gc.freeze()
        return status
    except (OSError, ImportError, MemoryError) as error:
        if not _is_shortage(error):
            raise
    except KeyboardInterrupt:  # while the program is loaded; later, each command deals with it
        return INTERRUPTED
    _answer(TOO_LITTLE, 2)
    return FAILURE


def _reserve_standard_streams() -> None:
    """Open what is closed of 0, 1 and 2 on /dev/null, before anything else is opened. The next file
    or socket would get that number, and be read as the session's input, or have its output written
    into it."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))


def _is_shortage(error: BaseException) -> bool:
    """Whether the program could not be loaded for want of descriptors or memory."""
    try:
        from .shortage import explain
    except (OSError, ImportError, MemoryError):
        return True
    return explain(error) is not None


def _answer(text: str, fd: int = 1) -> int:
    """Write it; returns the exit status. Nothing is imported for what goes wrong either."""
    try:
        os.write(fd, text.encode("ascii", "replace"))
    except BrokenPipeError:
        return OUTPUT_GONE
    except OSError as error:
        if fd == 1:
            _answer("ssm-plugin: cannot write to standard output: %s\n" % error.strerror, 2)
        return FAILURE
    return 0
