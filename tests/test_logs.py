import logging
import os
import re
import stat
import subprocess
import sys
import threading

import pytest

from ssm_plugin import logs
from ssm_plugin.config import LogSettings
from ssm_plugin.errors import LocalError

TOKEN = "AAEAAc0ffee+/token=="


@pytest.fixture(autouse=True)
def off_again():
    before = os.umask(0)
    logs._secrets.clear()
    yield
    logs.configure(LogSettings())
    logs._secrets.clear()
    os.umask(before)


@pytest.fixture
def log_file(tmp_path):
    return tmp_path / "state" / "log"


@pytest.fixture
def start(log_file):
    def start(level="debug", **more):
        logs.configure(LogSettings(level, str(log_file), **more))
        return logs.logger("channel")

    return start


def mode_of(path):
    return stat.S_IMODE(os.stat(str(path)).st_mode)


def run(script, *args):
    root = os.path.dirname(os.path.dirname(os.path.abspath(logs.__file__)))
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from ssm_plugin import logs\n" + script
    )
    command = [sys.executable, "-I", "-c", script, root] + list(args)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return [stream.decode() for stream in process.communicate(timeout=20)]


# --- Off


def test_while_off_nothing_is_written_formatted_or_imported():
    script = (
        "class Costly:\n"
        "    def __str__(self): raise AssertionError\n"
        "logs.configure((None, None, 1000, 3))\n"
        "log = logs.logger('x')\n"
        "for write in (log.debug, log.info, log.warning, log.error, log.exception):\n"
        "    write('%s', Costly())\n"
        "print(log.enabled, 'logging' in sys.modules)\n"
    )
    assert run(script) == ["False False\n", ""]


@pytest.mark.parametrize(
    "level, written",
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
        ("off", []),
        (None, ["info", "warning", "error"]),
    ],
)
def test_a_level_lets_through_itself_and_what_is_worse(start, log_file, level, written):
    log = start(level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name + "!")
    lines = log_file.read_text().splitlines() if log_file.exists() else []
    assert [line.rpartition(" ")[2] for line in lines] == [name + "!" for name in written]
    assert log.enabled is (level == "debug")


def test_loggers_made_before_logging_is_turned_on_follow(start, log_file):
    early = logs.logger("early")
    start()
    early.info("seen")
    assert "seen" in log_file.read_text()


def test_turned_off_again_a_logger_is_silent(start, log_file):
    log = start()
    logs.configure(LogSettings())
    log.error("unseen")
    assert log_file.read_text() == ""


def test_the_logging_module_keeps_its_state(start):
    before = list(logging.getLogger().handlers)
    start().error("x")
    assert logging.getLogger().handlers == before
    assert "channel" not in logging.Logger.manager.loggerDict


# --- What a line looks like


def test_a_line_says_when_who_where_and_what(start, log_file):
    start().warning("%d of %s", 3, "four")
    line = log_file.read_text()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.match(time + " %d WARNING channel " % os.getpid(), line)
    assert line.endswith(threading.current_thread().name + ": 3 of four\n")


def test_what_a_node_sent_cannot_forge_a_line_or_move_the_cursor(start, log_file):
    start().info("%s", "a\nb\r\x1b[2J\x9b")
    text = log_file.read_bytes().decode()
    assert text.endswith("a\\nb\\r\\x1b[2J\\x9b\n") and text.count("\n") == 1


def test_what_is_not_unicode_is_written_all_the_same(start, log_file):
    start().info("%s", "caf\u00e9 \udcff")
    assert log_file.read_bytes().decode("utf-8").endswith("caf\u00e9 \\udcff\n")


def test_a_traceback_comes_with_debug_alone(start, log_file):
    for level, count in (("info", 0), ("debug", 1)):
        log = start(level)
        try:
            raise ValueError("why")
        except ValueError as error:
            log.exception("failed: %s", error)
        assert log_file.read_text().count("Traceback") == count
    assert log_file.read_text().count("failed: why") == 2


