"""The part of a file or tree: how a copy goes on from it, and who else may write to it."""

import os

import pytest

from ssm_plugin.copying.download import Download
from ssm_plugin.copying.options import CopyFailed, CopyOptions
from ssm_plugin.copying.places import PART, PREFIX, SUFFIX
from ssm_plugin.copying.upload import Upload
from tests.support.copies import (
    DATA,
    PLAIN,
    ScriptNode,
    down,
    make_tree,
    read,
    tree_state,
    up,
    write,
)
from tests.support.running import TARGET
from tests.support.threads import wait_until

AT_NODE = PREFIX + "0a1b2c3d" + SUFFIX


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


def test_a_part_of_a_tree_is_gone_on_from(script_node, places):
    here, there = places
    make_tree(there + "/t")
    os.makedirs(here + "/small/t")
    options = CopyOptions(recursive=True, preserve=True, resume=True)
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
