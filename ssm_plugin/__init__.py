"""AWS Session Manager client in pure Python. Importing costs nothing: names load on first use."""

from .version import __version__

MYPY = False
if MYPY:
    from typing import Any, ContextManager, Sequence, Union

    from .forwarding.addresses import LocalAddress
    from .library import CompletedCommand

__all__ = ["__version__", "forward", "run"]


def run(
    target: str, argv: "Union[str, Sequence[str]]", **options: "Any"
) -> "CompletedCommand":
    """Run a command on a node: status, stdout, stderr, session_id, reason.

    ``options`` and errors are those of :func:`ssm_plugin.library.run`.
    """
    from . import library

    return library.run(target, argv, **options)


def forward(
    target: str, remote_port: int, **options: "Any"
) -> "ContextManager[Union[LocalAddress, str]]":
    """A tunnel to a port of a node, or of a host behind it, for the length of a ``with`` block.

    It yields the local address. ``options`` and errors are those of
    :func:`ssm_plugin.forwarding.library.forward`.
    """
    from .forwarding import library

    return library.forward(target, remote_port, **options)
