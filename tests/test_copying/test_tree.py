import io
import os
import pathlib
import tarfile

import pytest

from ssm_plugin.copying.options import CopyFailed, Skipped
from ssm_plugin.copying.tree import Unpacking, put_in_place, remove_tree, tar_of, tree_size
from ssm_plugin.errors import RemoteError
from tests.support.copies import tree_state
from tests.support.ordinary_user import ordinary_user, own_place
from tests.test_copying.test_tar_reader import entry, tar


@pytest.fixture
def unpack(tmp_path):
    """Unpacks into ``tmp_path / "new"``; what was skipped."""

    def unpack(file):
        skipped = Skipped()
        Unpacking(str(tmp_path / "new"), False, skipped, lambda: None).run(file)
        return skipped.told()

    return unpack


def everything(folder):
    return sorted(os.path.relpath(os.path.join(at, name), str(folder))
                  for at, folders, files in os.walk(str(folder)) for name in folders + files)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_a_name_that_leads_out_ends_it(unpack, tmp_path, name):
    with pytest.raises(RemoteError, match="leads out"):
        unpack(tar(entry("a", type=tarfile.DIRTYPE), entry(name, size=1)))
    assert everything(tmp_path) == ["new", "new/a"]


@pytest.mark.parametrize("link", ["..", "../..", "/tmp", "a/../.."])
def test_nothing_is_written_through_a_link(unpack, tmp_path, link):
    with pytest.raises(RemoteError, match="twice"):
        unpack(
            tar(
                entry("a", type=tarfile.DIRTYPE),
                entry("a/out", type=tarfile.SYMTYPE, linkname="x"),
                entry("a/out/x", size=1),
            )
        )
    remove_tree(str(tmp_path / "new"))
    skipped = unpack(
        tar(entry("l", type=tarfile.SYMTYPE, linkname=link), entry("l/x", size=1))
    )
    assert skipped == ("l: a link that leads out of the directory",)
    assert "new/l/x" in everything(tmp_path) and not os.path.exists(str(tmp_path / "x"))


def test_a_hard_link_leads_only_to_what_is_in_the_tree(unpack, tmp_path):
    (tmp_path / "secret").write_text("s")
    unpack(tar(entry("a", size=1), entry("d/b", type=tarfile.LNKTYPE, linkname="./a")))
    assert os.stat(str(tmp_path / "new" / "d" / "b")).st_nlink == 2
    remove_tree(str(tmp_path / "new"))
    with pytest.raises(RemoteError, match="leads out"):
        unpack(tar(entry("c", type=tarfile.LNKTYPE, linkname="../secret")))
    remove_tree(str(tmp_path / "new"))
    with pytest.raises(CopyFailed, match="No such file"):
        unpack(tar(entry("c", type=tarfile.LNKTYPE, linkname="none")))


def test_neither_devices_nor_pipes_are_made_and_no_file_gets_anothers_rights(unpack, tmp_path):
    skipped = unpack(
        tar(
            entry("dev", type=tarfile.CHRTYPE),
            entry("pipe", type=tarfile.FIFOTYPE),
            entry("suid", size=1, mode=0o6777),
            entry("twice", size=1),
            entry("twice", size=2),
        )
    )
    assert skipped == tuple(
        name + ": not a file, a directory or a link" for name in ("dev", "pipe"))
    assert os.stat(str(tmp_path / "new" / "suid")).st_mode & 0o7000 == 0
    assert os.stat(str(tmp_path / "new" / "twice")).st_size == 2


def test_of_a_link_that_comes_twice_the_last_one_counts(unpack, tmp_path):
    links = [
        entry(name, type=kind, linkname=to)
        for name, kind in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE))
        for to in ("a", "b")
    ]
    assert unpack(tar(entry("a", size=1), entry("b", size=2), *links)) == ()
    assert os.readlink(str(tmp_path / "new" / "soft")) == "b"
    assert os.stat(str(tmp_path / "new" / "hard")).st_size == 2


