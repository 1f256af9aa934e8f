"""A result for each file of a directory, however many there are: kept in a file meanwhile.

Only once a directory is in its place is it known how any of its files went.
"""

import json
import os
import tempfile
from typing import Dict, Iterator

from .options import EXIT_NOT_COPIED, CopiedFile
from .tree import Skipped


class MemberList(Skipped):
    """Also what was not left out. ``objects`` gives what ``--json`` prints of it."""

    wants_digests = True

    def __init__(self) -> None:
        super().__init__()
        self._file = tempfile.TemporaryFile("w+", encoding="ascii")

    def add(self, name: str, why: str) -> None:
        super().add(name, why)
        self._keep(os.fsencode(name), "other", 0, "", why)

    def copied(self, name: bytes, kind: str, size: int = 0, digest: str = "") -> None:
        self._keep(name, kind, size, digest, "")

    def clear(self) -> None:
        super().clear()
        self._file.seek(0)
        self._file.truncate()

    def close(self) -> None:
        self._file.close()

    def objects(self, copied: CopiedFile) -> Iterator[Dict[str, object]]:
        """One for each file and link, and for what was left out, of a directory that was copied."""
        self._file.seek(0)
        for line in self._file:
            name, kind, size, digest, reason = json.loads(line)
            yield {
                "target": copied.target,
                "source": copied.source,
                "destination": copied.destination,
                "path": name,
                "kind": kind,
                "status": EXIT_NOT_COPIED if reason else 0,
                "reason": reason,
                "bytes": size,
                "sha256": digest or None,
            }

    def _keep(self, name: bytes, *fields: object) -> None:
        # As UTF-8: cron sets no locale, and Python 3.6 then takes names for ASCII.
        text = name.decode("utf-8", "surrogateescape")
        self._file.write(json.dumps((text,) + fields) + "\n")
