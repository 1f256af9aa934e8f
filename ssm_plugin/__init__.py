"""AWS Session Manager client in pure Python. Importing costs nothing: names load on first use."""

from .version import __version__

MYPY = False
if MYPY:
    from typing import Any, Sequence, Union

    from .library import CompletedCommand

__all__ = ["__version__", "run"]


def run(
    target: str, argv: "Union[str, Sequence[str]]", **options: "Any"
) -> "CompletedCommand":
    """Run a command on a node: status, stdout, stderr, session_id, reason.

    ``options`` and errors are those of :func:`ssm_plugin.library.run`.
    """
    from . import library

    return library.run(target, argv, **options)
