"""Files with random contents, and their digests."""

import hashlib
import os

MIB = 1 << 20


def sha256(path):
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for piece in iter(lambda: file.read(MIB), b""):
            digest.update(piece)
    return digest.hexdigest()


def random_file(path, size):
    """Its digest. ``size`` is in bytes."""
    with open(str(path), "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
        file.write(os.urandom(size % MIB))
    return sha256(path)
