import logging
import os
import re
import stat
import subprocess
import sys
import threading

import pytest

from ssm_plugin import logs, masking
from ssm_plugin.config import LogSettings
from ssm_plugin.errors import LocalError

TOKEN = "AAEAAc0ffee+/token=="


@pytest.fixture(autouse=True)
def off_again():
    before = os.umask(0)
    masking._secrets.clear()
    yield
    logs.configure(LogSettings())
    logging.getLogger("ssm_plugin").setLevel(logging.NOTSET)  # as it is in a library
    masking._secrets.clear()
    os.umask(before)


@pytest.fixture
def log_file(tmp_path):
    return tmp_path / "state" / "log"


@pytest.fixture
def start(log_file):
    def start(level="debug", **more):
        logs.configure(LogSettings(level, str(log_file), **more))
        return logs.logger("ssm_plugin.test")

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
    return [stream.decode() for stream in process.communicate(timeout=40)]


# --- Off


def test_while_off_nothing_is_written_or_formatted():
    script = (
        "class Costly:\n"
        "    def __str__(self): raise AssertionError\n"
        "logs.configure((None, None, 1000, 3))\n"
        "log = logs.logger('ssm_plugin.x')\n"
        "for write in (log.debug, log.info, log.warning, log.error, log.exception):\n"
        "    write('%s', Costly())\n"
        "print('logging.handlers' in sys.modules)\n"
    )
    assert run(script) == ["False\n", ""]


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
    assert log.isEnabledFor(logging.DEBUG) is (level == "debug")


def test_loggers_made_before_logging_is_turned_on_follow(start, log_file):
    early = logs.logger("ssm_plugin.early")
    start()
    early.info("seen")
    assert "seen" in log_file.read_text()


def test_turned_off_again_a_logger_is_silent(start, log_file):
    log = start()
    logs.configure(LogSettings())
    log.error("unseen")
    assert log_file.read_text() == ""


def test_the_root_logger_keeps_its_state(start):
    root = logging.getLogger()
    before = (list(root.handlers), list(root.filters), root.level)
    start().error("x")
    assert (root.handlers, root.filters, root.level) == before


# --- What a line looks like


def test_a_line_says_when_who_where_and_what(start, log_file):
    start().warning("%d of %s", 3, "four")
    line = log_file.read_text()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.match(time + " %d WARNING ssm_plugin.test " % os.getpid(), line)
    assert line.endswith(threading.current_thread().name + ": 3 of four\n")


def test_what_a_node_sent_cannot_forge_a_line_or_move_the_cursor(start, log_file):
    start().info("%s", "a\nb\r\x1b[2J\x9b")
    text = log_file.read_bytes().decode()
    assert text.endswith("a\\nb\\r\\x1b[2J\\x9b\n") and text.count("\n") == 1


def test_what_is_not_unicode_is_written_all_the_same(start, log_file):
    start().info("%s", "caf\u00e9 \udcff")
    assert log_file.read_bytes().decode("utf-8").endswith("caf\u00e9 \\udcff\n")


def test_handlers_of_others_can_write_it_too(start):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    log = start()
    log.addHandler(handler)
    try:
        raise ValueError("\udcff")
    except ValueError:
        log.exception("caf\u00e9 %s", "\udcff", stack_info=True)
    finally:
        log.removeHandler(handler)
    text = logging.Formatter().format(records[0])
    assert "caf\u00e9 \\udcff\n" in text and "ValueError: \\udcff\n" in text
    assert text.encode("utf-8")


def test_a_traceback_is_indented(start, log_file):
    log = start()
    try:
        raise ValueError("first\nsecond \x1b[2J")
    except ValueError:
        log.exception("failed")
    first, *more = log_file.read_text().splitlines()
    assert first.endswith(" failed") and more[0] == "    Traceback (most recent call last):"
    assert more[-2:] == ["    ValueError: first", "    second \\x1b[2J"]
    assert all(line.startswith("    ") for line in more)


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


