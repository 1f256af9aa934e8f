"""The built file's cache of compiled modules: used where it can be, done without elsewhere."""

import os
import resource
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Dict

import pytest

from ssm_plugin import unpacked
from tests.support.code_cache import HELP, TIME_LIMIT, CodeCache


@pytest.fixture
def cache(small_zipapp: Path, tmp_path: Path) -> CodeCache:
    return CodeCache(small_zipapp, tmp_path / "cache")


@pytest.fixture
def whole(zipapp: Path, tmp_path: Path) -> CodeCache:
    """That of the built file as users have it."""
    return CodeCache(zipapp, tmp_path / "cache")


@pytest.fixture(scope="module")
def filled(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> CodeCache:
    """The same, in use, for tests that only read it: to compile it takes most of a second."""
    cache = CodeCache(zipapp, tmp_path_factory.mktemp("filled"))
    assert cache.used()
    return cache


def test_the_first_start_fills_it_and_all_use_it(cache: CodeCache) -> None:
    assert cache.used()
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(cache.entry.stat().st_mode) == 0o600
    before = cache.entry.stat()
    assert cache.used()
    assert cache.entry.stat().st_ino == before.st_ino


def test_to_fill_it_takes_little_more_memory_than_to_use_it(whole: CodeCache) -> None:
    script = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from ssm_plugin import unpacked; unpacked.use()\n"
        "from ssm_plugin.commands import exit_status\n"
        "print(open('/proc/self/status').read())\n"
    )
    peaks = []
    for _ in ("fill", "use"):
        status = subprocess.check_output(
            [sys.executable, "-c", script, str(whole.program)], env=whole.environ
        )
        peaks.append(int(status.partition(b"VmHWM:")[2].split()[0]))
    assert whole.entry
    assert peaks[1] < peaks[0] < peaks[1] + 6500  # KiB


@pytest.mark.parametrize("base", ["", "relative"])
def test_it_lies_in_the_home_directory_unless_told_otherwise(
    cache: CodeCache, tmp_path: Path, base: str
) -> None:
    assert cache.without(HOME=str(tmp_path), XDG_CACHE_HOME=base).used()
    assert (tmp_path / ".cache" / "ssm-plugin").is_dir()


def test_both_names_share_one_entry(cache: CodeCache) -> None:
    assert cache.used()
    cache.program = cache.program.with_name("session-manager-plugin")
    cache.begin(["x", "y", "z"]).communicate(timeout=TIME_LIMIT)
    assert cache.entry


def test_a_new_version_replaces_the_old_one(cache: CodeCache, tmp_path: Path) -> None:
    copy = tmp_path / "ssm-plugin"
    shutil.copy(str(cache.program), str(copy))
    cache.program = copy
    assert cache.used()
    before = cache.entry.read_bytes()
    with zipfile.ZipFile(str(copy), "a") as archive:
        archive.writestr("ssm_plugin/new.py", "")
    assert cache.used()
    assert b"ssm_plugin/new.py" in cache.entry.read_bytes()
    assert b"ssm_plugin/new.py" not in before


def test_the_new_version_is_what_runs(cache: CodeCache, tmp_path: Path) -> None:
    copy = tmp_path / "ssm-plugin"
    shutil.copy(str(cache.program), str(copy))
    cache.program = copy
    assert cache.used()
    replace_commands(copy, b"raise SystemExit(66)")
    process = cache.begin(HELP)
    process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 66


def replace_commands(built: Path, source: bytes) -> None:
    with zipfile.ZipFile(str(built)) as archive:
        sources = {name: archive.read(name) for name in archive.namelist()}
    sources["ssm_plugin/commands/__init__.py"] = source
    with zipfile.ZipFile(str(built), "w") as archive:
        for name, text in sources.items():
            archive.writestr(name, text)


ANNOTATED = b"""'For help.'
class Fields:
    'For readers.'
    left: missing
    right: missing = 2

    def both(self, *more: missing, last: missing = 3, **named: missing) -> missing:
        'For readers.'
        for each in more:
            each: missing = each
        return more + (last,)

assert list(Fields.__annotations__) == ["left", "right"]
assert Fields().both(1, 2) == (1, 2, 3)
assert (__doc__, Fields.__doc__, Fields.both.__doc__) == ("For help.", None, None)
"""


def test_annotations_and_docstrings_are_left_out_but_a_class_still_has_its_fields(
    cache: CodeCache, tmp_path: Path
) -> None:
    copy = tmp_path / "ssm-plugin"
    shutil.copy(str(cache.program), str(copy))
    replace_commands(copy, ANNOTATED)
    cache.program = copy
    assert cache.without(HOME=str(tmp_path)).used()
    process = cache.without().begin(HELP)
    _, messages = process.communicate(timeout=TIME_LIMIT)
    assert b"NameError: name 'missing' is not defined" in messages


def age(path: Path, seconds: float) -> None:
    then = path.parent.stat().st_mtime - seconds
    os.utime(str(path), (then, then))


def test_what_killed_starts_and_old_versions_left_behind_is_removed(cache: CodeCache) -> None:
    cache.folder.mkdir(parents=True, mode=0o700)
    ages = {"killed.123": 2, "running.124": 0, "old": 31 * 24, "in-use": 29 * 24}
    for name, hours in ages.items():
        (cache.folder / name).write_text("")
        age(cache.folder / name, hours * 3600)
    assert cache.used()
    left = {path.name for path in cache.folder.iterdir()}
    assert left & set(ages) == {"running.124", "in-use"}
    assert len(left) == 3


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_version_leaves_nothing_behind(
    cache: CodeCache, tmp_path: Path, argument: str
) -> None:
    cache.begin([argument]).communicate(timeout=TIME_LIMIT)
    assert (tmp_path / "cache").exists() == (argument != "--version")


