from datetime import datetime, timezone

import pytest

from ssm_plugin.aws.service_errors import (
    Operation,
    clock_skew,
    is_expired,
    is_throttling_or_fault,
    service_error,
)
from ssm_plugin.net.exchange import Response

NOW = datetime(2026, 10, 1, 12, 0, 0, tzinfo=timezone.utc).timestamp()
DATE = "Thu, 01 Oct 2026 12:00:00 GMT"
START = Operation("ssm:StartSession", "i-1")
KEY = Operation("kms:GenerateDataKey", "key-1")


def error_of(code, message="Said.", status=400, operation=START, now=NOW, headers=None):
    body = '{{"__type": "{}", "message": "{}"}}'.format(code, message).encode("utf-8")
    return service_error(operation, Response(status, headers or {"date": DATE}, body), now)


def test_a_name_that_begins_like_an_id_is_pointed_out():
    targets = {"i-web": True, "mi-x": True, "i-0af": False, "ecs:a": False}
    for target, pointed_out in targets.items():
        error = service_error(
            Operation("ssm:StartSession", target),
            Response(400, {}, b'{"__type": "TargetNotConnected"}'),
            NOW,
        )
        assert ("; if %s is a name, write name:%s" % (target, target) in str(error)) == pointed_out


def test_an_error_is_one_line_with_operation_target_code_message_and_advice():
    error = error_of("TargetNotConnected", "i-1 is not connected.")
    assert str(error) == (
        "ssm:StartSession on i-1 failed: TargetNotConnected: i-1 is not connected (status 400); "
        "check that the node is running, that its SSM Agent is online, that its role allows "
        "Session Manager, and that the region and the account are right"
    )
    assert (error.code, error.status) == ("TargetNotConnected", 400)


@pytest.mark.parametrize(
    "code, operation, advice",
    [
        ("AccessDeniedException", START, "need the permission ssm:StartSession on i-1 and on the"),
        ("AccessDenied", KEY, "kms:GenerateDataKey on key-1, in the key's policy too"),
        ("AccessDenied", Operation("ssm:ResumeSession", "s-1"), "permission ssm:ResumeSession"),
        ("ExpiredTokenException", START, "the credentials have expired: log in again"),
        ("UnrecognizedClientException", START, "the access key is unknown"),
        ("InvalidAccessKeyId", START, "the access key is unknown"),
        ("AuthFailure", START, "check the secret access key, and the clock"),
        ("InvalidTarget", START, "check the id of the target"),
        ("ThrottlingException", START, "try again in a moment"),
        ("DisabledException", KEY, "the KMS key is disabled"),
        ("NotFoundException", KEY, "the KMS key does not exist"),
        ("InvalidKeyUsageException", KEY, "must be a symmetric one"),
        ("InvalidDocument", START, "check the name of the session document"),
    ],
)
def test_errors_say_what_to_do(code, operation, advice):
    text = str(error_of(code, operation=operation))
    assert code in text and advice in text and "\n" not in text


def test_an_unknown_code_has_no_advice():
    assert str(error_of("NewException")) == (
        "ssm:StartSession on i-1 failed: NewException: Said (status 400)"
    )
    assert str(error_of("NewException", operation=Operation("ssm:X", ""))).startswith("ssm:X fai")


@pytest.mark.parametrize(
    "now, text",
    [
        (NOW + 7 * 60, "the clock of this machine is 7 minutes ahead of the service"),
        (NOW - 3 * 3600, "the clock of this machine is 3 hours behind the service's"),
        (NOW + 400 * 86400, "400 days ahead"),
        (NOW + 4 * 60, "check the secret access key, and the clock"),
    ],
)
@pytest.mark.parametrize(
    "code", ["InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed"]
)
def test_a_wrong_clock_is_told_by_how_much(code, now, text):
    assert text in str(error_of(code, now=now))


def test_what_ec2_says_of_expired_credentials_is_not_laid_to_a_clock_that_is_right():
    text = "the credentials have expired: log in again"
    assert text in str(error_of("RequestExpired"))
    assert text in str(error_of("RequestExpired", headers={"x": "y"}))
    assert "is 7 minutes ahead" in str(error_of("RequestExpired", now=NOW + 7 * 60))


def test_without_the_services_time_the_clock_is_only_a_guess():
    for headers in ({"x": "y"}, {"date": "yesterday"}, {"date": "1 x 2 y"}):
        assert clock_skew(Response(403, headers, b""), NOW) is None
        text = str(error_of("RequestTimeTooSkewed", headers=headers))
        assert "check the secret access key" in text
    naive = Response(403, {"date": "Thu, 01 Oct 2026 11:00:00 -0000"}, b"")
    assert clock_skew(naive, NOW) == 3600


def test_signed_headers_that_the_service_repeats_are_left_out():
    message = (
        "The signature does not match. The Canonical String was\\n\\nx-amz-security-token:hush"
    )
    text = str(error_of("InvalidSignatureException", message))
    assert "The signature does not match" in text
    assert "hush" not in text


@pytest.mark.parametrize(
    "headers, body, code",
    [
        ({"x-amzn-errortype": "Code:http://internal/"}, b"", "Code"),
        ({}, b'{"__type": "com.amazonaws.ssm#Code"}', "Code"),
        ({}, b'{"code": "Code", "Message": "x"}', "Code"),
        ({}, b"<html>", "HTTP502"),
        ({}, b"[1]", "HTTP502"),
        ({}, b"\xff", "HTTP502"),
        ({}, b'{"__type": "a b\\n", "message": 1}', "HTTP502"),
        ({}, b"", "HTTP502"),
    ],
)
def test_the_code_is_found_wherever_the_service_puts_it(headers, body, code):
    error = service_error(START, Response(502, headers, body), NOW)
    assert error.code == code
    assert "\n" not in str(error)


def test_a_message_is_made_one_short_line():
    text = str(error_of("X", "a\\n\\u001b[31mb " + "c" * 5000))
    assert ": a [31mb ccc" in text
    assert len(text) < 600


def test_a_bare_403_is_a_lack_of_permission_and_a_bare_500_a_fault():
    denied = service_error(START, Response(403, {}, b""), NOW)
    assert "need the permission ssm:StartSession" in str(denied)
    assert "the service has a fault" in str(service_error(START, Response(500, {}, b""), NOW))


def test_throttling_and_faults_are_worth_a_retry_and_others_not():
    for code, status in (("ThrottlingException", 400), ("X", 429), ("X", 500), ("X", 503)):
        assert is_throttling_or_fault(error_of(code, status=status))
    for code in ("EC2ThrottledException", "RequestTimeout", "RequestTimeoutException"):
        assert is_throttling_or_fault(error_of(code))
    for code, status in (("AccessDenied", 400), ("X", 403), ("X", 501)):
        assert not is_throttling_or_fault(error_of(code, status=status))


def test_expired_credentials_are_told_by_their_code():
    assert is_expired(error_of("ExpiredTokenException")) and is_expired(error_of("ExpiredToken"))
    assert is_expired(error_of("RequestExpired"))
    assert not is_expired(error_of("AccessDenied"))
