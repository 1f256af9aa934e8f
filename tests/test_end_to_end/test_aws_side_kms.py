"""Sessions that are encrypted with KMS, with each of the two sources of AES-GCM."""

import functools
import os
import re
import subprocess
import sys

import pytest

from ssm_plugin.wire import payloads
from tests.support.aws_side import KEY_ID, OURS, PROMPT, TARGET, AwsSide, drop_in, run
from tests.support.interpreters import interpreters
from tests.support.pty import PtyProcess

WHICH = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from ssm_plugin.channel import cipher; sys.stdout.write(cipher.choose().__name__)"
)


@pytest.fixture(params=["cryptography", "libcrypto"])
def client(request, zipapp):
    """The command: here with ``cryptography``; the built file on the oldest Python without it."""
    if request.param == "cryptography":
        pytest.importorskip("cryptography")
        assert source_of((sys.executable,), ".") == "CryptographyAesGcm"
        return OURS
    bare = [oldest_python(), "-I", "-S"]
    assert source_of(tuple(bare), str(zipapp)) == "LibcryptoAesGcm"
    # The tests' common code cache: each has a home of its own, and to fill one takes a second.
    cache = "XDG_CACHE_HOME=" + os.environ["XDG_CACHE_HOME"]
    return ["env", cache] + bare + [str(zipapp.with_name("ssm-plugin"))]


@functools.lru_cache(maxsize=None)
def oldest_python():
    return next(path for version, path in interpreters().items() if version >= (3, 6))


@functools.lru_cache(maxsize=None)
def source_of(python, place):
    return subprocess.check_output(list(python) + ["-c", WHICH, place]).decode()


def shell(aws, client=OURS):
    return PtyProcess(client + ["shell", TARGET], env=aws.keys_in_environment())


def piped_shell(aws, client=OURS):
    return run(client + ["shell", TARGET], aws.keys_in_environment(), b"exit\n")


@pytest.mark.parametrize("challenge", [True, False], ids=["challenge", "no-challenge"])
def test_a_shell_is_encrypted(tmp_path, client, challenge):
    kms = {"challenge": challenge, "require_challenge": challenge}
    with AwsSide(tmp_path, kms=kms) as aws, shell(aws, client) as program:
        program.expect(b"This session is encrypted using AWS KMS.")
        program.expect(PROMPT)
        program.send(b"echo $((6*7)) is it\r")
        program.expect(b"42 is it")
        program.send(b"exit\r")
        assert program.wait() == 0
        assert aws.calls() == ["StartSession", "GenerateDataKey"]
        assert aws.verdicts() == {"verified": 3}
        sent = [bytes(one.payload) for one in aws.sent if one.payload_type == payloads.OUTPUT]
        assert sent and not any(b"ready" in payload or b"42 is it" in payload for payload in sent)


def test_an_encrypted_shell_survives_a_lost_connection(tmp_path, client):
    with AwsSide(tmp_path, kms={}) as aws, shell(aws, client) as program:
        program.expect(PROMPT)
        for number in range(3):
            aws.service.session().drop_connection()
            program.send(b"echo $((6*%d)) again\r" % number)
            program.expect(b"%d again" % (6 * number))
        program.send(b"exit\r")
        assert program.wait() == 0
        assert aws.calls().count("GenerateDataKey") == 1


def test_the_drop_in_names_the_target_of_the_request_in_the_context(tmp_path):
    with AwsSide(tmp_path, kms={}) as aws:
        command = drop_in(aws.started_session(), {"Target": TARGET})
        done = run(command, aws.keys_in_environment(), b"echo $((6*7)) is it; exit\n")
    assert (done.status, done.stderr) == (0, "")
    assert "42 is it" in done.stdout


COMMAND = "AWS-StartNonInteractiveCommand"
WORDS = "sh -c 'echo $((6*7)) is it; echo oops >&2; exit 3'"


@pytest.mark.parametrize("challenge", [True, False], ids=["challenge", "no-challenge"])
def test_a_command_is_encrypted(tmp_path, client, challenge):
    with AwsSide(tmp_path, kms={"challenge": challenge, "require_challenge": challenge}) as aws:
        parameters = {"command": WORDS, "separateOutputStream": "true"}
        started = aws.started_session(COMMAND, **parameters)
        command = drop_in(started, {"Target": TARGET, "DocumentName": COMMAND}, program=client)
        done = run(command, aws.keys_in_environment())
    assert (done.status, done.stderr) == (3, "oops\n")
    assert "\n42 is it\n" in done.stdout
    types = {payloads.OUTPUT, payloads.STDERR, payloads.EXIT_CODE}
    sent = [bytes(one.payload) for one in aws.sent if one.payload_type in types]
    assert len(sent) >= 3
    assert not any(word in payload for payload in sent for word in (b"42 is it", b"oops", b"EXIT"))


