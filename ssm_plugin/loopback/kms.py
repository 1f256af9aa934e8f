"""A key service for encrypted sessions: data keys, wrapped under the encryption context.

The wrapping is real (AES-256-GCM with the context as associated data), so a data key opens for
nobody who names another context. Master keys exist by being used, and die with the object.
"""

import base64
import binascii
import json
import os
import threading
from typing import Dict, Mapping, Tuple

from ..channel.cipher import KEY_LENGTH, NONCE_LENGTH, new_aes_gcm
from ..errors import EncryptionError, StateError
from .json_api import ApiError, Fault, Fields, JsonApi, field
from .signatures import SignatureCheck

KEY_PREFIX = "arn:aws:kms:us-east-1:000000000000:key/"
DATA_KEY_LIMIT = 1024  # bytes

_SEPARATOR = b"\0"


class KmsApi(JsonApi):
    """GenerateDataKey and Decrypt."""

    def __init__(self, signatures: SignatureCheck, fault: Fault) -> None:
        operations = {"GenerateDataKey": self._generate_data_key, "Decrypt": self._decrypt}
        super().__init__("kms", signatures, operations, fault)
        self._making = threading.Lock()
        self._master_keys: Dict[str, bytes] = {}

    def decrypt(self, ciphertext: str, context: Mapping[str, str]) -> bytes:
        """The data key in a base64 blob, for an agent, which makes no API call.
        :class:`EncryptionError` if the blob is not ours, or was made with another context."""
        return self._open(ciphertext, context)[1]

    def _generate_data_key(self, fields: Fields) -> Fields:
        key_id = _arn(field(fields, "KeyId"))
        size = field(fields, "NumberOfBytes", int)
        if not 1 <= size <= DATA_KEY_LIMIT:
            raise ApiError("ValidationException", "NumberOfBytes is out of range")
        context = _associated(field(fields, "EncryptionContext", dict, {}))
        if fields.get("DryRun") is True:
            text = "The request would have succeeded, but the DryRun option is set."
            raise ApiError("DryRunOperationException", text, 412)
        name = key_id.encode("utf-8", "surrogatepass")
        plaintext, nonce = os.urandom(size), os.urandom(NONCE_LENGTH)
        sealed = new_aes_gcm(self._master_key(key_id)).seal(nonce, plaintext, context)
        return {
            "KeyId": key_id,
            "Plaintext": _base64(plaintext),
            "CiphertextBlob": _base64(name + _SEPARATOR + nonce + sealed),
        }

    def _decrypt(self, fields: Fields) -> Fields:
        context = field(fields, "EncryptionContext", dict, {})
        try:
            key_id, plaintext = self._open(field(fields, "CiphertextBlob"), context)
        except EncryptionError as error:
            raise ApiError("InvalidCiphertextException", "") from error
        if _arn(field(fields, "KeyId", str, key_id)) != key_id:
            raise ApiError("IncorrectKeyException", "the data was encrypted under another key")
        return {"KeyId": key_id, "Plaintext": _base64(plaintext)}

    def _open(self, ciphertext: str, context: Mapping[str, str]) -> Tuple[str, bytes]:
        """The key's id and the plaintext."""
        try:
            blob = base64.b64decode(ciphertext.encode("ascii"), validate=True)
            name, _, rest = blob.partition(_SEPARATOR)
            key_id = name.decode("utf-8", "surrogatepass")
            aes_gcm = new_aes_gcm(self._master_keys[key_id])
            nonce, sealed = rest[:NONCE_LENGTH], rest[NONCE_LENGTH:]
            return key_id, aes_gcm.open(nonce, sealed, _associated(context))
        except (UnicodeError, binascii.Error, KeyError, StateError, EncryptionError) as error:
            raise EncryptionError(
                "the key service cannot open a data key: it is malformed, or was made under "
                "another encryption context"
            ) from error

    def _master_key(self, key_id: str) -> bytes:
        with self._making:
            return self._master_keys.setdefault(key_id, os.urandom(KEY_LENGTH))


def _arn(key_id: str) -> str:
    """Keys are named by id or by ARN; answers always give the ARN."""
    return key_id if key_id.startswith("arn:") else KEY_PREFIX + key_id


def _associated(context: Mapping[str, str]) -> bytes:
    """The context as bytes: equal contexts give equal bytes."""
    for name, value in context.items():
        if not isinstance(value, str):
            raise ApiError("ValidationException", "EncryptionContext.%s is not a string" % name)
    return json.dumps(dict(context), sort_keys=True).encode("utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
