import pytest

from ssm_plugin.channel.cipher import (
    Cipher,
    CryptographyAesGcm,
    LibcryptoAesGcm,
    new_aes_gcm,
    unavailable_reason,
)
from ssm_plugin.errors import EncryptionError, StateError
from ssm_plugin.wire.message import Role

DATA_KEY = bytes(range(64))


@pytest.fixture(params=["chosen", "cryptography", "libcrypto"])
def source(request):
    if request.param == "cryptography":
        pytest.importorskip("cryptography")
    named = {"cryptography": CryptographyAesGcm, "libcrypto": LibcryptoAesGcm}
    return named.get(request.param, new_aes_gcm)


@pytest.fixture
def pair(source):
    return Cipher(DATA_KEY, Role.CLIENT, source), Cipher(DATA_KEY, Role.AGENT, source)


@pytest.mark.parametrize("length", [0, 1, 1024, 32768])
def test_what_one_end_seals_the_other_opens(pair, length):
    client, agent = pair
    data = b"x" * length
    assert agent.open(client.seal(data)) == data
    assert client.open(agent.seal(data)) == data


def test_the_first_half_of_the_key_is_for_what_the_agent_sends(pair):
    client, agent = pair
    sealed = agent.seal(b"output")
    assert new_aes_gcm(DATA_KEY[:32]).open(sealed[:12], sealed[12:]) == b"output"
    sealed = client.seal(b"input")
    assert new_aes_gcm(DATA_KEY[32:]).open(sealed[:12], sealed[12:]) == b"input"


def test_a_sealed_message_has_28_more_bytes_and_a_nonce_of_its_own(pair):
    client, _ = pair
    sealed = [client.seal(b"same") for _ in range(50)]
    assert {len(message) for message in sealed} == {4 + 28}
    assert len({message[:12] for message in sealed}) == 50


def test_an_end_does_not_open_what_it_sealed_itself(pair):
    for end in pair:
        with pytest.raises(EncryptionError, match="does not open"):
            end.open(end.seal(b"data"))


@pytest.mark.parametrize("place", [0, 11, 12, 15, 16, -1])
def test_a_damaged_message_does_not_open(pair, place):
    client, agent = pair
    sealed = bytearray(client.seal(b"data"))
    sealed[place] ^= 0x80
    with pytest.raises(EncryptionError, match="does not open"):
        agent.open(sealed)


@pytest.mark.parametrize("length", [0, 11, 12, 27])
def test_a_message_too_short_to_be_sealed_is_an_error(pair, length):
    with pytest.raises(EncryptionError, match="has %d bytes" % length):
        pair[0].open(bytes(length))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_taken(pair, kind):
    client, agent = pair
    assert agent.open(kind(client.seal(kind(b"data")))) == b"data"


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_data_key_of_another_length_is_a_mistake(length):
    with pytest.raises(StateError, match="64 bytes, not %d" % length):
        Cipher(bytes(length), Role.CLIENT)


def test_no_key_is_shown(pair):
    assert [repr(end) for end in pair] == [
        "Cipher(client, keys hidden)",
        "Cipher(agent, keys hidden)",
    ]


def test_encryption_is_available_here():
    assert unavailable_reason() is None
