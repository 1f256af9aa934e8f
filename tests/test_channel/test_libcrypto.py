import ctypes
import gc
import ssl
import subprocess
import sys

import pytest

from ssm_plugin.channel.cipher import LibcryptoAesGcm
from ssm_plugin.channel.libcrypto import GcmContext, candidates, load
from ssm_plugin.errors import EncryptionError

KEY = bytes(range(32))
NONCE = bytes(12)


def test_the_library_is_the_one_that_ssl_uses():
    library = load()
    name = "OpenSSL_version" if hasattr(library, "OpenSSL_version") else "SSLeay_version"
    version = getattr(library, name)
    version.restype = ctypes.c_char_p
    version.argtypes = [ctypes.c_int]
    assert version(0).decode() == ssl.OPENSSL_VERSION


def test_python_itself_is_a_candidate_for_a_static_build():
    assert None in list(candidates())


def test_a_library_without_the_functions_is_passed_over():
    usable = next(candidates())
    assert load(["/nonexistent/libcrypto.so", ctypes.__file__, usable]) is not None


def test_no_library_at_all_is_an_error_of_one_line():
    with pytest.raises(EncryptionError, match="libcrypto was not found"):
        load(["/nonexistent/libcrypto.so"])


class CountingLibrary:
    """The real library; it counts contexts, and fails in one function if told to."""

    def __init__(self, broken=None, result=0):
        self._library = load()
        self._broken = broken
        self._result = result
        self.living = 0

    def __getattr__(self, name):
        if name == self._broken:
            return lambda *arguments: self._result
        return getattr(self._library, name)

    def EVP_CIPHER_CTX_new(self):
        self.living += 1
        return self._library.EVP_CIPHER_CTX_new()

    def EVP_CIPHER_CTX_free(self, context):
        self.living -= 1
        self._library.EVP_CIPHER_CTX_free(context)


def test_contexts_are_freed_with_the_object():
    library = CountingLibrary()
    aead = LibcryptoAesGcm(KEY, library)
    assert library.living == 0
    assert aead.open(NONCE, aead.seal(NONCE, b"data")) == b"data"
    assert library.living == 2
    del aead
    gc.collect()
    assert library.living == 0


@pytest.mark.parametrize(
    "function",
    ["EVP_EncryptInit_ex", "EVP_EncryptUpdate", "EVP_EncryptFinal_ex", "EVP_CIPHER_CTX_ctrl"],
)
@pytest.mark.parametrize("result", [0, -1])
def test_a_refusing_library_is_our_error_and_leaves_no_context(function, result):
    library = CountingLibrary(function, result)
    with pytest.raises(EncryptionError, match="OpenSSL refused"):
        GcmContext(library, KEY, "Encrypt").seal(NONCE, b"data", b"more")
    gc.collect()
    assert library.living == 0


def test_a_library_without_memory_is_our_error():
    class Exhausted(CountingLibrary):
        def EVP_CIPHER_CTX_new(self):
            return None

    with pytest.raises(EncryptionError, match="no memory"):
        GcmContext(Exhausted(), KEY, "Encrypt")


def test_a_failed_opening_leaves_nothing_in_the_error_queue_that_tls_would_find():
    library = load()
    library.ERR_peek_error.restype = ctypes.c_ulong
    with pytest.raises(EncryptionError):
        LibcryptoAesGcm(KEY, library).open(NONCE, bytes(40))
    assert library.ERR_peek_error() == 0


def test_neither_ctypes_nor_cryptography_is_loaded_before_it_is_needed():
    script = (
        "import sys, ssm_plugin.channel.cipher\n"
        "assert not {'ctypes', 'cryptography', '_ssl'} & set(sys.modules)\n"
        "print('light')"
    )
    output = subprocess.check_output([sys.executable, "-c", script], universal_newlines=True)
    assert output == "light\n"
