"""The node's scripts in the shells that nodes have, with the tools that they may have."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from ssm_plugin.copying.download import Download
from ssm_plugin.copying.node_script import GIVEN_UP
from ssm_plugin.copying.options import CopyFailed, CopyOptions
from ssm_plugin.copying.upload import Upload
from ssm_plugin.errors import RemoteError
from tests.support.copies import (
    DATA,
    NAMES,
    NEEDED,
    PLAIN,
    ScriptNode,
    down,
    make_tree,
    read,
    tree_state,
    up,
    write,
)
from tests.support.measure import usage
from tests.support.running import TARGET

DIGESTS = ["sha256sum", "shasum", "openssl", "python3", "perl"]
ALL = CopyOptions(recursive=True, preserve=True)


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "byte", "256000"])
@pytest.mark.parametrize("compress", [False, True], ids=["", "compressed"])
def test_a_file_both_ways(script_node, places, data, compress):
    here, there = places
    write(there + "/a", data)
    options = CopyOptions(compress=compress)
    assert down(script_node, there + "/a", here, options).size == len(data)
    assert up(script_node, here + "/a", there + "/b", options).size == len(data)
    assert read(here + "/a") == read(there + "/b") == data
    assert sorted(os.listdir(here) + os.listdir(there)) == ["a", "a", "b"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_any_name_both_ways(places, name):
    here, there = places
    name = os.fsdecode(name)
    node = ScriptNode()
    write(os.path.join(there, name))
    down(node, os.path.join(there, name), here)
    os.unlink(os.path.join(there, name))
    up(node, os.path.join(here, name), there)
    up(node, os.path.join(here, name), os.path.join(there, name + "2"))
    assert sorted(os.listdir(there)) == sorted([name, name + "2"])
    assert read(os.path.join(there, name)) == DATA


def test_a_tree_both_ways_with_modes_and_times(script_node, places):
    here, there = places
    make_tree(there + "/t")
    down(script_node, there + "/t", here, ALL)
    assert tree_state(here + "/t") == tree_state(there + "/t")
    up(script_node, here + "/t", there + "/t2", ALL)
    assert tree_state(there + "/t2") == tree_state(there + "/t")
    assert sorted(os.listdir(there)) == ["t", "t2"] and os.listdir(here) == ["t"]


def test_a_tree_into_one_that_is_there_replaces_and_adds(script_node, places):
    here, there = places
    make_tree(there + "/t")
    for root in (here + "/t", there + "/u/t"):
        os.makedirs(root + "/d/.hidden")
        write(root + "/plain", b"old")
        write(root + "/own", b"own")
        write(root + "/d/.hidden/own", b"own")
    down(script_node, there + "/t", here, ALL)
    up(script_node, there + "/t", there + "/u", ALL)
    expected = tree_state(there + "/t")
    for root in (here + "/t", there + "/u/t"):
        os.unlink(root + "/d/.hidden/own")
        os.unlink(root + "/own")
        found = tree_state(root)
        # Of what was there, the mode stays, and the time is that of what has just been removed.
        for name in (b".", b"d/.hidden"):
            assert found.pop(name)[0] == expected[name][0]
        assert found == {name: expected[name] for name in found}
        assert len(found) == len(expected) - 2


@pytest.mark.parametrize("digest", DIGESTS)
def test_one_digest_is_enough(places, tmp_path, digest):
    if not shutil.which(digest):
        pytest.skip("needs " + digest)
    here, there = places
    tools = NEEDED + [digest] + (["env"] if digest == "shasum" else [])
    node = ScriptNode(tools=tools + (["perl"] if digest == "shasum" else []), folder=tmp_path / "b")
    write(here + "/a")
    up(node, here + "/a", there)
    down(node, there + "/a", here + "/b")
    assert read(here + "/b") == DATA


@pytest.mark.parametrize(
    "without, said",
    [
        (DIGESTS, "the node has none of sha256sum"),
        (["base64"], "the node has no base64"),
        (["mv"], "the node has no mv"),
        (["tar"], "the node has no tar"),
    ],
    ids=["digests", "base64", "mv", "tar"],
)
def test_what_is_missing_is_named(places, tmp_path, without, said):
    here, there = places
    tools = [name for name in NEEDED + ["sha256sum"] if name not in without]
    node = ScriptNode(tools=tools, folder=tmp_path / "bin")
    for copy in (down, up):
        os.makedirs(here + "/t", exist_ok=True)
        with pytest.raises(CopyFailed, match=said):
            copy(node, here + "/t", there + "/u", ALL)
    assert os.listdir(there) == []


def test_modes_and_times_are_kept_on_request_and_an_old_files_mode_otherwise(script_node, places):
    here, there = places
    for copy, source, target in ((up, here, there), (down, there, here)):
        write(source + "/a")
        os.chmod(source + "/a", 0o640)
        os.utime(source + "/a", (1e9, 1e9))
        copy(script_node, source + "/a", target + "/kept", CopyOptions(preserve=True))
        status = os.stat(target + "/kept")
        assert (status.st_mode & 0o7777, status.st_mtime) == (0o640, 1e9)
        write(target + "/old", b"")
        os.chmod(target + "/old", 0o604)
        copy(script_node, source + "/a", target + "/old")
        assert os.stat(target + "/old").st_mode & 0o7777 == 0o604
        assert read(target + "/old") == DATA
        copy(script_node, source + "/a", target + "/new")
        assert os.stat(target + "/new").st_mode & 0o7777 == 0o640 & ~umask()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_to_a_file_keeps_leading_to_it(script_node, places):
    here, there = places
    for copy, source, target in ((up, here, there), (down, there, here)):
        write(source + "/a")
        write(target + "/real", b"")
        os.symlink("real", target + "/link")
        copy(script_node, source + "/a", target + "/link")
        assert os.readlink(target + "/link") == "real" and read(target + "/real") == DATA


@pytest.mark.may_skip
def test_a_time_beyond_the_calendar_is_no_hindrance(places):
    if not os.path.isdir("/dev/shm"):
        pytest.skip("needs a file system that knows such times")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as here:
        write(here + "/a")
        os.utime(here + "/a", (4e18, 4e18))
        up(ScriptNode(), here + "/a", places[1] + "/a")
    assert read(places[1] + "/a") == DATA


def test_as_root_it_is_sudo_that_runs_the_script():
    options = CopyOptions(sudo=True)
    work = Upload(TARGET, __file__, "/etc/x", options)
    assert list(work.argv())[:4] == ["sudo", "-n", "sh", "-c"]


def test_a_node_that_says_something_else_is_not_believed(places):
    here, there = places
    head = b"head f 1 644 0 "
    for text in (
        b"hello\n", head + b"0\n", head + b"x -\n", head + b"7 -\n", b"x" * 5000,
        head + b"0 -\nA\n!0 " + b"0" * 5000,
    ):
        work = Download(TARGET, there + "/a", here, PLAIN)
        with pytest.raises(RemoteError):
            work.output(text)
            work.finish()
        work.close()
    for text in (b"x" * 5000, b"hello\n"):
        work = Upload(TARGET, __file__, there, PLAIN)
        with pytest.raises(RemoteError):
            work.output(text)
            assert GIVEN_UP.encode() in b"".join(iter(work.read_input, b""))
            work.finish()
    assert os.listdir(here) == os.listdir(there) == []


def test_what_a_node_says_without_end_during_an_upload_is_not_kept(places):
    work = Upload(TARGET, __file__, places[1], PLAIN)
    before = usage(os.getpid()).memory
    for _ in range(100):
        work.output((b"x" * 4000 + b"\n") * 100)
    assert usage(os.getpid()).memory - before < 20 << 20


def test_the_rest_of_a_copy_that_has_failed_is_for_a_reader_who_may_be_gone():
    program = (
        "from ssm_plugin.copying.download import CopyOptions, Download\n"
        "work = Download('i-1', '/a', None, CopyOptions())\n"
        "work.output(b'head f 1 644 0 0 -\\n')\n"
        "work.output(b'YQ==')\n"
        "work.close()\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        subprocess.check_call([sys.executable, "-c", program], stdout=stdout)


def test_a_wrong_digest_leaves_nothing_here(places):
    here, there = places
    work = Download(TARGET, there + "/a", here, PLAIN)
    work.output(b"head f 1 644 0 0 -\nYQ==\n!0 %s\n" % (b"0" * 64))
    with pytest.raises(CopyFailed, match="SHA-256 at the node is 0000.*, and here ca978112"):
        work.finish()
    work.close()
    assert os.listdir(here) == []


MISTAKES = [
    ("{0}/none", "{0}", "No such file"),
    ("{0}/d", "{0}", "-r"),
    ("{0}/fifo", "{0}", "neither a file|not a regular file"),
    ("{0}/a", "{0}/d/", None),
    ("{0}/a", "{0}/none/", "there is no such directory|no directory"),
    ("{0}/a", "{0}/none/x", "(?i)no such|nonexistent|no directory"),
    ("{0}/a", "{0}/a/x", "(?i)not a directory|no directory|can(no|')t create"),
    ("{0}/a", "{0}/fifo", "not a regular file"),
    ("{0}/a", "{0}/dd", "is a directory"),
]


@pytest.mark.parametrize("source, destination, said", MISTAKES)
@pytest.mark.parametrize("copy", [up, down])
def test_mistakes_are_named_and_leave_nothing(script_node, places, copy, source, destination, said):
    near, far = places if copy is up else places[::-1]
    for root in places:
        write(root + "/a")
        os.mkdir(root + "/d")
        os.makedirs(root + "/dd/a")
        os.mkfifo(root + "/fifo")
    source, destination = source.format(near), destination.format(far)
    before = sorted(os.listdir(far))
    if said is None:
        copy(script_node, source, destination)
        assert read(far + "/d/a") == DATA
        return
    with pytest.raises(CopyFailed, match=said) as raised:
        copy(script_node, source, destination)
    assert "\n" not in str(raised.value).strip("\n")
    assert sorted(os.listdir(far)) == before
