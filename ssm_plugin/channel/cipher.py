"""The cipher of an encrypted session: AES-256-GCM under the session's data key.

A sealed payload is a random 12-byte nonce, the ciphertext and a 16-byte tag. There is no associated
data. AES-GCM has two sources, which do the same: the ``cryptography`` package where it is
installed, else the libcrypto of Python's own ``ssl``. Each is loaded when first needed.
"""

import os
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Optional

from ..errors import EncryptionError, StateError
from ..wire.message import Buffer, Role

if TYPE_CHECKING:
    from .libcrypto import GcmContext

KEY_LENGTH = 32  # bytes, like all lengths here
NONCE_LENGTH = 12
TAG_LENGTH = 16
MAXIMUM_LENGTH = 16 << 20  # data and associated data together; messages have 1024 or so
DATA_KEY_LENGTH = 2 * KEY_LENGTH


class AesGcm:
    """One key. An object is for one thread at a time."""

    def __init__(self, key: bytes) -> None:
        _check(key, KEY_LENGTH, "key")

    def seal(self, nonce: bytes, data: Buffer, associated: bytes = b"") -> bytes:
        """Ciphertext and tag. A nonce must never be used twice with one key."""
        _check(nonce, NONCE_LENGTH, "nonce")
        if len(data) + len(associated) > MAXIMUM_LENGTH:
            raise EncryptionError("%d bytes are too many for one sealed message" % len(data))
        return self._seal(nonce, bytes(data), associated)

    def open(self, nonce: bytes, sealed: Buffer, associated: bytes = b"") -> bytes:
        """The data again. Raises EncryptionError if anything differs from what was sealed."""
        _check(nonce, NONCE_LENGTH, "nonce")
        opened = None
        if TAG_LENGTH <= len(sealed) <= MAXIMUM_LENGTH + TAG_LENGTH - len(associated):
            opened = self._open(nonce, bytes(sealed), associated)
        if opened is None:
            raise EncryptionError(
                "a sealed message of %d bytes does not open: it was damaged, or sealed with "
                "another key" % len(sealed)
            )
        return opened

    def __repr__(self) -> str:
        return "%s(key hidden)" % type(self).__name__

    def _seal(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        raise NotImplementedError

    def _open(self, nonce: bytes, sealed: bytes, associated: bytes) -> Optional[bytes]:
        """None if it does not open."""
        raise NotImplementedError


class CryptographyAesGcm(AesGcm):
    """On the ``cryptography`` package."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self._invalid_tag, aead = _load_cryptography()
        self._aead = aead(bytes(key))

    def _seal(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        sealed: bytes = self._aead.encrypt(nonce, data, associated)
        return sealed

    def _open(self, nonce: bytes, sealed: bytes, associated: bytes) -> Optional[bytes]:
        try:
            data: bytes = self._aead.decrypt(nonce, sealed, associated)
        except self._invalid_tag:
            return None
        return data


class LibcryptoAesGcm(AesGcm):
    """On libcrypto through ctypes; ``library`` is a handle of ``libcrypto.load``."""

    def __init__(self, key: bytes, library: object = None) -> None:
        super().__init__(key)
        self._key = bytes(key)
        self._context, load = _load_libcrypto()
        self._library = load() if library is None else library
        self._sealing: Optional[GcmContext] = None
        self._opening: Optional[GcmContext] = None

    def _seal(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        if self._sealing is None:
            self._sealing = self._context(self._library, self._key, "Encrypt")
        return self._sealing.seal(nonce, data, associated)

    def _open(self, nonce: bytes, sealed: bytes, associated: bytes) -> Optional[bytes]:
        if self._opening is None:
            self._opening = self._context(self._library, self._key, "Decrypt")
        return self._opening.open(nonce, sealed, associated)


Source = Callable[[bytes], AesGcm]

_SOURCES = (CryptographyAesGcm, LibcryptoAesGcm)


def new_aes_gcm(key: bytes) -> AesGcm:
    """AES-256-GCM with ``key`` from the first source that works. Raises EncryptionError if none."""
    return _chosen()(key)


def unavailable_reason() -> Optional[str]:
    """None if AES-256-GCM is available here, else why it is not, in one line."""
    try:
        _chosen()
    except EncryptionError as error:
        return str(error)
    return None


def choose(sources: Iterable[Source] = _SOURCES) -> Source:
    """The first of ``sources`` that really seals. Raises EncryptionError with every reason."""
    reasons: List[str] = []
    for source in sources:
        try:
            source(bytes(KEY_LENGTH)).seal(bytes(NONCE_LENGTH), b"")
        except EncryptionError as error:
            reasons.append(str(error))
        else:
            return source
    raise EncryptionError(
        "no AES-256-GCM for an encrypted session: %s; install the Python package cryptography"
        % "; ".join(reasons)
    )


@lru_cache(maxsize=None)
def _chosen() -> Source:
    return choose()


@lru_cache(maxsize=None)
def _load_libcrypto() -> Any:
    """GcmContext, and what gives the library's handle."""
    try:
        from .libcrypto import GcmContext, load
    except ImportError as error:
        raise EncryptionError("this Python has no ctypes") from error
    return GcmContext, lru_cache(maxsize=None)(load)


@lru_cache(maxsize=None)
def _load_cryptography() -> Any:
    """InvalidTag and AESGCM."""
    try:
        with warnings.catch_warnings():
            # It warns on stderr about Pythons that it will stop supporting.
            warnings.simplefilter("ignore")
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    # A safety net: a package built for another OpenSSL may raise anything, and there is a second
    # source to use.
    except Exception as error:
        raise EncryptionError("cryptography cannot be imported (%s)" % _line(error)) from error
    return InvalidTag, AESGCM


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _check(value: bytes, length: int, what: str) -> None:
    if len(value) != length:
        raise StateError("an AES-256-GCM %s has %d bytes, not %d" % (what, length, len(value)))


class Cipher:
    """Both directions of one session. ``data_key`` is 64 bytes: what the agent sends is under its
    first half, what the client sends under its second. For one thread at a time.
    """

    def __init__(self, data_key: bytes, role: Role, source: Source = new_aes_gcm) -> None:
        if len(data_key) != DATA_KEY_LENGTH:
            raise StateError("a data key has %d bytes, not %d" % (DATA_KEY_LENGTH, len(data_key)))
        from_agent, from_client = data_key[:KEY_LENGTH], data_key[KEY_LENGTH:]
        if role is Role.AGENT:
            from_agent, from_client = from_client, from_agent
        self._opener = source(from_agent)
        self._sealer = source(from_client)
        self._role = role

    def seal(self, data: Buffer) -> bytes:
        nonce = os.urandom(NONCE_LENGTH)
        return nonce + self._sealer.seal(nonce, data)

    def open(self, sealed: Buffer) -> bytes:
        """Raises EncryptionError if ``sealed`` was damaged, or sealed with another key."""
        if len(sealed) < NONCE_LENGTH + TAG_LENGTH:
            raise EncryptionError(
                "a sealed message has %d bytes, which is too few to be one" % len(sealed)
            )
        sealed = bytes(sealed)
        return self._opener.open(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:])

    def __repr__(self) -> str:
        return "Cipher(%s, keys hidden)" % self._role.value