def test_a_directory_that_somebody_has_prepared_is_not_unpacked_into(unpack, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(0o755)
    (tmp_path / "new").symlink_to("theirs")
    with pytest.raises(CopyFailed, match="File exists"):
        unpack(tar(entry("a", size=1)))
    remove_tree(str(tmp_path / "new"))
    assert everything(tmp_path) == ["theirs"]
    assert os.stat(str(tmp_path / "theirs")).st_mode & 0o777 == 0o755
    (tmp_path / "new").mkdir()
    with pytest.raises(CopyFailed, match="File exists"):
        unpack(tar(entry("a", size=1)))


def test_a_tar_that_ends_in_a_file_is_refused(unpack):
    with pytest.raises(RemoteError, match="middle of a file"):
        unpack(io.BytesIO(tar(entry("a", size=600)).getvalue()[:700]))


@pytest.mark.parametrize(
    "fields", [{"mtime": 1 << 70}, {"size": 1 << 70, "type": tarfile.SYMTYPE, "linkname": "b"}]
)
def test_numbers_that_no_system_knows_end_it(tmp_path, fields):
    file = io.BytesIO(entry("a", **fields).tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(CopyFailed, match="cannot unpack"):
        Unpacking(str(tmp_path / "new"), True, Skipped(), lambda: None).run(file)


def test_many_things_left_out_are_counted(unpack):
    skipped = unpack(tar(*[entry("f%d" % n, type=tarfile.FIFOTYPE) for n in range(30)]))
    assert len(skipped) == 11 and skipped[-1] == "and 20 more"


def test_our_tar_is_one_that_others_read_and_as_long_as_foretold(tmp_path):
    root = tmp_path / "t"
    (root / "d").mkdir(parents=True)
    (root / "d" / "a").write_bytes(b"x" * 1000)
    (root / "l").symlink_to("d/a")
    (root / "out").symlink_to("/etc")
    os.mkfifo(str(root / "pipe"))
    skipped = Skipped()
    data = b"".join(tar_of(str(root), skipped))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == [".", "./d", "./d/a", "./l"]
        assert archive.extractfile("./l").read() == b"x" * 1000
    assert len(skipped.told()) == 2
    assert tree_size(str(root)) - len(data) == 2 * 512  # of what is left out
    assert b"".join(tar_of(str(root), skipped)) == data


def test_a_file_that_shrinks_meanwhile_ends_it(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100000)
    pieces = tar_of(str(tmp_path), Skipped())
    next(pieces), next(pieces), next(pieces)
    os.truncate(str(tmp_path / "a"), 70000)
    with pytest.raises(CopyFailed, match="has shrunk"):
        list(pieces)


def test_a_directory_that_vanishes_meanwhile_ends_it(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pieces = tar_of(str(tmp_path), Skipped())
    next(pieces), next(pieces)
    (tmp_path / "b").rmdir()
    with pytest.raises(CopyFailed, match="cannot read .*b: No such file"):
        list(pieces)


def make(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_a_tree_is_put_into_one_that_is_there(tmp_path):
    make(tmp_path / "new", a="1", d__b="2", e__f__c="3")
    make(tmp_path / "old", a="0", d__x="4")
    (tmp_path / "new" / "e").chmod(0o500)
    put_in_place(str(tmp_path / "new"), str(tmp_path / "old"), False, 0o755)
    assert everything(tmp_path) == [
        "old", "old/a", "old/d", "old/d/b", "old/d/x", "old/e", "old/e/f", "old/e/f/c"]
    assert (tmp_path / "old" / "a").read_text() == "1"
    remove_tree(str(tmp_path / "old"))
    assert everything(tmp_path) == []


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o555], ids=oct)
def test_directories_that_are_read_only_are_put_into_one_that_is_there(mode):
    with own_place() as folder, ordinary_user():
        root = pathlib.Path(folder)
        make(root / "new", a="1", d__b="2", e__c="3", d__f__g="4")
        (root / "old" / "d").mkdir(parents=True)
        for name in ("d/f", "d", "e", "."):
            (root / "new" / name).chmod(mode)
        put_in_place(str(root / "new"), str(root / "old"), False, mode)
        for name in ("d/f", "e"):
            assert (root / "old" / name).stat().st_mode & 0o777 == mode
            (root / "old" / name).chmod(0o700)
        assert everything(root) == ["old"] + [
            "old/" + name for name in "a d d/b d/f d/f/g e e/c".split()]


def test_a_hard_link_does_not_bring_a_replaced_file_the_mode_of_another(tmp_path):
    make(tmp_path / "new", a="1")
    os.link(str(tmp_path / "new" / "a"), str(tmp_path / "new" / "b"))
    make(tmp_path / "old", a="0", b="0")
    (tmp_path / "old" / "a").chmod(0o600)
    (tmp_path / "old" / "b").chmod(0o644)
    put_in_place(str(tmp_path / "new"), str(tmp_path / "old"), False, 0o755)
    found = [(tmp_path / "old" / name).stat().st_mode & 0o777 for name in "ab"]
    assert found == [0o600, 0o644]
    assert [(tmp_path / "old" / name).read_text() for name in "ab"] == ["1", "1"]
    assert everything(tmp_path) == ["old", "old/a", "old/b"]


def test_nobody_else_gets_into_a_tree_before_it_is_in_place(tmp_path):
    root = tmp_path / "new"
    unpacking = Unpacking(str(root), True, Skipped(), lambda: None)
    unpacking.run(tar(entry(".", type=tarfile.DIRTYPE, mode=0o777), entry("a", mode=0o666)))
    assert root.stat().st_mode & 0o777 == 0o700
    put_in_place(str(root), str(tmp_path / "t"), True, unpacking.mode)
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o777


@pytest.mark.parametrize("old, said", [("a__x", "Is a directory"), ("d", "not a directory")])
def test_a_file_and_a_directory_do_not_replace_each_other(tmp_path, old, said):
    make(tmp_path / "new", a="1", d__b="2")
    make(tmp_path / "old", **{old: "0"})
    before = tree_state(tmp_path / "old").keys()
    with pytest.raises(CopyFailed, match=said):
        put_in_place(str(tmp_path / "new"), str(tmp_path / "old"), False, 0o755)
    assert before <= tree_state(tmp_path / "old").keys()


def test_a_link_to_a_directory_is_not_followed(tmp_path):
    make(tmp_path / "new", d__b="2")
    make(tmp_path / "elsewhere", x="0")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CopyFailed, match="not a directory"):
        put_in_place(str(tmp_path / "new"), str(tmp_path / "old"), False, 0o755)
    assert everything(tmp_path / "elsewhere") == ["x"]