def test_an_exception_logged_outside_its_handler_has_no_traceback(start, log_file):
    start().exception("failed")
    assert log_file.read_text().endswith("failed\n")


# --- Files


def test_the_file_and_its_directory_are_private(start, log_file):
    start().info("x")
    assert mode_of(log_file) == 0o600
    assert mode_of(log_file.parent) == 0o700


def test_a_file_that_others_could_read_is_made_private(start, log_file):
    log_file.parent.mkdir()
    log_file.write_text("before\n")
    log_file.chmod(0o644)
    start().info("after")
    assert mode_of(log_file) == 0o600
    assert log_file.read_text().startswith("before\n")


def test_files_rotate_and_stay_private(start, log_file):
    log = start(max_bytes=500, backups=2)
    for number in range(50):
        log.info("record %d", number)
    names = sorted(os.listdir(str(log_file.parent)))
    assert names == ["log", "log.1", "log.2"]
    for name in names:
        assert mode_of(log_file.parent / name) == 0o600
        assert (log_file.parent / name).stat().st_size <= 500
    assert log_file.read_text().endswith("record 49\n")


@pytest.mark.parametrize("max_bytes", [0, 100000])
def test_a_file_that_another_session_rotated_is_left_alone(start, log_file, max_bytes):
    log = start(max_bytes=max_bytes)
    log.info("first")
    log_file.rename(log_file.with_name("log.1"))
    log.info("second")
    assert "second" not in log_file.with_name("log.1").read_text()
    log_file.rename(log_file.with_name("log.2"))
    log_file.write_text("")
    log.info("third")
    assert log_file.read_text().endswith("third\n")


def test_a_device_is_never_renamed():
    logs.configure(LogSettings("debug", "/dev/null", 10, 1))
    logs.logger("x").info("longer than ten bytes")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) & 0o022


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(LocalError) as caught:
        logs.configure(LogSettings("debug", str(tmp_path)))
    assert str(tmp_path) in str(caught.value)
    assert not logs.logger("x").enabled


def test_threads_write_whole_lines(start, log_file):
    log = start(max_bytes=0)
    workers = [
        threading.Thread(target=lambda: [log.info("%s.", "x" * 200) for _ in range(50)])
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)
    lines = log_file.read_text().splitlines()
    assert len(lines) == 200 and all(line.endswith("x" * 200 + ".") for line in lines)


# --- stderr


def test_without_a_file_records_go_to_stderr():
    script = "logs.configure(('info', None, 0, 1)); logs.logger('x').info('seen')"
    out, err = run(script)
    assert out == "" and err.endswith(" INFO x MainThread: seen\r\n")


def test_a_lost_record_is_told_once_and_without_secrets():
    script = (
        "logs.register_secret('hunter22hunter22')\n"
        "class Bad:\n"
        "    def __str__(self): raise ValueError('hunter22hunter22\\n')\n"
        "logs.configure(('info', sys.argv[1], 0, 1))\n"
        "logs.logger('x').info('%s', Bad()); logs.logger('x').info('%s', Bad())"
    )
    lost = "ssm-plugin: a log record was lost: ValueError: ***\\n\n"
    assert run(script, "/dev/null") == ["", lost]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_full_disk_disturbs_nothing():
    script = (
        "logs.configure(('info', '/dev/full', 1000, 1))\n"
        "logs.logger('x').info('a'); logs.logger('x').info('b'); print('went on')"
    )
    out, err = run(script)
    assert out == "went on\n"
    assert err.startswith("ssm-plugin: a log record was lost: OSError: ")
    assert "Traceback" not in err


def test_a_stderr_that_is_closed_disturbs_nothing():
    script = (
        "sys.stderr.close(); logs.configure(('info', None, 0, 1))\n"
        "logs.logger('x').info('a'); print('went on')"
    )
    assert run(script)[0] == "went on\n"


# --- Masking


