import os
import stat

import pytest

from ssm_plugin.files import is_regular, make_private_directories, open_private


def mode_of(path):
    return stat.S_IMODE(os.stat(str(path)).st_mode)


@pytest.fixture(autouse=True)
def lax_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_each_directory_that_was_missing_is_private(tmp_path):
    make_private_directories(str(tmp_path / "a" / "b"))
    assert mode_of(tmp_path / "a") == 0o700
    assert mode_of(tmp_path / "a" / "b") == 0o700


def test_a_directory_that_exists_keeps_its_mode(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    make_private_directories(str(tmp_path / "shared"))
    assert mode_of(tmp_path / "shared") == 0o755


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        make_private_directories(str(tmp_path / "file"))


@pytest.mark.parametrize("home", ["~", "~nobody-of-this-name"])
def test_a_user_without_a_home_gets_no_folder_called_so(tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="no home directory"):
        open_private(home + "/.local/state/lock", os.O_WRONLY)
    assert os.listdir(".") == []
    (tmp_path / home).mkdir()
    os.close(open_private(home + "/lock", os.O_WRONLY))


def test_a_new_file_is_private_from_the_start(tmp_path):
    os.close(open_private(str(tmp_path / "deep" / "file"), os.O_WRONLY))
    assert mode_of(tmp_path / "deep" / "file") == 0o600


def test_a_relative_path_needs_no_directory(tmp_path):
    before = os.getcwd()
    os.chdir(str(tmp_path))
    try:
        os.close(open_private("file", os.O_WRONLY))
    finally:
        os.chdir(before)
    assert mode_of(tmp_path / "file") == 0o600


def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait(tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(OSError):
        open_private(str(tmp_path / "pipe"), os.O_WRONLY)


def test_a_file_once_open_blocks_as_usual(tmp_path):
    descriptor = open_private(str(tmp_path / "file"), os.O_WRONLY)
    blocking = os.get_blocking(descriptor)
    os.close(descriptor)
    assert blocking


def test_ordinary_files_are_told_from_devices(tmp_path):
    assert is_regular(str(tmp_path / "to be created"))
    assert not is_regular("/dev/null")
