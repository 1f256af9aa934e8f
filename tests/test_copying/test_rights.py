"""Who may do what with a tree that was copied into a directory: modes, owners, the umask."""

import io
import os
import shutil
import sys
import tarfile

import pytest

from ssm_plugin.copying.options import CopyFailed, CopyOptions, Skipped
from ssm_plugin.copying.tree import remove_tree, tar_of
from tests.support.copies import NAMES, NEEDED, ScriptNode, down, read, tree_state, up, write
from tests.support.ordinary_user import SHELL, USER, give, own_place

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")

TREE = CopyOptions(recursive=True)
TOOLS = NEEDED + "sha256sum tar chown readlink mkfifo gzip".split()
MASK = 0o027


# What runs at the node differs with no Python here: where all tests are repeated on the oldest, one
# shell is enough for what is ours.
SHELLS = ["dash", "bash", "busybox"] if sys.version_info >= (3, 9) else ["dash"]


@pytest.fixture(params=SHELLS)
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


@both_ways
def test_a_replaced_file_keeps_its_mode(script_node, places, copy):
    source, target = places
    names = [os.fsdecode(name) for name in NAMES] + ["d/.hidden", "d/same"]
    modes = {name: 0o600 + 0o11 * number % 0o100 for number, name in enumerate(names)}
    modes["d/same"] = 0o640
    for name, mode in modes.items():
        make("%s/t/%s" % (source, name), 0o644)
        make("%s/t/%s" % (target, name), mode, b"old")
    make(source + "/t/added", 0o666)
    copy(script_node, source + "/t", target, TREE)
    found = {name: mode_of("%s/t/%s" % (target, name)) for name in names}
    assert found == modes
    assert {read(os.path.join(target, "t", name)) for name in names} == {b"new"}
    assert mode_of(target + "/t/added") == 0o666 & ~MASK


def test_so_do_more_files_than_the_node_puts_in_place_together(script_node, places):
    source, target = places
    for number in range(210):
        make("%s/t/%d" % (source, number), 0o644)
        if number % 3:
            make("%s/t/%d" % (target, number), 0o600 if number % 2 else 0o660, b"old")
    up(script_node, source + "/t", target, TREE)
    expected = [0o640 if not n % 3 else 0o600 if n % 2 else 0o660 for n in range(210)]
    assert [mode_of("%s/t/%d" % (target, number)) for number in range(210)] == expected


@both_ways
def test_preserve_brings_the_modes_of_the_source(script_node, places, copy):
    source, target = places
    make(source + "/t/a", 0o644)
    make(target + "/t/a", 0o600, b"old")
    copy(script_node, source + "/t", target, TREE._replace(preserve=True))
    assert mode_of(target + "/t/a") == 0o644


@both_ways
def test_a_link_neither_keeps_a_mode_nor_changes_one_elsewhere(script_node, places, copy):
    source, target = places
    make(source + "/t/file", 0o644)
    make(source + "/t/data", 0o644)
    os.symlink("data", source + "/t/link")
    os.symlink("none", source + "/t/dangling")
    make(target + "/secret", 0o600)
    os.symlink("../secret", target + "/t/file")
    make(target + "/t/link", 0o600)
    make(target + "/t/dangling", 0o600)
    copy(script_node, source + "/t", target, TREE)
    assert os.readlink(target + "/t/link") == "data"
    assert os.readlink(target + "/t/dangling") == "none"
    assert not os.path.islink(target + "/t/file")
    modes = [mode_of(target + name) for name in ("/secret", "/t/file", "/t/data")]
    assert modes == [0o600, 0o644 & ~MASK, 0o644 & ~MASK]


@pytest.mark.may_skip
@needs_root
@both_ways
@pytest.mark.parametrize("options", [CopyOptions(), TREE], ids=["file", "tree"])
def test_a_replaced_file_keeps_its_owner(script_node, places, copy, options):
    source, target = places
    make(source + "/t/a", 0o644)
    make(target + "/t/a", 0o600, b"old")
    os.chown(target + "/t/a", USER, USER)
    os.chmod(target + "/t/a", 0o4600)  # which a change of the owner takes away
    if options is TREE:
        copy(script_node, source + "/t", target, options)
    else:
        copy(script_node, source + "/t/a", target + "/t/a", options)
    status = os.stat(target + "/t/a")
    assert (status.st_uid, status.st_gid) == (USER, USER)
    assert mode_of(target + "/t/a") == (0o4600 if copy is up else 0o600)
    assert read(target + "/t/a") == b"new"


@pytest.fixture(params=["dash", "busybox"])
def without_stat(request, tmp_path):
    """A node that has no stat: ls tells the same there."""
    if not shutil.which(request.param):
        pytest.skip("needs " + request.param)
    tools = [name for name in TOOLS if name != "stat"]
    if request.param == "busybox":
        return ScriptNode(("busybox", "sh"), tools, tmp_path / "bin", "busybox")
    return ScriptNode((request.param,), tools, tmp_path / "bin")


