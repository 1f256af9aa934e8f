"""Who may do what with a tree that was copied into a directory: modes, owners, the umask."""

import io
import os
import shutil
import tarfile

import pytest

from ssm_plugin.copying.options import CopyOptions, Skipped
from ssm_plugin.copying.tree import remove_tree, tar_of
from tests.support.copies import ScriptNode
from tests.test_copying.test_scripts import NEEDED, down, up, write

TREE = CopyOptions(recursive=True)
TOOLS = NEEDED + "sha256sum tar chown readlink mkfifo gzip".split()
MASK = 0o027


@pytest.fixture(params=["dash", "bash", "busybox"])
def script_node(request, tmp_path):
    """With busybox, all tools are busybox's too."""
    if not shutil.which(request.param):
        pytest.skip("needs " + request.param)
    if request.param == "busybox":
        return ScriptNode(("busybox", "sh"), TOOLS, tmp_path / "bin", "busybox")
    return ScriptNode((request.param,))


@pytest.fixture
def places(tmp_path):
    """The directories ``from`` and ``to``, each with a directory ``t``."""
    for name in ("from", "to"):
        (tmp_path / name / "t" / "d").mkdir(parents=True)
    return str(tmp_path / "from"), str(tmp_path / "to")


@pytest.fixture(autouse=True)
def mask():
    before = os.umask(MASK)
    yield
    os.umask(before)


def make(path, mode, data=b"new"):
    write(os.fsencode(path), data)
    os.chmod(os.fsencode(path), mode)


def mode_of(path):
    return os.stat(os.fsencode(path)).st_mode & 0o7777


both_ways = pytest.mark.parametrize("copy", [up, down])


@both_ways
@pytest.mark.parametrize("into", ["new", "merged"])
def test_the_umask_holds_for_all_that_is_new(script_node, places, copy, into):
    """For root too, and with every tar: some bring the modes of the source."""
    source, target = places
    for name, mode in (("/a", 0o666), ("/b", 0o777), ("/d/c", 0o606), ("/-rf", 0o755)):
        make(source + "/t" + name, mode)
    os.symlink("none", source + "/t/dangling")
    for name, mode in (("/d", 0o777), ("/e", 0o707), ("", 0o777)):
        os.makedirs(source + "/t" + name, exist_ok=True)
        os.chmod(source + "/t" + name, mode)
    if into == "new":
        remove_tree(target + "/t")
    copy(script_node, source + "/t", target, TREE)
    modes = {name: mode_of(target + "/t/" + name) for name in "a b d/c -rf e".split()}
    assert modes == {"a": 0o640, "b": 0o750, "d/c": 0o600, "-rf": 0o750, "e": 0o700}
    if into == "new":
        assert (mode_of(target + "/t/d"), mode_of(target + "/t")) == (0o750, 0o750)


@both_ways
def test_preserve_knows_no_umask(script_node, places, copy):
    source, target = places
    remove_tree(target + "/t")
    make(source + "/t/a", 0o666)
    for name in ("/t/d", "/t"):
        os.chmod(source + name, 0o777)
    copy(script_node, source + "/t", target, TREE._replace(preserve=True))
    assert [mode_of(target + name) for name in ("/t/a", "/t/d", "/t")] == [0o666, 0o777, 0o777]


def test_a_tree_is_nobody_elses_until_it_is_in_place(tmp_path):
    """Whatever mode its root has: a tar sets that before the umask's bits are away."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t").chmod(0o777)
    data = b"".join(tar_of(str(tmp_path / "t"), Skipped()))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getmember(".").mode == 0o700
