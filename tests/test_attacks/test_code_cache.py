"""Somebody tries to have his code imported in our name, by way of the cache of compiled modules.

Each attack plants an entry that would be run if it were trusted, and that it is run where all is
in order is a test of its own.
"""

import marshal
import os
import shutil
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest

from ssm_plugin.unpacked import LINE_SIZE
from tests.support.code_cache import HELP, TIME_LIMIT, CodeCache

EVIL = 66
STRANGER = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture(scope="module")
def tampered(small_zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An entry that was tampered with, and has the right checksums all the same."""
    cache = CodeCache(small_zipapp, tmp_path_factory.mktemp("tampered"))
    assert cache.used()
    plant(cache.entry)
    return cache.entry


@pytest.fixture
def cache(tampered: Path, small_zipapp: Path, tmp_path: Path) -> CodeCache:
    """With that entry: its name tells the place of the built file, and not its own."""
    cache = CodeCache(small_zipapp, tmp_path / "above" / "cache")
    cache.folder.mkdir(parents=True, mode=0o700)
    shutil.copy(str(tampered), str(cache.folder))
    return cache


def plant(entry: Path) -> None:
    first, index, codes = parts(entry)
    code = marshal.dumps(compile("raise SystemExit(%d)" % EVIL, "evil", "exec"))
    place = LINE_SIZE + len(codes)
    index["ssm_plugin/commands/__init__.py"] = place, len(code), zlib.crc32(code)
    listed, codes = marshal.dumps(index), codes + code
    numbers = b"%d %d %08x" % (len(codes), len(listed), zlib.crc32(listed))
    entry.write_bytes(line_of(first[:2] + [numbers]) + codes + listed)


def line_of(words: List[bytes]) -> bytes:
    return b" ".join(words).ljust(LINE_SIZE - 1) + b"\n"


def parts(entry: Path) -> Tuple[List[bytes], Dict[str, Tuple[int, int, int]], bytes]:
    """The words of the first line, the index, and the codes."""
    data = entry.read_bytes()
    first = data[:LINE_SIZE].split()
    index_at = LINE_SIZE + int(first[2])
    return first, marshal.loads(data[index_at:]), data[LINE_SIZE:index_at]


def status(cache: CodeCache) -> Any:
    process = cache.begin(HELP)
    process.communicate(timeout=TIME_LIMIT)
    return process.returncode


def test_what_stands_in_a_place_of_ours_is_what_runs(cache: CodeCache) -> None:
    """The tests below would prove nothing otherwise."""
    assert status(cache) == EVIL


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(cache: CodeCache, mode: int) -> None:
    cache.folder.chmod(mode)
    assert not cache.used()


@pytest.mark.parametrize("mode, steps", [(0o720, 1), (0o702, 1), (0o702, 2)])
def test_nor_is_one_whose_way_there_others_may_change(
    cache: CodeCache, mode: int, steps: int
) -> None:
    cache.folder.parents[steps - 1].chmod(mode)
    assert not cache.used()


def test_a_sticky_directory_above_is_no_danger(cache: CodeCache) -> None:
    cache.folder.parents[1].chmod(0o1777)
    assert status(cache) == EVIL


# --- What is not to be trusted, or is damaged, is replaced, and the next start uses that.


def by_mode(mode: int) -> Callable[[Path], None]:
    return lambda entry: entry.chmod(mode)


def by_link(entry: Path) -> None:
    elsewhere = entry.parent.parent / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)


def by_hard_link(entry: Path) -> None:
    os.link(str(entry), str(entry.parent.parent / "elsewhere"))


def by_pipe(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(str(entry))


def by_cutting(entry: Path) -> None:
    os.truncate(str(entry), 1000)


def by_emptying(entry: Path) -> None:
    os.truncate(str(entry), 0)


def by_flipping_a_bit_of_the_index(entry: Path) -> None:
    data = entry.read_bytes()
    entry.write_bytes(flipped(data, len(data) - 20))


def by_saying_that_the_index_is_larger_than_any_memory(entry: Path) -> None:
    data = entry.read_bytes()
    words = data[:LINE_SIZE].split()
    words[3] = b"9" * 30
    entry.write_bytes(line_of(words) + data[LINE_SIZE:])


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def by_zeros(entry: Path) -> None:
    """As some file systems leave it after a crash."""
    entry.write_bytes(bytes(entry.stat().st_size))


DAMAGES = [by_mode(0o620), by_mode(0o602), by_link, by_hard_link, by_pipe]
DAMAGES += [by_cutting, by_emptying, by_flipping_a_bit_of_the_index, by_zeros]
DAMAGES += [by_saying_that_the_index_is_larger_than_any_memory]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_that_is_not_in_order_heals_itself(
    cache: CodeCache, damage: Callable[[Path], None]
) -> None:
    entry = cache.entry
    damage(entry)
    assert cache.used()
    healed = entry.lstat().st_ino
    assert cache.used()
    assert cache.entry.lstat().st_ino == healed


def test_a_module_that_is_damaged_comes_from_the_file_and_the_others_from_the_cache(
    cache: CodeCache,
) -> None:
    _, index, _ = parts(cache.entry)
    place, size, _ = index["ssm_plugin/commands/__init__.py"]
    cache.entry.write_bytes(flipped(cache.entry.read_bytes(), place + size // 2))
    loaded = cache.loaded()
    assert b"ssm_plugin.unpacked.Finder" not in loaded["ssm_plugin.commands"]
    assert b"ssm_plugin.unpacked.Finder" in loaded["ssm_plugin.commands.program"]


def test_a_directory_in_its_place_is_done_without(cache: CodeCache) -> None:
    entry = cache.entry
    entry.unlink()
    entry.mkdir()
    assert not cache.used()
    assert list(cache.folder.iterdir()) == [entry]


@pytest.mark.may_skip
@needs_root
def test_an_entry_of_somebody_else_is_replaced(cache: CodeCache) -> None:
    os.chown(str(cache.entry), STRANGER, STRANGER)
    assert cache.used()
    assert cache.entry.stat().st_uid == os.geteuid()


@pytest.mark.may_skip
@needs_root
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_way_there_that_belongs_to_somebody_else_is_not_gone(
    cache: CodeCache, steps: int
) -> None:
    folder = (cache.folder / "x").parents[steps]
    os.chown(str(folder), STRANGER, STRANGER)
    assert not cache.used()


@pytest.mark.may_skip
@needs_root
def test_nothing_is_left_in_the_home_of_another_user(cache: CodeCache, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(str(home), STRANGER, STRANGER)
    assert not cache.without(HOME=str(home)).used()
    assert list(home.iterdir()) == []


def test_a_link_on_the_way_counts_as_where_it_leads(cache: CodeCache, tmp_path: Path) -> None:
    """Homes are links on many machines. What counts is who owns the place at the other end."""
    (tmp_path / "link").symlink_to(cache.folder.parents[1])
    cache.environ["XDG_CACHE_HOME"] = str(tmp_path / "link" / "cache")
    assert status(cache) == EVIL
    cache.folder.parents[1].chmod(0o777)
    assert not cache.used()
