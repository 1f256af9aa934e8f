import base64

import pytest

from ssm_plugin.channel import cipher
from ssm_plugin.errors import EncryptionError
from ssm_plugin.loopback.service import LocalService

from .helpers import Agents, call

CONTEXT = {"aws:ssm:SessionId": "s-1", "aws:ssm:TargetId": "i-1"}


@pytest.fixture
def service():
    if cipher.unavailable_reason() is not None:
        pytest.skip("no AES-GCM here")
    with LocalService(Agents()) as service:
        yield service


def kms(service, operation, **fields):
    return call(service, operation, fields, prefix="TrentService")


def new_key(service, **changes):
    fields = dict({"KeyId": "k-1", "NumberOfBytes": 64, "EncryptionContext": CONTEXT}, **changes)
    status, answer = kms(service, "GenerateDataKey", **fields)
    assert status == 200, answer
    return answer


def test_a_data_key_opens_under_its_context(service):
    answer = new_key(service)
    plaintext = base64.b64decode(answer["Plaintext"])
    assert len(plaintext) == 64
    reordered = dict(reversed(list(CONTEXT.items())))
    assert service.kms.decrypt(answer["CiphertextBlob"], reordered) == plaintext
    status, opened = kms(
        service,
        "Decrypt",
        CiphertextBlob=answer["CiphertextBlob"],
        EncryptionContext=CONTEXT,
        KeyId="k-1",
    )
    assert (status, opened) == (200, {key: answer[key] for key in ("KeyId", "Plaintext")})


def test_a_key_may_have_any_name(service):
    answer = new_key(service, KeyId="\ud800")
    plaintext = base64.b64decode(answer["Plaintext"])
    assert service.kms.decrypt(answer["CiphertextBlob"], CONTEXT) == plaintext


def test_no_two_data_keys_are_alike(service):
    assert len({new_key(service)[name] for _ in range(3) for name in ("Plaintext",)}) == 3


@pytest.mark.parametrize(
    "context", [{}, dict(CONTEXT, extra="x"), dict(CONTEXT, **{"aws:ssm:TargetId": "i-2"})]
)
def test_it_does_not_open_under_another_context(service, context):
    blob = new_key(service)["CiphertextBlob"]
    with pytest.raises(EncryptionError, match="another encryption context"):
        service.kms.decrypt(blob, context)
    status, answer = kms(service, "Decrypt", CiphertextBlob=blob, EncryptionContext=context)
    assert (status, answer["__type"]) == (400, "InvalidCiphertextException")


@pytest.mark.parametrize("blob", ["", "no base64!", "ü", "AAAA", "//8=", "YXJuAGFi"])
def test_what_is_no_blob_of_ours_does_not_open(service, blob):
    new_key(service)
    with pytest.raises(EncryptionError):
        service.kms.decrypt(blob, CONTEXT)


def test_a_cut_blob_does_not_open(service):
    blob = base64.b64decode(new_key(service)["CiphertextBlob"])
    for size in (len(blob) - 1, blob.index(b"\0") + 5, blob.index(b"\0") + 1):
        with pytest.raises(EncryptionError):
            service.kms.decrypt(base64.b64encode(blob[:size]).decode(), CONTEXT)


def test_keys_are_named_by_id_or_arn(service):
    arn = new_key(service)["KeyId"]
    assert arn.startswith("arn:aws:kms:") and arn.endswith("/k-1")
    assert new_key(service, KeyId=arn)["KeyId"] == arn
    status, answer = kms(
        service,
        "Decrypt",
        CiphertextBlob=new_key(service)["CiphertextBlob"],
        EncryptionContext=CONTEXT,
        KeyId="k-2",
    )
    assert (status, answer["__type"]) == (400, "IncorrectKeyException")


@pytest.mark.parametrize(
    "changes", [{"NumberOfBytes": 0}, {"NumberOfBytes": 4096}, {"EncryptionContext": {"a": 1}}]
)
def test_requests_are_checked(service, changes):
    fields = dict({"KeyId": "k-1", "NumberOfBytes": 64}, **changes)
    status, answer = kms(service, "GenerateDataKey", **fields)
    assert (status, answer["__type"]) == (400, "ValidationException")


def test_calls_fail_on_request(service):
    service.kms.answer_with("GenerateDataKey", "AccessDeniedException", "not you")
    status, answer = kms(service, "GenerateDataKey", KeyId="k-1", NumberOfBytes=64)
    assert (status, answer["__type"]) == (400, "AccessDeniedException")
    assert service.ssm.calls() == []
