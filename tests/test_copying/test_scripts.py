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
from ssm_plugin.copying.places import PART, PREFIX, SUFFIX
from ssm_plugin.copying.upload import Upload
from ssm_plugin.errors import RemoteError
from tests.support.copies import ScriptNode, tree_state
from tests.support.measure import usage
from tests.support.threads import wait_until

TARGET = "i-demo"
SHELLS = [
    pytest.param(words, id=words[0] + "".join(words[1:]), marks=pytest.mark.skipif(
        not shutil.which(words[0]), reason="needs " + words[0]))
    for words in (("dash",), ("bash",), ("busybox", "sh"))
]
NEEDED = "sh base64 cat mv mkdir rm dd head tail wc tee sed ls stat chmod touch".split()
DIGESTS = ["sha256sum", "shasum", "openssl", "python3", "perl"]
DATA = bytes(range(256)) * 1000 + b"end"
AT_NODE = PREFIX + "0a1b2c3d" + SUFFIX
PLAIN = CopyOptions()
ALL = CopyOptions(recursive=True, preserve=True)
NAMES = ["plain", " sp ace ", "new\nline\n", "'q\"", "-rf", "{{x}}", "%s\\n", "é", "a:b", "*", "~"]
NAMES.append(b"\xff\xfe")


@pytest.fixture(params=SHELLS)
def script_node(request):
    return ScriptNode(request.param)