def test_our_own_exec_is_encrypted(tmp_path, client):
    with AwsSide(tmp_path, kms={"require_challenge": True}) as aws:
        command = client + ["exec", TARGET, "--", "sh", "-c", "echo $((6*7)) is it; exit 3"]
        done = run(command, aws.keys_in_environment())
        assert aws.service.open_sessions() == []
        assert set(aws.verdicts()) == {"verified"}
    assert (done.status, done.stdout) == (3, "42 is it\n")
    sent = [bytes(one.payload) for one in aws.sent if one.payload_type == payloads.OUTPUT]
    assert sent and not any(b"42 is it" in payload for payload in sent)


def test_a_command_whose_output_was_damaged_shows_none_of_it(tmp_path, client):
    with AwsSide(tmp_path, kms={}) as aws:
        aws.damage = lambda number, payload: flipped(payload, -1)
        started = aws.started_session(COMMAND, command=WORDS, separateOutputStream="true")
        command = drop_in(started, {"Target": TARGET, "DocumentName": COMMAND}, program=client)
        done = run(command, aws.keys_in_environment())
        assert aws.service.open_sessions() == []
    assert "does not open: it was damaged" in only_line(done)
    assert "42 is it" not in done.stdout


# What goes wrong


def only_line(done):
    """The one line on stderr, the notices aside."""
    assert done.status == 255
    lines = [line for line in done.stderr.splitlines() if line.startswith("ssm-plugin: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_a_wrong_context_is_one_line(tmp_path, client):
    with AwsSide(tmp_path, kms={}) as aws:
        aws.decrypt = lambda ciphertext, context: aws.kms.decrypt(ciphertext, dict(context, x="y"))
        done = piped_shell(aws, client)
        assert aws.service.open_sessions() == []
    assert "was made under another encryption context" in only_line(done)
    assert done.stdout == ""


def test_a_wrong_target_from_the_aws_cli_is_one_line(tmp_path):
    with AwsSide(tmp_path, kms={}) as aws:
        command = drop_in(aws.started_session(), {"Target": "i-other"})
        done = run(command, aws.keys_in_environment(), b"exit\n")
    assert "was made under another encryption context" in only_line(done)
    assert done.stdout == ""


def test_without_a_target_the_user_learns_what_is_missing(tmp_path):
    with AwsSide(tmp_path, kms={}) as aws:
        done = run(drop_in(aws.started_session(), {}), aws.keys_in_environment(), b"exit\n")
    assert "the session's target" in only_line(done)


REFUSALS = [
    ("AccessDeniedException", "permission kms:GenerateDataKey on " + re.escape(KEY_ID)),
    ("DisabledException", "the KMS key is disabled"),
    ("NotFoundException", "the KMS key does not exist in this region"),
]


@pytest.mark.parametrize("code, advice", REFUSALS)
def test_a_refused_key_is_one_line(tmp_path, code, advice):
    with AwsSide(tmp_path, kms={}) as aws:
        aws.kms.answer_with("GenerateDataKey", code, "no", 400, times=9)
        done = piped_shell(aws)
        assert aws.service.open_sessions() == []
    line = only_line(done)
    assert "kms:GenerateDataKey on %s failed: %s: no" % (KEY_ID, code) in line
    assert re.search(advice, line)
    assert done.stdout == ""


def test_a_key_with_one_other_bit_is_one_line(tmp_path, client):
    with AwsSide(tmp_path, kms={}) as aws:
        aws.decrypt = lambda ciphertext, context: flipped(aws.kms.decrypt(ciphertext, context), 0)
        done = piped_shell(aws, client)
    assert "a sealed message of 80 bytes does not open" in only_line(done)
    assert done.stdout == ""


@pytest.mark.parametrize("place", [0, 12, -1], ids=["nonce", "text", "tag"])
def test_a_flipped_bit_ends_the_session_before_anything_is_shown(tmp_path, client, place):
    def damage(number, payload):
        return flipped(payload, place) if broken else payload

    broken = []
    with AwsSide(tmp_path, kms={}) as aws:
        aws.damage = damage
        with shell(aws, client) as program:
            program.expect(PROMPT)
            program.send(b"true\r")
            program.expect(PROMPT)
            broken.append(True)
            program.send(b"echo never seen\r")
            assert program.wait() == 255
            rest = program.output.decode("ascii").rpartition(PROMPT.decode())[2]
            assert aws.service.open_sessions() == []
    assert re.fullmatch(
        r"\s*ssm-plugin: a sealed message of \d+ bytes does not open: it was damaged, or sealed "
        r"with another key\s*",
        rest,
    )


def flipped(data, place):
    changed = bytearray(data)
    changed[place] ^= 0x10
    return bytes(changed)


def test_without_any_aes_the_node_and_the_user_are_told(tmp_path):
    bare = (
        "import sys; sys.modules['cryptography'] = sys.modules['ctypes'] = None; "
        "from ssm_plugin.cli import main; sys.exit(main())"
    )
    with AwsSide(tmp_path, kms={}) as aws:
        done = piped_shell(aws, [sys.executable, "-c", bare])
        assert aws.calls() == ["StartSession", "TerminateSession"]
    line = only_line(done)
    assert "no AES-256-GCM for an encrypted session" in line
    assert "install the Python package cryptography" in line
