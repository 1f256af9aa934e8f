import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ssm_plugin.channel.cipher import (
    MAXIMUM_LENGTH,
    AesGcm,
    CryptographyAesGcm,
    LibcryptoAesGcm,
    choose,
    new_aes_gcm,
    unavailable_reason,
)
from ssm_plugin.errors import EncryptionError, StateError

ROOT = Path(__file__).resolve().parents[2]
KEY = bytes.fromhex("feffe9928665731c6d6a8f9467308308") * 2
NONCE = bytes.fromhex("cafebabefacedbaddecaf888")
PLAIN = bytes.fromhex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
SEALED = bytes.fromhex(
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)
ASSOCIATED = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")

# Test cases 13 to 16 of the GCM specification (McGrew and Viega), those for AES-256 with a nonce
# of 96 bits: key, nonce, associated data, plaintext, ciphertext, tag.
VECTORS = {
    13: (bytes(32), bytes(12), b"", b"", b"", "530f8afbc74536b9a963b4f1c4cb738b"),
    14: (
        bytes(32),
        bytes(12),
        b"",
        bytes(16),
        bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18"),
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
    15: (KEY, NONCE, b"", PLAIN, SEALED, "b094dac5d93471bdec1a502270e3cc6c"),
    16: (KEY, NONCE, ASSOCIATED, PLAIN[:60], SEALED[:60], "76fc6ece0f4e1768cddf8853bb2d551b"),
}


@pytest.fixture(params=["cryptography", "libcrypto"])
def source(request):
    if request.param == "libcrypto":
        return LibcryptoAesGcm
    pytest.importorskip("cryptography")
    return CryptographyAesGcm


@pytest.mark.parametrize("case", sorted(VECTORS))
def test_the_specifications_cases_hold(source, case):
    key, nonce, associated, plain, sealed, tag = VECTORS[case]
    aead = source(key)
    assert aead.seal(nonce, plain, associated) == sealed + bytes.fromhex(tag)
    assert aead.open(nonce, sealed + bytes.fromhex(tag), associated) == plain


def test_one_object_takes_many_messages_of_all_lengths(source):
    aead = source(KEY)
    for number, length in enumerate([0, 1, 15, 16, 17, 1024, 100000, 1024, 0]):
        nonce = number.to_bytes(12, "big")
        data = os.urandom(length)
        sealed = aead.seal(nonce, data)
        assert len(sealed) == length + 16
        assert aead.open(nonce, sealed) == data


def test_the_two_sources_agree():
    pytest.importorskip("cryptography")
    one, other = CryptographyAesGcm(KEY), LibcryptoAesGcm(KEY)
    for length in (0, 1, 31, 1024, 5000):
        nonce, data, associated = os.urandom(12), os.urandom(length), os.urandom(length % 40)
        assert one.seal(nonce, data, associated) == other.seal(nonce, data, associated)


@pytest.mark.parametrize("place", [0, 40, -16, -1])
def test_a_changed_bit_does_not_open_and_the_next_message_does(source, place):
    aead = source(KEY)
    sealed = aead.seal(NONCE, PLAIN, ASSOCIATED)
    damaged = bytearray(sealed)
    damaged[place] ^= 1
    with pytest.raises(EncryptionError, match="does not open"):
        aead.open(NONCE, damaged, ASSOCIATED)
    assert aead.open(NONCE, sealed, ASSOCIATED) == PLAIN


def test_other_associated_data_nonce_or_key_does_not_open(source):
    sealed = source(KEY).seal(NONCE, PLAIN, ASSOCIATED)
    for key, nonce, associated in (
        (KEY, NONCE, b""),
        (KEY, NONCE[::-1], ASSOCIATED),
        (KEY[::-1], NONCE, ASSOCIATED),
    ):
        with pytest.raises(EncryptionError, match="80 bytes"):
            source(key).open(nonce, sealed, associated)


@pytest.mark.parametrize("length", [0, 1, 15])
def test_what_is_shorter_than_a_tag_does_not_open(source, length):
    with pytest.raises(EncryptionError, match="does not open"):
        source(KEY).open(NONCE, bytes(length))


def test_a_message_beyond_16_mib_is_refused(source):
    aead = source(KEY)
    longest = bytes(MAXIMUM_LENGTH)
    sealed = aead.seal(NONCE, longest)
    assert aead.open(NONCE, sealed) == longest
    with pytest.raises(EncryptionError, match="too many"):
        aead.seal(NONCE, longest, b"x")
    with pytest.raises(EncryptionError, match="does not open"):
        aead.open(NONCE, sealed, b"x")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_taken_and_bytes_come_back(source, kind):
    aead = source(KEY)
    sealed = aead.seal(NONCE, kind(PLAIN))
    opened = aead.open(NONCE, kind(sealed))
    assert (type(sealed), type(opened), opened) == (bytes, bytes, PLAIN)


@pytest.mark.parametrize("length", [0, 8, 11, 13, 60])
def test_a_nonce_of_another_length_is_a_mistake(source, length):
    with pytest.raises(StateError, match="nonce has 12 bytes"):
        source(KEY).seal(bytes(length), PLAIN)
    with pytest.raises(StateError, match="nonce has 12 bytes"):
        source(KEY).open(bytes(length), SEALED)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_a_mistake(source, length):
    with pytest.raises(StateError, match="key has 32 bytes"):
        source(bytes(length))


def test_a_failed_opening_does_not_disturb_the_other_direction(source):
    aead = source(KEY)
    for _ in range(3):
        with pytest.raises(EncryptionError):
            aead.open(NONCE, bytes(40))
        assert aead.seal(NONCE, PLAIN) == SEALED + bytes.fromhex(VECTORS[15][5])


def test_objects_of_their_own_serve_threads_side_by_side(source):
    good = []

    def work(seed):
        aead = source(bytes([seed]) * 32)
        data = bytes([seed]) * 1024
        for number in range(300):
            nonce = number.to_bytes(12, "big")
            if aead.open(nonce, aead.seal(nonce, data)) != data:
                return
        good.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(good) == [0, 1, 2, 3]


def test_no_key_is_shown(source):
    assert repr(source(KEY)) == "%s(key hidden)" % source.__name__


def test_this_machine_has_a_source():
    assert unavailable_reason() is None
    assert new_aes_gcm(KEY).open(NONCE, SEALED + bytes.fromhex(VECTORS[15][5])) == PLAIN


class Absent(AesGcm):
    def __init__(self, key):
        raise EncryptionError("nothing here")


class Forbidden(AesGcm):
    def _seal(self, nonce, data, associated):
        raise EncryptionError("not allowed")


def test_the_first_source_that_works_is_chosen():
    assert choose([Absent, Forbidden, LibcryptoAesGcm, Absent]) is LibcryptoAesGcm


def test_without_a_source_every_reason_is_given_in_one_line():
    with pytest.raises(EncryptionError) as caught:
        choose([Absent, Forbidden])
    assert str(caught.value) == (
        "no AES-256-GCM for an encrypted session: nothing here; not allowed; "
        "install the Python package cryptography"
    )


def chosen_beside(folder, **modules):
    """What a fresh Python chooses when ``modules`` (name: source) come before the real ones."""
    for name, text in modules.items():
        (folder / (name + ".py")).write_text(text)
    script = (
        "from ssm_plugin.channel.cipher import new_aes_gcm, unavailable_reason\n"
        "print(unavailable_reason() or repr(new_aes_gcm(bytes(32))))"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)]))
    output = subprocess.check_output(
        [sys.executable, "-c", script], env=environment, stderr=subprocess.STDOUT
    )
    return output.decode().rstrip("\n")


@pytest.mark.parametrize("text", ["raise RuntimeError('built for another OpenSSL')", "x = 1"])
def test_a_broken_cryptography_package_is_passed_over_without_a_word(tmp_path, text):
    assert chosen_beside(tmp_path, cryptography=text) == "LibcryptoAesGcm(key hidden)"


def test_a_warning_of_the_cryptography_package_does_not_reach_the_terminal(tmp_path):
    text = "import warnings; warnings.warn('this Python is old'); raise ImportError('gone')"
    assert chosen_beside(tmp_path, cryptography=text) == "LibcryptoAesGcm(key hidden)"


def test_a_python_with_neither_source_says_so_in_one_line(tmp_path):
    reason = chosen_beside(
        tmp_path, cryptography="raise ValueError('two\\nlines')", ctypes="raise ImportError"
    )
    assert reason == (
        "no AES-256-GCM for an encrypted session: cryptography cannot be imported (two lines); "
        "this Python has no ctypes; install the Python package cryptography"
    )