@pytest.fixture
def places(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    return str(tmp_path / "here"), str(tmp_path / "there")


def write(path, data=DATA):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def down(script_node, source, destination, options=PLAIN):
    work = Download(TARGET, source, destination, options)
    try:
        status, said = script_node.run(work)
        if status:
            raise CopyFailed(said.decode())
        return work.finish()
    finally:
        work.close()


def up(script_node, source, destination, options=PLAIN):
    work = Upload(TARGET, source, destination, options)
    status, said = script_node.run(work)
    if work.failure:
        raise work.failure
    if status:
        raise CopyFailed(said.decode())
    return work.finish()


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


def test_a_file_that_shrinks_meanwhile_is_not_copied(script_node, places):
    here, there = places
    write(there + "/a", DATA * 10)
    work = Download(
        TARGET, there + "/a", here, PLAIN, False, lambda progress: os.truncate(there + "/a", 10)
    )
    status, said = script_node.run(work)
    work.close()
    assert (status, said) == (1, b"it has shrunk while it was being copied\n")
    assert os.listdir(here) == ["a" + PART]


def make_tree(root):
    for folder in ("", "/d", "/d/empty", "/d/.hidden"):
        os.mkdir(root + folder)
    for name in NAMES + ["d/" + "x" * 200, "d/.hidden/f"]:
        write(os.path.join(os.fsencode(root), os.fsencode(name)), os.fsencode(name))
    os.symlink("../plain", root + "/d/link")
    os.chmod(root + "/plain", 0o751)
    os.utime(root + "/plain", (1e9, 1e9))
    os.utime(root + "/d", (1e9, 1e9))
    os.utime(root + "/d/.hidden", (1.1e9, 1.1e9))
    os.utime(root, (1.2e9, 1.2e9))
    os.chmod(root + "/d/empty", 0o500)


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


def test_a_part_is_gone_on_from_where_it_agrees(script_node, places):
    here, there = places
    for copy, source, target in ((up, here, there), (down, there, here)):
        write(source + "/a")
        for part, resumed in ((DATA[:100000], 100000), (b"wrong", 0), (DATA, len(DATA))):
            write(target + "/a" + (AT_NODE if copy is up else PART), part)
            copied = copy(script_node, source + "/a", target, CopyOptions(resume=True))
            assert copied.resumed == resumed
            assert read(target + "/a") == DATA and os.listdir(target) == ["a"]
            os.unlink(target + "/a")
        write(target + "/a" + (AT_NODE if copy is up else PART), DATA[:100000])
        assert copy(script_node, source + "/a", target).resumed == 0
        os.unlink(target + "/a")
        os.unlink(source + "/a")


def test_what_an_earlier_copy_at_the_node_still_writes_is_not_in_the_file(script_node, places):
    """Its process may be there, although nobody is at the other end of its session any more."""
    here, there = places
    write(here + "/a")
    write(there + "/a" + AT_NODE, DATA[:1000])
    with open(there + "/a" + AT_NODE, "ab", buffering=0) as earlier:
        copied = up(script_node, here + "/a", there, CopyOptions(resume=True))
        earlier.write(b"late")
    assert copied.resumed == 1000
    assert read(there + "/a") == DATA and os.listdir(there) == ["a"]


def test_a_copy_whose_part_another_one_at_the_node_has_removed_says_so(places):
    here, there = places
    write(here + "/a")
    work = Upload(TARGET, here + "/a", there, PLAIN)
    read_input, pieces = work.read_input, []

    def parts():
        return [there + "/" + name for name in os.listdir(there)]

    def feed():
        pieces.append(read_input())
        if len(pieces) == 3:  # the first one says what comes
            wait_until(lambda: os.path.getsize(parts()[0]))
            os.unlink(parts()[0])
        return pieces[-1]

    work.read_input = feed
    status, said = ScriptNode().run(work)
    assert status and b"another copy to the same place" in said


def test_only_one_copy_here_writes_to_a_part(places):
    here, there = places
    write(there + "/a")
    work = Download(TARGET, there + "/a", here, PLAIN)
    with pytest.raises(CopyFailed, match="another copy to the same place"):
        Download(TARGET, there + "/a", here, PLAIN)
    ScriptNode().run(work)
    work.finish()
    work.close()
    assert read(here + "/a") == DATA and os.listdir(here) == ["a"]


def test_a_copy_that_has_ended_leaves_the_part_of_the_next_one_alone(places):
    here, there = places
    write(there + "/a")
    first = Download(TARGET, there + "/a", here + "/a", PLAIN)
    assert ScriptNode().run(first) == (0, b"")
    first.finish()
    second = Download(TARGET, there + "/a", here + "/a", PLAIN)
    first.close()
    assert ScriptNode().run(second) == (0, b"")
    assert second.finish().status == 0
    second.close()
    assert os.listdir(here) == ["a"]


@pytest.mark.may_skip
def test_a_time_beyond_the_calendar_is_no_hindrance(places):
    if not os.path.isdir("/dev/shm"):
        pytest.skip("needs a file system that knows such times")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as here:
        write(here + "/a")
        os.utime(here + "/a", (4e18, 4e18))
        up(ScriptNode(), here + "/a", places[1] + "/a")
    assert read(places[1] + "/a") == DATA


def test_a_part_of_a_tree_is_gone_on_from(script_node, places):
    here, there = places
    make_tree(there + "/t")
    os.makedirs(here + "/small/t")
    options = ALL._replace(resume=True)
    whole = down(script_node, there + "/t", here, options).size
    # The beginning of the tar that the node makes is that of the last copy.
    work = Download(TARGET, there + "/t", here + "/u", options)
    pieces = []
    work.output, output = lambda data: (pieces.append(data), output(data)), work.output
    script_node.run(work)
    work.close()
    part = here + "/u" + PART
    os.truncate(part, whole // 2)
    copied = down(script_node, there + "/t", here + "/u", options)
    assert copied.resumed == whole // 2
    assert tree_state(here + "/u") == tree_state(there + "/t")


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


def test_a_local_file_that_shrinks_meanwhile_leaves_only_a_part_there(places):
    here, there = places
    write(here + "/a", DATA * 4)
    work = Upload(TARGET, here + "/a", there, PLAIN)
    read_input, count = work.read_input, [0]

    def read_and_shrink():
        count[0] += 1
        if count[0] == 3:
            os.truncate(here + "/a", 200000)
        return read_input()

    work.read_input = read_and_shrink
    status, _ = ScriptNode().run(work)
    assert status == 1 and "has shrunk" in str(work.failure)
    part, = os.listdir(there)
    assert part.endswith(SUFFIX) and os.path.getsize(os.path.join(there, part)) <= 200000


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
