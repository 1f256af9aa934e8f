import os
import stat
from datetime import datetime

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.jobs.sinks import open_output

NOW = datetime(2024, 2, 3, 4, 5, 6)


def test_output_is_appended_to_a_private_file(tmp_path):
    before = os.umask(0)
    try:
        for text in (b"one\n", b"two\n"):
            with open_output(str(tmp_path / "logs" / "{target}-%Y.log"), NOW, "i-01") as file:
                file.write(text)
    finally:
        os.umask(before)
    path = tmp_path / "logs" / "i-01-2024.log"
    assert path.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_exists_keeps_its_mode(tmp_path):
    (tmp_path / "log").write_text("")
    (tmp_path / "log").chmod(0o644)
    open_output(str(tmp_path / "log"), NOW, "i-01").close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["file/log", "directory", "pipe", "nul\0"])
def test_a_path_that_cannot_be_used_is_named(tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(LocalError) as caught:
        open_output(str(tmp_path) + "/" + name, NOW, "i-01")
    assert repr(str(tmp_path) + "/" + name) in str(caught.value)
