import os
import resource
import threading
from datetime import datetime

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.jobs.sinks import (
    LONGEST_LINE,
    FileStreams,
    OutputDirectory,
    PrefixedStreams,
    open_fresh,
    open_output,
)
from ssm_plugin.nodes.targets import Found

LONG = "\u65e5" * 90

NOON = datetime(2024, 2, 3, 12)


@pytest.fixture
def pipe():
    """A write descriptor, and what to call for all that was written."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def written():
        try:
            return os.read(reader, 1 << 20)
        except BlockingIOError:
            return b""

    yield writer, written
    os.close(reader)
    os.close(writer)


def test_each_whole_line_gets_its_prefix_and_parts_wait(pipe):
    fd, written = pipe
    streams = PrefixedStreams("web1", threading.Lock(), fd)
    streams.output(b"one\ntw")
    assert written() == b"web1: one\n"
    streams.output(b"o\n\nthree")
    assert written() == b"web1: two\nweb1: \n"
    streams.flush()
    assert written() == b"web1: three\n"
    streams.flush()
    assert written() == b""


def test_a_carriage_return_ends_no_line(pipe):
    fd, written = pipe
    PrefixedStreams("a", threading.Lock(), fd).output(b"50%\r100%\r\n")
    assert written() == b"a: 50%\r100%\r\n"


def test_a_line_without_end_is_cut_so_that_memory_stays_bounded(pipe):
    fd, written = pipe
    os.set_blocking(fd, True)
    streams = PrefixedStreams("a", threading.Lock(), fd)
    streams.output(b"x" * (LONGEST_LINE - 100))
    assert written() == b""
    thread = threading.Thread(target=streams.output, args=(b"x" * 200,))
    thread.start()
    seen = b""
    while thread.is_alive() or len(seen) < LONGEST_LINE + 4:
        seen += written()
    thread.join()
    assert seen == b"a: " + b"x" * LONGEST_LINE + b"\n"


def test_a_file_that_cannot_take_more_now_is_waited_for_without_work(pipe):
    """``output: /dev/stdout`` may be a pipe that somebody else has made non-blocking."""
    fd, written = pipe
    os.set_blocking(fd, False)
    file = open_fresh("/dev/fd/%d" % fd)
    streams, taken = FileStreams(file, file), []

    def read():
        threading.Event().wait(0.5)
        while sum(taken) < 200000:
            taken.append(len(written()))

    thread = threading.Thread(target=read)
    began = resource.getrusage(resource.RUSAGE_THREAD)
    thread.start()
    streams.output(b"x" * 200000)
    ended = resource.getrusage(resource.RUSAGE_THREAD)
    assert ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime < 0.25
    thread.join()
    streams.finish()


def test_output_and_errors_go_to_files_as_they_come(tmp_path):
    out, err = str(tmp_path / "new" / "a.out"), str(tmp_path / "new" / "a.err")
    streams = FileStreams(open_fresh(out), open_fresh(err))
    streams.output(b"one\n")
    streams.error(b"oops\n")
    with open(out, "rb") as file:
        assert file.read() == b"one\n"
    streams.finish()
    with open(err, "rb") as file:
        assert file.read() == b"oops\n"
    assert os.stat(out).st_mode & 0o777 == 0o600


def test_a_fresh_file_replaces_what_was_there(tmp_path):
    path = tmp_path / "a"
    path.write_text("old and long")
    with open_fresh(str(path)) as file:
        file.write(b"new")
    assert path.read_text() == "new"


def test_a_path_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(LocalError) as caught:
        open_fresh(str(tmp_path))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
@pytest.mark.parametrize("opened", [open_fresh, lambda path: open_output(path, NOON, "i-1")])
def test_a_full_disk_is_an_error_that_names_the_file(opened):
    file = opened("/dev/full")
    streams = FileStreams(file, file)
    with pytest.raises(LocalError) as caught:
        streams.output(b"x")
    assert str(caught.value) == "cannot write to /dev/full: No space left on device"
    streams.finish()


def test_a_file_takes_more_than_one_write_can(tmp_path):
    """A pipe takes 64 KiB at once: the rest must not get lost."""
    path = tmp_path / "pipe"
    os.mkfifo(str(path))
    reader = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    file = open_fresh(str(path))
    streams = FileStreams(file, file)
    thread = threading.Thread(target=lambda: (streams.output(b"x" * 300000), streams.finish()))
    thread.start()
    seen = 0
    while seen < 300000:
        seen += len(os.read(reader, 65536))
    thread.join()
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize(
    "names, files",
    [
        (["a/b", "web-1"], ["a_b", "web-1"]),
        (["a/b", "a_b", "web"], ["i-0", "i-1", "web"]),
        (["Web", "web"], ["i-0", "i-1"]),
        (["..x", "x", "."], ["i-0", "i-1", "_"]),
        ([LONG], ["i-0"]),
    ],
)
def test_each_node_has_files_of_its_own_in_a_directory(tmp_path, names, files):
    nodes = [Found("i-%d" % number, name) for number, name in enumerate(names)]
    directory = OutputDirectory(str(tmp_path), nodes)
    for node in nodes:
        streams = directory.streams(node)
        streams.output(node.name.encode("utf-8"))
        streams.finish()
    assert sorted(os.listdir(str(tmp_path))) == sorted(
        file + end for file in files for end in (".err", ".out")
    )
    for node, file in zip(nodes, files):
        assert (tmp_path / (file + ".out")).read_text(encoding="utf-8") == node.name