def test_files_rotate_also_where_each_run_writes_one_record(start, log_file):
    for number in range(50):
        log = start(max_bytes=500, backups=2)
        handlers = logging.getLogger("ssm_plugin").handlers
        (stream,) = [one.stream for one in handlers if hasattr(one, "baseFilename")]
        assert stream.tell() == log_file.stat().st_size  # Python 3.13 knows it from there alone
        log.info("record %d", number)
    sizes = [path.stat().st_size for path in sorted(log_file.parent.iterdir())]
    assert len(sizes) == 3 and max(sizes) <= 500


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


def test_a_file_that_cannot_be_opened_again_for_a_while_is_opened_later(start, log_file, capsys):
    log = start()
    log.info("first")
    log_file.rename(log_file.with_name("log.1"))
    log_file.mkdir()
    log.info("lost")
    log_file.rmdir()
    log.info("there again")
    assert log_file.read_text().endswith("there again\n")
    assert capsys.readouterr().err.count("a log record was lost") == 1


def test_a_device_is_never_renamed():
    logs.configure(LogSettings("debug", "/dev/null", 10, 1))
    logs.logger("ssm_plugin.x").info("longer than ten bytes")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) & 0o022


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(LocalError) as caught:
        logs.configure(LogSettings("debug", str(tmp_path)))
    assert str(tmp_path) in str(caught.value)
    assert not logs.logger("ssm_plugin.x").isEnabledFor(logging.CRITICAL)


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
    script = "logs.configure(('info', None, 0, 1)); logs.logger('ssm_plugin.x').info('seen')"
    out, err = run(script)
    assert out == "" and err.endswith(" INFO ssm_plugin.x MainThread: seen\r\n")


def test_a_record_that_cannot_be_formatted_disturbs_nothing():
    script = (
        "class Bad:\n"
        "    def __str__(self): raise ValueError('hunter22hunter22')\n"
        "logs.configure(('info', None, 0, 1))\n"
        "logs.logger('ssm_plugin.x').info('got %s', Bad()); print('went on')"
    )
    out, err = run(script)
    assert out == "went on\n"
    assert err.endswith(": got %s (its arguments cannot be shown: ValueError)\r\n")
    assert err.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_full_disk_disturbs_nothing():
    script = (
        "logs.configure(('info', '/dev/full', 1000, 1))\n"
        "log = logs.logger('ssm_plugin.x'); log.info('a'); log.info('b'); print('went on')"
    )
    out, err = run(script)
    assert out == "went on\n"
    assert err.startswith("ssm-plugin: a log record was lost: OSError: ") and err.count("\n") == 1
    assert "Traceback" not in err


def test_a_file_that_is_renamed_while_the_disk_is_full_is_followed_all_the_same(tmp_path):
    script = (
        "import os, resource\n"
        "logs.configure(('info', sys.argv[1], 100000, 1)); log = logs.logger('ssm_plugin.x')\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))\n"
        "log.info('a' * 60); log.info('b' * 60); os.rename(sys.argv[1], sys.argv[1] + '.1')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, most)); log.info('c')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)); log.info('there is room')"
    )
    out, err = run(script, str(tmp_path / "log"))
    assert err.startswith("ssm-plugin: a log record was lost: OSError: ") and err.count("\n") == 1
    assert (tmp_path / "log").read_text().endswith("there is room\n")


def test_a_stderr_that_is_closed_disturbs_nothing():
    script = (
        "sys.stderr.close(); logs.configure(('info', None, 0, 1))\n"
        "logs.logger('ssm_plugin.x').info('a'); print('went on')"
    )
    assert run(script)[0] == "went on\n"


# --- Secrets


def test_secrets_do_not_reach_the_file_in_arguments_or_tracebacks(start, log_file):
    log = start()
    masking.register_secret(TOKEN)
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
    assert masking.mask("wJalrXUtnFEMI/K7 " + TOKEN) == "*** ***"