@pytest.mark.parametrize("options", [CopyOptions(), TREE], ids=["file", "tree"])
def test_without_stat_a_replaced_file_keeps_its_mode_and_owner(without_stat, places, options):
    source, target = places
    owner = USER if os.geteuid() == 0 else os.geteuid()
    modes = [0o600, 0o4750, 0o6711, 0o4600, 0o2604, 0o1777, 0o000]
    names = {"sp ace\nnew line %o" % mode: mode for mode in modes}
    names["a"] = 0o4750
    for name, mode in names.items():
        make("%s/t/%s" % (source, name), 0o644)
        make("%s/t/%s" % (target, name), 0o644, b"old")
        os.chown("%s/t/%s" % (target, name), owner, -1)
        os.chmod("%s/t/%s" % (target, name), mode)
        if options is not TREE:
            up(without_stat, "%s/t/%s" % (source, name), target + "/t", options)
    if options is TREE:
        up(without_stat, source + "/t", target, options)
    found = {name: os.stat("%s/t/%s" % (target, name)) for name in names}
    assert {status.st_uid for status in found.values()} == {owner}
    kept = {name: oct(mode & 0o6777) for name, mode in names.items()}
    assert {name: oct(status.st_mode & 0o7777) for name, status in found.items()} == kept
    for name in names:
        os.chmod("%s/t/%s" % (target, name), 0o600)
        assert read("%s/t/%s" % (target, name)) == b"new"


@pytest.mark.parametrize("options", [CopyOptions(), TREE], ids=["file", "tree"])
def test_without_stat_what_is_new_has_the_mode_of_the_source(without_stat, places, options):
    source, target = places
    make(source + "/t/a", 0o757)
    if options is TREE:
        up(without_stat, source + "/t", target, options)
    else:
        up(without_stat, source + "/t/a", target + "/t", options)
    assert mode_of(target + "/t/a") == 0o757 & ~MASK


def test_a_node_that_cannot_tell_modes_replaces_no_file_of_a_tree(places, tmp_path):
    source, target = places
    tools = [name for name in TOOLS if name not in ("stat", "ls")]
    make(source + "/t/a", 0o644)
    make(target + "/t/a", 0o600, b"old")
    with pytest.raises(CopyFailed, match="cannot read the modes of what is in .*/to/t"):
        up(ScriptNode(tools=tools, folder=tmp_path / "bin"), source + "/t", target, TREE)
    assert read(target + "/t/a") == b"old"


# --- What is read-only, to an ordinary user


@pytest.fixture
def open_place():
    with own_place() as root:
        yield root


def make_read_only(root):
    """Directories that are new, and that are there already, and one in another."""
    for name in ("new", "both", "both/d", "both/d/new"):
        os.makedirs("%s/%s" % (root, name))
        make("%s/%s/f" % (root, name), 0o644)
    make(root + "/f", 0o644)
    os.symlink("new", root + "/link")
    for name in ("new", "both/d/new", "both/d", "both", "."):
        os.chmod("%s/%s" % (root, name), 0o555)


@pytest.mark.parametrize("preserve", [False, True], ids=["", "preserved"])
def test_read_only_directories_are_put_into_one_that_is_there(open_place, preserve):
    source, target = open_place + "/t", open_place + "/to/t"
    os.makedirs(target + "/both/d")
    make_read_only(source)
    give(open_place)
    options = TREE._replace(preserve=preserve)
    up(ScriptNode(SHELL), source, open_place + "/to", options)
    found = tree_state(target)
    assert found.keys() == tree_state(source).keys()
    for name in ("new", "both/d/new"):
        assert mode_of(target + "/" + name) == (0o555 if preserve else 0o550)
    for name in ("both/d", "both", "."):
        assert mode_of(target + "/" + name) == 0o777 & ~MASK  # as it was
    assert os.listdir(open_place + "/to") == ["t"]


@pytest.mark.may_skip
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the source")
@pytest.mark.parametrize("mode", [0o000, 0o111, 0o300, 0o400], ids=oct)
def test_a_directory_of_any_mode_keeps_it(open_place, mode):
    source, target = open_place + "/t", open_place + "/to/t"
    os.makedirs(target + "/both")
    for name in ("new", "both"):
        os.makedirs("%s/%s" % (source, name))
        make("%s/%s/f" % (source, name), 0o644)
        os.chmod("%s/%s" % (source, name), mode)
    give(open_place)
    up(ScriptNode(SHELL), source, open_place + "/to", TREE._replace(preserve=True))
    assert mode_of(target + "/new") == mode
    for name in ("new", "both"):
        os.chmod("%s/%s" % (target, name), 0o700)
        assert read("%s/%s/f" % (target, name)) == b"new"
