"""Nothing secret is written anywhere: no log at any level, no error, no ``ps``, no environment."""

import base64
import os
import re
from pathlib import Path

import pytest

from tests.support.aws_side import (
    OURS,
    PROMPT,
    REGION,
    SECRET_KEY,
    SESSION_TOKEN,
    TARGET,
    AwsSide,
    run,
)
from tests.support.pty import PtyProcess

# The list of processes is looked at.
pytestmark = pytest.mark.usefixtures("no_forks")

PASSWORD = "pr0xy-p@ss/w:rd"
SIGNATURE = re.compile(rb"Signature=(?!\*\*\*)|\b[0-9a-f]{64}\b")

# A credential_process writes down what it sees of itself and of the processes above it,
# up to the tests, whose own callers may be called anything.
LOOK_AROUND = """\
pid=$$
while [ "$pid" -ne {tests} ] && [ "$pid" -gt 1 ]; do
    tr '\\0' '\\n' < /proc/$pid/cmdline
    read -r _ _ _ parent _ < /proc/$pid/stat
    pid=$parent
done > {folder}/cmdlines
env > {folder}/environment
"""


def secrets(aws):
    """Every secret there is so far, in each spelling in which it could get out."""
    tokens = [session.token for session in aws.service.sessions()] + aws.tokens
    texts = [SECRET_KEY, SESSION_TOKEN, PASSWORD] + tokens
    plain = [text.encode() for text in texts] + [bytes(key) for key in aws.data_keys]
    return plain + [base64.b64encode(one) for one in plain] + [
        base64.b64encode(b"ann:" + PASSWORD.encode())
    ]


def assert_nothing_secret(aws, place, data):
    data = data if isinstance(data, bytes) else data.encode()
    assert data, place
    for secret in secrets(aws):
        assert secret not in data, (place, secret)
    assert not SIGNATURE.search(data), (place, SIGNATURE.search(data))


class Watched(AwsSide):
    """Keeps the secrets that come up: tokens that were replaced, and data keys."""

    def __init__(self, folder, **options):
        super().__init__(folder, tls=True, login="ann:" + PASSWORD, kms={}, **options)
        self.tokens = []
        self.data_keys = []

    def decrypt(self, ciphertext, context):
        self.data_keys.append(super().decrypt(ciphertext, context))
        return self.data_keys[-1]

    def lose_connection(self):
        session = self.service.session()
        self.tokens.append(session.token)
        session.drop_connection()


@pytest.fixture
def aws(tmp_path):
    with Watched(tmp_path) as aws:
        look_around = LOOK_AROUND.format(folder=tmp_path, tests=os.getpid())
        aws.profile_with_credential_process("ops", look_around)
        aws.environ["AWS_PROFILE"] = "ops"
        yield aws


def use(aws, program):
    """A session with a key, a resumption, and a look at all processes in the middle of it."""
    program.expect(PROMPT)
    aws.lose_connection()
    program.send(b"echo $((6*7)) is it\r")
    program.expect(b"42 is it")
    listing = b""
    for process in processes_below(program.pid):
        listing += process
    program.send(b"exit\r")
    assert program.wait() == 0
    assert "ResumeSession" in aws.calls() and aws.data_keys and aws.tokens
    return listing


def processes_below(pid):
    """The command lines of a process and of all its descendants, as ``ps`` shows them."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(folder.name))
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        yield Path("/proc/%d/cmdline" % one).read_bytes()


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_no_log_no_terminal_and_no_process_list_shows_a_secret(aws, tmp_path, level):
    log = tmp_path / "log"
    logging = ["--log-level", level, "--log-file", str(log)]
    with PtyProcess(OURS + ["shell", TARGET] + logging, env=aws.environ) as program:
        listing = use(aws, program)
    assert b"ssm_plugin" in listing
    assert_nothing_secret(aws, "ps", listing)
    assert_nothing_secret(aws, "terminal", program.output)
    for name in ("cmdlines", "environment"):
        assert_nothing_secret(aws, name, without_the_users_own((tmp_path / name).read_bytes()))
    if level in ("debug", "info"):
        assert_nothing_secret(aws, "log", log.read_bytes())
    else:
        assert not log.exists() or log.read_bytes() == b""


def without_the_users_own(environment):
    """The proxy's password is in the user's own environment, which children have too."""
    return re.sub(rb"(?i)https_proxy=.*", b"", environment)


@pytest.mark.e2e
def test_the_drop_in_hides_what_the_aws_cli_hands_it(aws, tmp_path, zipapp, aws_cli):
    aws.use_plugin(zipapp)
    log = tmp_path / "log"
    aws.environ.update(SSM_PLUGIN_LOG_LEVEL="debug", SSM_PLUGIN_LOG_FILE=str(log))
    command = [aws_cli, "ssm", "start-session", "--target", TARGET, "--region", REGION]
    with PtyProcess(command, env=aws.environ) as program:
        listing = use(aws, program)
    assert b"AWS_SSM_START_SESSION_RESPONSE" in listing  # so the token is in no argument
    assert_nothing_secret(aws, "ps", listing)
    assert_nothing_secret(aws, "terminal", program.output)
    assert_nothing_secret(aws, "log", log.read_bytes())
    for name in ("cmdlines", "environment"):
        seen = without_the_users_own((tmp_path / name).read_bytes())
        assert_nothing_secret(aws, name, seen)
        assert b"AWS_SSM_START_SESSION_RESPONSE=" not in seen


def break_the_proxy(aws):
    aws.proxy.refuse(503)


def refuse_the_key(aws):
    aws.kms.answer_with("GenerateDataKey", "AccessDeniedException", "no", times=9)


def refuse_the_start(aws):
    aws.service.answer_with("StartSession", "ValidationException", "no", times=9)


def refuse_the_signature(aws):
    # What the real service says repeats the request that it expected, token and all.
    said = "The request signature we calculated does not match. The Canonical String was\n%s" % (
        "x-amz-security-token:" + SESSION_TOKEN
    )
    aws.service.answer_with("StartSession", "InvalidSignatureException", said, times=9)


def damage_the_data(aws):
    aws.damage = lambda number, payload: payload[:-1] + bytes([payload[-1] ^ 1])


def misplace_the_ca(aws):
    aws.environ["AWS_CA_BUNDLE"] = os.devnull


FAULTS = [
    break_the_proxy,
    refuse_the_key,
    refuse_the_start,
    refuse_the_signature,
    damage_the_data,
    misplace_the_ca,
]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.__name__ for fault in FAULTS])
def test_no_error_and_no_traceback_shows_a_secret(aws, fault):
    fault(aws)
    done = run(OURS + ["shell", TARGET, "--log-level", "debug"], aws.environ, b"exit\n")
    assert done.status == 255
    assert "Traceback" in done.stderr  # debug on stderr: all there is to say
    assert_nothing_secret(aws, "stderr", done.stderr)
