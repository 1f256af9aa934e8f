import shutil

import pytest

from tests.support.copies import ScriptNode

SHELLS = [
    pytest.param(words, id=words[0] + "".join(words[1:]), marks=pytest.mark.skipif(
        not shutil.which(words[0]), reason="needs " + words[0]))
    for words in (("dash",), ("bash",), ("busybox", "sh"))
]


@pytest.fixture(params=SHELLS)
def script_node(request):
    return ScriptNode(request.param)


@pytest.fixture
def places(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    return str(tmp_path / "here"), str(tmp_path / "there")