@pytest.mark.parametrize(
    "text",
    [
        '{"SessionId": "s", "TokenValue": "%s"}',
        '{"sessionId": "s", "tokenValue":"%s"}',
        '"{\\"TokenValue\\": \\"%s\\"}"',
        "{'TokenValue': '%s', 'a': 1}",
        "StartedSession(token_value='%s')",
        "TokenValue=%s&x",
        "token=%s",
        "x-amz-security-token: %s",
        "('X-Amz-Security-Token', '%s')",
        "https://h/?X-Amz-Signature=%s&X-Amz-Date=1",
        "wss://h/?X-Amz-Security-Token=%s",
        "Authorization: AWS4-HMAC-SHA256 Credential=x, Signature=%s",
        "{'Authorization': 'AWS4 SignedHeaders=a;b, Signature=%s'}",
        "[b'Proxy-Authorization: Basic %s']",
        '{"Plaintext": "%s"}',
        "aws_secret_access_key = %s",
        '"SecretAccessKey" : "%s"',
        "'SessionToken': '%s'",
        "http://me:%s@proxy:3128",
        'password="%s"',
    ],
)
def test_secrets_are_known_by_what_is_around_them(text):
    masked = logs.mask(text.replace("%s", TOKEN.replace("/", "")))
    assert "c0ffee" not in masked and logs.MASK in masked


def test_what_stands_beside_a_secret_stays():
    text = '{"TokenValue": "abc def", "SessionId": "me-01"}'
    assert logs.mask(text) == '{"TokenValue": ***, "SessionId": "me-01"}'


def test_a_key_id_keeps_its_ends():
    assert logs.mask("with ASIAABCDEFGHIJKLMNOP.") == "with ASIA***MNOP."


@pytest.mark.parametrize(
    "text",
    [
        "connecting to wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/me-01",
        "resume: the tokens are exchanged",
        "http://[::1]:8080/a",
        "sequence 7, 1024 bytes",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert logs.mask(text) == text


@pytest.mark.parametrize(
    "spelling", [TOKEN, "AAEAAc0ffee%2B%2Ftoken%3D%3D", TOKEN.replace("/", "\\/")]
)
def test_a_registered_secret_is_masked_wherever_it_turns_up(spelling):
    logs.register_secret(TOKEN)
    assert logs.mask("got " + spelling + " here") == "got *** here"


def test_a_secret_that_is_not_unicode_does_no_harm():
    logs.register_secret("\udcff-secret")
    assert logs.mask("the \udcff-secret") == "the ***"


def test_the_longer_of_two_secrets_goes_first():
    logs.register_secret("12345678")
    logs.register_secret("12345678-and-more")
    assert logs.mask("12345678-and-more") == "***"


def test_a_secret_as_short_as_a_word_is_not_registered():
    logs.register_secret("")
    logs.register_secret("node")
    assert logs.mask("the node") == "the node"


def test_registered_secrets_are_bounded_and_not_kept_twice():
    for number in range(1000):
        logs.register_secret("secret-%06d" % number)
        logs.register_secret("secret-%06d" % number)
    assert len(logs._secrets) == 200
    assert logs.mask("secret-000999") == "***"


def test_secrets_do_not_reach_the_file_in_arguments_or_tracebacks(start, log_file):
    log = start()
    logs.register_secret(TOKEN)
    log.info("%s and %r", TOKEN, {"TokenValue": "another-one"})
    try:
        raise ValueError("refused " + TOKEN)
    except ValueError:
        log.exception("failed")
    text = log_file.read_text()
    assert "c0ffee" not in text and "another-one" not in text
    assert "ValueError: refused ***" in text


def test_secrets_of_the_environment_are_masked():
    environ = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7", "AWS_SESSION_TOKEN": TOKEN}
    logs.configure(LogSettings(), environ)
    assert logs.mask("wJalrXUtnFEMI/K7 " + TOKEN) == "*** ***"