def test_starts_at_the_same_time_make_one_entry(cache: CodeCache) -> None:
    processes = [cache.begin(HELP) for _ in range(4)]
    for process in processes:
        process.communicate(timeout=TIME_LIMIT)
    assert [process.returncode for process in processes] == [0] * 4
    assert cache.entry


NOWHERE: Dict[str, Dict[str, str]] = {
    "no home": {},
    "an empty home": {"HOME": ""},
    "a home that is not there": {"HOME": "/nowhere/at/all"},
    "a device": {"XDG_CACHE_HOME": "/dev/null/cache"},
    "a file system that takes no files": {"XDG_CACHE_HOME": "/proc/self"},
    "a name that is too long": {"XDG_CACHE_HOME": "/" + "x" * 5000},
}


@pytest.mark.parametrize("environ", list(NOWHERE.values()), ids=list(NOWHERE))
def test_without_a_place_for_it_all_comes_from_the_file(
    cache: CodeCache, environ: Dict[str, str]
) -> None:
    assert not cache.without(**environ).used()
    assert not os.path.exists("/nowhere")


STREAMS = """
import os, sys
archive, told = sys.argv[1:]
sys.path.insert(0, archive)
from ssm_plugin import cli
sys.argv = ["ssm-plugin", "shell", "--help"]
cli.main()
with open(told, "w") as file:
    file.write(" ".join(os.readlink("/proc/self/fd/%d" % fd) for fd in range(3)))
"""


def test_it_is_never_taken_for_a_standard_stream_that_is_closed(
    cache: CodeCache, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    words = [sys.executable, "-c", STREAMS, str(cache.program), str(told)]
    for _ in ("filled", "used"):
        closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
        assert subprocess.call(closing + words, env=cache.environ, timeout=TIME_LIMIT) == 0
        assert told.read_text() == "/dev/null /dev/null /dev/null"
    assert cache.entry


SLOW = """
import ssm_plugin
ssm_plugin.begun.set()
ssm_plugin.go_on.wait(10)
value = 7
"""
TWO_IMPORT = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import ssm_plugin
if sys.argv[2] == "program":
    from ssm_plugin import unpacked
    unpacked.use()
ssm_plugin.begun, ssm_plugin.go_on = threading.Event(), threading.Event()

def take():
    from ssm_plugin.slow import value
    print(value)

one, other = threading.Thread(target=take), threading.Thread(target=take)
one.start()
ssm_plugin.begun.wait(10)
other.start()
other.join(0.3)  # where it does not wait, it has failed by now
ssm_plugin.go_on.set()
one.join()
other.join()
"""


@pytest.mark.parametrize(
    "kind, more",
    [("program", {}), ("program", {"XDG_CACHE_HOME": "/dev/null/x"}), ("library", {})],
    ids=["with", "without", "library"],
)
def test_a_thread_waits_for_a_module_that_another_one_is_loading(
    cache: CodeCache, tmp_path: Path, kind: str, more: Dict[str, str]
) -> None:
    """Up to Python 3.9, what imports from a zip file does not see to that."""
    copy = tmp_path / "ssm-plugin"
    shutil.copy(str(cache.program), str(copy))
    with zipfile.ZipFile(str(copy), "a") as archive:
        archive.writestr("ssm_plugin/slow.py", SLOW)
    done = subprocess.run(
        [sys.executable, "-c", TWO_IMPORT, str(copy), kind],
        env=dict(cache.environ, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIME_LIMIT,
    )
    assert done.stdout == b"7\n7\n"


def almost_full() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))


def test_a_full_disk_is_as_none_and_nothing_is_left_on_it(cache: CodeCache) -> None:
    assert not cache.used(preexec_fn=almost_full)
    assert list(cache.folder.iterdir()) == []
    assert cache.used()


def test_a_traceback_still_shows_the_source(filled: CodeCache) -> None:
    script = (
        "import sys, traceback\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from ssm_plugin import unpacked; unpacked.use()\n"
        "from ssm_plugin import config\n"
        "try: config.parse_duration(5)\n"
        "except TypeError: traceback.print_exc(file=sys.stdout)\n"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", script, str(filled.program)], env=filled.environ, timeout=TIME_LIMIT
    )
    assert b"match = re.match(_DURATION, text)" in output
    assert b"session-manager-plugin/ssm_plugin/units.py" in output
    assert filled.entry


@pytest.mark.parametrize("reused", [False, True])
def test_modules_come_from_the_file_once_somebody_has_closed_the_entry(
    filled: CodeCache, reused: bool
) -> None:
    script = (
        "import os, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from ssm_plugin import unpacked; unpacked.use()\n"
        "from ssm_plugin import units\n"
        "os.closerange(3, 100)\n"
        "others = [open(sys.argv[1], 'rb') for _ in range(int(sys.argv[2]))]\n"
        "from ssm_plugin import masking\n"
        "for module in (units, masking): print(type(module.__loader__).__name__)\n"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", script, str(filled.program), str(10 * reused)],
        env=filled.environ,
        timeout=TIME_LIMIT,
    )
    straight = b"zipimporter" if sys.version_info >= (3, 10) else b"SourceFinder"
    assert output.split() == [b"Finder", straight]


def test_outside_of_the_built_file_it_does_nothing() -> None:
    before = list(sys.path), list(sys.meta_path)
    unpacked.use()
    assert (list(sys.path), list(sys.meta_path)) == before
