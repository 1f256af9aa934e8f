"""The buckets of the local S3. Any bucket is there, but ``missing``; nobody may use ``forbidden``.

Objects are bytes, or files once they are large. They are gone when the service ends.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import time
from typing import IO, Dict, List, Optional, Tuple

from .. import logs
from ..named_tuple import NamedTuple

log = logs.logger(__name__)

MISSING = "missing"
FORBIDDEN = "forbidden"

LARGE = 16 * 1024  # bytes from which an object is a file
MOST_OBJECTS = 100000


class StoredObject(NamedTuple):
    """``path`` is empty for a small one. ``modified`` is in seconds as of ``time.time``."""

    size: int
    modified: float
    data: bytes
    path: str
    etag: str

    def read(self, start: int, end: int) -> bytes:
        if not self.path:
            return self.data[start:end]
        with open(self.path, "rb") as file:
            file.seek(start)
            return file.read(end - start)


class LocalBuckets:
    """Any thread may use them. ``close`` removes the files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: Dict[Tuple[str, str], StoredObject] = {}
        self._folder = ""
        self._files = 0

    def put(self, bucket: str, key: str, stored: StoredObject) -> None:
        with self._lock:
            if len(self._objects) < MOST_OBJECTS:
                self._objects[bucket, key] = stored

    def get(self, bucket: str, key: str) -> Optional[StoredObject]:
        with self._lock:
            return self._objects.get((bucket, key))

    def keys(self, bucket: str, prefix: str) -> List[Tuple[str, StoredObject]]:
        """The objects below a prefix, in S3's order: by their keys' bytes in UTF-8."""
        with self._lock:
            found = [
                (key, stored)
                for (other, key), stored in self._objects.items()
                if other == bucket and key.startswith(prefix)
            ]
        return sorted(found, key=lambda pair: pair[0].encode("utf-8", "surrogatepass"))

    def new_file(self) -> IO[bytes]:
        with self._lock:
            if not self._folder:
                self._folder = tempfile.mkdtemp(prefix="ssm-plugin-buckets-")
            self._files += 1
            return open(os.path.join(self._folder, str(self._files)), "wb")

    def close(self) -> None:
        with self._lock:
            self._objects.clear()
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = ""


class Uploads:
    """What an agent puts below ``folder``: a file for each stream that is not empty. A bucket that
    it may not use, or for which the disk is too small, gets nothing; the log alone says so. One
    thread."""

    def __init__(self, buckets: LocalBuckets, bucket: str, folder: str) -> None:
        self._buckets = buckets
        self._bucket = bucket
        self._folder = folder
        self._streams: Dict[str, _Upload] = {}
        self._is_refused = bucket in (MISSING, FORBIDDEN)

    def write(self, name: str, data: bytes) -> None:
        if self._is_refused:
            return
        if name not in self._streams:
            self._streams[name] = _Upload(self._buckets)
        try:
            self._streams[name].write(data)
        except OSError as error:
            self._refuse(error)

    def finish(self) -> None:
        """The objects can be seen from now on."""
        for name, upload in self._streams.items():
            try:
                stored = upload.stored()
            except OSError as error:
                self._refuse(error)
            if not self._is_refused:
                self._buckets.put(self._bucket, "%s/%s" % (self._folder, name), stored)

    def _refuse(self, error: OSError) -> None:
        self._is_refused = True
        log.warning("output is not kept for the bucket %s: %s", self._bucket, error)


class _Upload:
    def __init__(self, buckets: LocalBuckets) -> None:
        self._buckets = buckets
        self._digest = hashlib.md5()
        self._size = 0
        self._data = bytearray()
        self._file: Optional[IO[bytes]] = None

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        if self._file is not None:
            self._file.write(data)
            return
        self._data += data
        if self._size >= LARGE:
            self._file = self._buckets.new_file()
            self._file.write(self._data)
            self._data.clear()

    def stored(self) -> StoredObject:
        path = ""
        if self._file is not None:
            path = self._file.name
            self._file.close()
        etag = self._digest.hexdigest()
        return StoredObject(self._size, time.time(), bytes(self._data), path, etag)
