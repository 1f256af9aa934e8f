import io
import tarfile

import pytest

from ssm_plugin.copying.tar_reader import (
    DIRECTORY,
    FILE,
    LINK,
    OTHER,
    members,
    parts_of,
    stays_inside,
)
from ssm_plugin.errors import RemoteError

LONG = "d" * 90 + "/" + "é" * 60 + "/" + "n" * 150


def tar(*infos, format=tarfile.GNU_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape") as archive:
        for info in infos:
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    out.seek(0)
    return out


def entry(name, **fields):
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_both_formats(format):
    found = list(
        members(
            tar(
                entry(LONG, size=1000, mode=0o640, mtime=5),
                entry("d", type=tarfile.DIRTYPE, mode=0o755),
                entry("l", type=tarfile.SYMTYPE, linkname=LONG),
                entry("f", type=tarfile.FIFOTYPE),
                entry("\udcff", size=1),
                entry("v7/", type=tarfile.AREGTYPE),
                format=format,
            )
        )
    )
    assert [one.kind for one in found] == [FILE, DIRECTORY, LINK, OTHER, FILE, DIRECTORY]
    assert found[0][1:] == (LONG.encode(), b"", 1000, 0o640, 5 * 10 ** 9)
    assert found[2].link == LONG.encode()
    assert found[4].name == b"\xff"


def test_the_file_stands_at_the_content_of_a_member():
    file = tar(entry("a", size=3), entry("b", size=600))
    assert [file.read(member.size) for member in members(file)] == [b"xxx", b"x" * 600]


def test_fractions_of_seconds_are_kept_where_a_tar_has_them():
    file = tar(entry("a", mtime=1.25), format=tarfile.PAX_FORMAT)
    assert [member.mtime for member in members(file)] == [1250000000]


@pytest.mark.parametrize(
    "data", [b"x" * 512, tar(entry("a")).getvalue()[:100], b"\xff" * 512, b"a" + bytes(511)]
)
def test_what_is_no_tar_is_refused(data):
    with pytest.raises(RemoteError, match="cannot be read"):
        list(members(io.BytesIO(data)))


def test_a_name_that_claims_gigabytes_is_refused_unread():
    info = entry("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=1 << 33)
    with pytest.raises(RemoteError, match="8589934592 bytes"):
        list(members(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT))))


@pytest.mark.parametrize(
    "records", [b"9999 path=x\n", b"x path=y\n", b"3 a", b"17 size=-1000000\n"]
)
def test_extended_headers_that_are_broken_are_refused(records):
    info = entry("x", type=tarfile.XHDTYPE, size=len(records))
    data = info.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0") + entry("a").tobuf()
    with pytest.raises(RemoteError, match="cannot be read"):
        list(members(io.BytesIO(data)))


@pytest.mark.parametrize("name", [b"/etc/x", b"../x", b"a/../../x", b"a/..", b".."])
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(RemoteError, match="leads out"):
        parts_of(name)


def test_names_that_stay_in():
    assert parts_of(b"./a//b/./c") == [b"a", b"b", b"c"]
    assert parts_of(b"./") == []


@pytest.mark.parametrize(
    "link, inside",
    [
        (b"x", True),
        (b"../x", True),
        (b"../../x", True),
        (b"../../../x", False),
        (b"/x", False),
        (b"", False),
        (b"y/../x", False),  # y may be a link itself
        (b"..", True),
    ],
)
def test_links_that_stay_inside_a_tree(link, inside):
    assert stays_inside([b"a", b"b", b"c"], link) is inside
