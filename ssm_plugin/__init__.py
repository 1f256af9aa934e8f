"""AWS Session Manager client in pure Python. Importing costs nothing: names load on first use."""

import sys

from .version import __version__

if sys.version_info < (3, 10) and type(__loader__).__name__ == "zipimporter":
    # The program of the built file itself sees to that when it knows that there is more to do.
    if __loader__ is not getattr(sys.modules["__main__"], "__loader__", None):
        from . import unpacked

        unpacked.import_whole()

MYPY = False
if MYPY:
    import os
    from typing import IO, Callable, ContextManager, Iterator, List, Optional, Sequence, Union

    from .copying.options import CopiedFile, CopyProgress
    from .forwarding.reports import LocalAddress
    from .library import CompletedCommand
    from .many import NodeResult

__all__ = ["__version__", "copy", "forward", "run", "run_many"]


def run(
    target: str,
    argv: "Union[str, Sequence[str]]",
    *,
    stdin: "Union[None, bytes, IO[bytes]]" = None,
    timeout: "Optional[float]" = None,
    check: bool = False,
    stdout: "Optional[Callable[[bytes], object]]" = None,
    stderr: "Optional[Callable[[bytes], object]]" = None,
    profile: "Optional[str]" = None,
    region: "Optional[str]" = None,
    endpoint_url: "Optional[str]" = None,
    document_name: "Optional[str]" = None,
    reason: "Optional[str]" = None,
    config_file: "Optional[str]" = None
) -> "CompletedCommand":
    """Run a command on a node: status, stdout, stderr, session_id, reason.

    Arguments and errors are those of :func:`ssm_plugin.library.run`.
    """
    from . import library

    return library.run(
        target,
        argv,
        stdin=stdin,
        timeout=timeout,
        check=check,
        stdout=stdout,
        stderr=stderr,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        document_name=document_name,
        reason=reason,
        config_file=config_file,
    )


def run_many(
    targets: "Union[str, Sequence[str]]",
    argv: "Union[str, Sequence[str]]",
    *,
    parallel: int = 10,
    max_errors: "Union[None, int, str]" = None,
    rolling: "Optional[int]" = None,
    pause: float = 0,
    timeout: "Optional[float]" = None,
    via: str = "sessions",
    profile: "Optional[str]" = None,
    region: "Optional[str]" = None,
    endpoint_url: "Optional[str]" = None,
    document_name: "Optional[str]" = None,
    reason: "Optional[str]" = None,
    config_file: "Optional[str]" = None
) -> "Iterator[NodeResult]":
    """Run a command on many nodes: a generator of results, as each node ends.

    Arguments and errors are those of :func:`ssm_plugin.many.run_many`.
    """
    from . import many

    return many.run_many(
        targets,
        argv,
        parallel=parallel,
        max_errors=max_errors,
        rolling=rolling,
        pause=pause,
        timeout=timeout,
        via=via,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        document_name=document_name,
        reason=reason,
        config_file=config_file,
    )


def copy(
    source: "Union[str, os.PathLike[str], Sequence[Union[str, os.PathLike[str]]]]",
    destination: "Union[str, os.PathLike[str]]",
    *,
    recursive: bool = False,
    preserve: bool = False,
    resume: bool = False,
    compress: bool = False,
    sudo: bool = False,
    timeout: "Optional[float]" = None,
    progress: "Optional[Callable[[CopyProgress], object]]" = None,
    profile: "Optional[str]" = None,
    region: "Optional[str]" = None,
    endpoint_url: "Optional[str]" = None,
    document_name: "Optional[str]" = None,
    reason: "Optional[str]" = None,
    speed: "Optional[str]" = None,
    config_file: "Optional[str]" = None
) -> "List[CopiedFile]":
    """Copy files to a node, or from it: one side is ``TARGET:PATH``.

    Arguments and errors are those of :func:`ssm_plugin.copying.python_call.copy`.
    """
    from .copying import python_call

    return python_call.copy(
        source,
        destination,
        recursive=recursive,
        preserve=preserve,
        resume=resume,
        compress=compress,
        sudo=sudo,
        timeout=timeout,
        progress=progress,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        document_name=document_name,
        reason=reason,
        speed=speed,
        config_file=config_file,
    )


def forward(
    target: str,
    remote_port: int,
    *,
    local_port: int = 0,
    host: "Optional[str]" = None,
    bind: "Optional[str]" = None,
    unix_socket: "Optional[str]" = None,
    profile: "Optional[str]" = None,
    region: "Optional[str]" = None,
    endpoint_url: "Optional[str]" = None,
    document_name: "Optional[str]" = None,
    reason: "Optional[str]" = None,
    speed: "Optional[str]" = None,
    config_file: "Optional[str]" = None
) -> "ContextManager[Union[LocalAddress, str]]":
    """A tunnel to a port of a node, or of a host behind it, for the length of a ``with`` block.

    It yields the local address. Arguments and errors are those of
    :func:`ssm_plugin.forwarding.with_block.forward`.
    """
    from .forwarding import with_block

    return with_block.forward(
        target,
        remote_port,
        local_port=local_port,
        host=host,
        bind=bind,
        unix_socket=unix_socket,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        document_name=document_name,
        reason=reason,
        speed=speed,
        config_file=config_file,
    )
