"""The part of OpenSSL's libcrypto that AES-256-GCM needs, called through ctypes.

It is the library that Python's own ``ssl`` is linked to, so nothing has to be installed. Works with
OpenSSL 1.0.2, 1.1.1 and 3.x.
"""

import ctypes
import ctypes.util
import sys
from importlib import import_module
from typing import Any, Iterable, Iterator, Optional
from weakref import finalize

from ..errors import EncryptionError

_GET_TAG = 0x10  # EVP_CTRL_GCM_GET_TAG
_SET_TAG = 0x11  # EVP_CTRL_GCM_SET_TAG
_TAG_LENGTH = 16

_FIRST_BUFFER = 4096

_POINTER = ctypes.c_void_p
_INT = ctypes.c_int
_INT_OUT = ctypes.POINTER(ctypes.c_int)

_INIT = (_INT, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER)  # context, cipher, -, key, nonce
_UPDATE = (_INT, _POINTER, _POINTER, _INT_OUT, _POINTER, _INT)  # context, out, length, in, length
_FINAL = (_INT, _POINTER, _POINTER, _INT_OUT)

# name: (result, argument, …)
_PROTOTYPES = {
    "EVP_CIPHER_CTX_new": (_POINTER,),
    "EVP_CIPHER_CTX_free": (None, _POINTER),
    "EVP_CIPHER_CTX_ctrl": (_INT, _POINTER, _INT, _INT, _POINTER),
    "EVP_aes_256_gcm": (_POINTER,),
    "EVP_EncryptInit_ex": _INIT,
    "EVP_EncryptUpdate": _UPDATE,
    "EVP_EncryptFinal_ex": _FINAL,
    "EVP_DecryptInit_ex": _INIT,
    "EVP_DecryptUpdate": _UPDATE,
    "EVP_DecryptFinal_ex": _FINAL,
    "ERR_clear_error": (None,),
}


def candidates() -> Iterator[Optional[str]]:
    """Files whose symbols, their dependencies' included, may hold libcrypto; None is Python itself.

    Not every build has every extension module, or has it as a file.
    """
    for name in ("_ssl", "_hashlib"):
        try:
            path = getattr(import_module(name), "__file__", None)
        except ImportError:
            continue
        if path:
            yield path
    yield None
    # macOS ends a process that loads the system's own libcrypto.
    found = None if sys.platform == "darwin" else ctypes.util.find_library("crypto")
    if found:
        yield found


def load(paths: Optional[Iterable[Optional[str]]] = None) -> object:
    """A handle with the functions above, from the first of ``paths`` that has them all.

    Raises EncryptionError if none has.
    """
    for path in candidates() if paths is None else paths:
        try:
            return _declare(path)
        except (OSError, AttributeError):  # no such file, no such symbol
            continue
    raise EncryptionError("OpenSSL's libcrypto was not found through Python's ssl module")


def _declare(path: Optional[str]) -> object:
    # PyDLL keeps the GIL during a call. Giving it up for the microsecond that 1 KiB takes would
    # let any busy thread keep it for a switch interval (5 ms), several times for each message.
    library = ctypes.PyDLL(path)
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


class GcmContext:
    """An EVP_CIPHER_CTX for one key and one direction, and a buffer for what comes out.

    The key is set up once, so that a message costs four short calls. For one thread at a time.
    ``direction`` is "Encrypt" (for :meth:`seal`) or "Decrypt" (for :meth:`open`).
    Lengths are the caller's to check: nonces have 12 bytes, and nothing is near 2 GiB.
    """

    def __init__(self, library: Any, key: bytes, direction: str) -> None:
        self._init = getattr(library, "EVP_%sInit_ex" % direction)
        self._update = getattr(library, "EVP_%sUpdate" % direction)
        self._final = getattr(library, "EVP_%sFinal_ex" % direction)
        self._control = library.EVP_CIPHER_CTX_ctrl
        self._clear_errors = library.ERR_clear_error
        self._context = library.EVP_CIPHER_CTX_new()
        if not self._context:
            raise EncryptionError("OpenSSL has no memory for another cipher context")
        finalize(self, library.EVP_CIPHER_CTX_free, self._context)
        self._written = ctypes.byref(ctypes.c_int())  # always as much as went in
        self._reserve(_FIRST_BUFFER)
        self._must(self._init(self._context, library.EVP_aes_256_gcm(), None, key, None))

    def seal(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        """Ciphertext and tag."""
        self._transform(nonce, data, associated)
        end = self._address + len(data)
        self._must(self._final(self._context, end, self._written))
        self._must(self._control(self._context, _GET_TAG, _TAG_LENGTH, end))
        return self._view[: len(data) + _TAG_LENGTH].tobytes()

    def open(self, nonce: bytes, sealed: bytes, associated: bytes) -> Optional[bytes]:
        """The data again; None if it does not open."""
        data = sealed[:-_TAG_LENGTH]
        self._transform(nonce, data, associated)
        tag = sealed[-_TAG_LENGTH:]
        self._must(self._control(self._context, _SET_TAG, _TAG_LENGTH, tag))
        if self._final(self._context, self._address + len(data), self._written) != 1:
            self._clear_errors()
            return None
        return self._view[: len(data)].tobytes()

    def _transform(self, nonce: bytes, data: bytes, associated: bytes) -> None:
        context = self._context
        if len(data) + _TAG_LENGTH > self._room:
            self._reserve(len(data) + _TAG_LENGTH)
        self._must(self._init(context, None, None, None, nonce))
        if associated:
            self._must(self._update(context, None, self._written, associated, len(associated)))
        if data:
            self._must(self._update(context, self._address, self._written, data, len(data)))

    def _reserve(self, size: int) -> None:
        self._buffer = ctypes.create_string_buffer(size)
        self._address = ctypes.addressof(self._buffer)
        self._view = memoryview(self._buffer).cast("B")
        self._room = size

    def _must(self, result: int) -> None:
        if result != 1:
            # An error left in the thread's error queue would be taken for one of its TLS socket.
            self._clear_errors()
            raise EncryptionError(
                "OpenSSL refused AES-256-GCM, perhaps by a policy of this machine"
            )
