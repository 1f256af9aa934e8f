import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import ssm_plugin
from ssm_plugin.copying.options import CopyFailed
from ssm_plugin.copying.places import PART
from ssm_plugin.errors import SessionInterrupted, SsmPluginError, UsageError
from ssm_plugin.jobs.trailer_runner import FEED_LIMIT
from tests.support.commands import TIME_LIMIT, Cli
from tests.support.copies import Copies, node, tree_state
from tests.support.files import MIB, random_file, sha256
from tests.support.pty import PtyProcess
from tests.support.running import TARGET
from tests.support.threads import wait_until


@pytest.fixture
def there(tmp_path):
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def names(folder):
    return sorted(os.listdir(str(folder)))


def test_a_file_goes_there_and_comes_back(cli, tmp_path, there):
    digest = random_file(tmp_path / "a", 3 * MIB + 1)
    assert cli.run("cp", "a", node(there)) == (0, b"", b"")
    assert cli.run("cp", node(there / "a"), "b") == (0, b"", b"")
    assert sha256(there / "a") == sha256(tmp_path / "b") == digest
    assert names(there) == ["a"] and not [name for name in names(tmp_path) if PART in name]


def test_a_tree_goes_there_and_comes_back(cli, tmp_path, there):
    for name in ("t/a", "t/d/ü b", "t/d/e/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        random_file(tmp_path / name, 5000)
    (tmp_path / "t" / "link").symlink_to("d/e")
    assert cli.run("cp", "-rp", "t", node(there)) == (0, b"", b"")
    assert cli.run("cp", "-rp", node(there / "t"), "u") == (0, b"", b"")
    assert tree_state(tmp_path / "u") == tree_state(there / "t") == tree_state(tmp_path / "t")


def test_standard_input_and_output(cli, tmp_path, there):
    data = os.urandom(200000)
    assert cli.run("cp", "-", node(there / "a"), input=data) == (0, b"", b"")
    assert (there / "a").read_bytes() == data
    assert cli.run("cp", node(there / "a"), "-") == (0, data, b"")
    assert cli.run("cp", "-", node(there), input=data) == (
        1, b"", b"ssm-plugin: %s: it is a directory\n" % node(there).encode())


def test_standard_input_that_cannot_be_read_is_no_empty_file(cli, there):
    with open("/proc/self/mem", "rb") as unreadable:  # nothing is at its beginning
        for speed in ("auto", "plain"):
            status, _, stderr = cli.run(
                "cp", "-", node(there / "a"), "--speed", speed, stdin=unreadable
            )
            assert (status, stderr.count(b"\n")) == (1, 1)
            assert stderr.endswith(b"cannot read standard input: Input/output error\n")
    assert names(there) == []


def test_many_sources_and_one_that_is_missing(cli, tmp_path, there):
    for name in "abc":
        (there / name).write_text(name)
    (tmp_path / "to").mkdir()
    status, out, err = cli.run("cp", *[node(there / name) for name in "axc"], "to")
    assert (status, out) == (1, b"") and names(tmp_path / "to") == ["a", "c"]
    assert err.count(b"\n") == 1 and node(there / "x").encode() in err and b"No such file" in err
    status, out, err = cli.run("cp", "to/a", "to/c", node(there / "a"))
    assert status == 1 and err.count(b"there is no such directory") == 2


def test_many_targets_have_the_table_of_exec_and_the_worst_status(cli, tmp_path, there):
    # All nodes of a local service have one file system: one after the other.
    random_file(tmp_path / "a", 1000)
    status, out, err = cli.run("cp", "--parallel", "1", "a", "i-1,i-2:%s/x" % there)
    assert (status, out) == (0, b"")
    lines = err.decode().splitlines()
    assert lines[0].split() == ["TARGET", "STATUS", "SECONDS", "FILES", "BYTES", "REASON"]
    assert [line.split()[:2] + line.split()[3:] for line in lines[1:]] in (
        [["i-1", "0", "1", "1000"], ["i-2", "0", "1", "1000"]],)
    status, out, err = cli.run("cp", "a", "i-1,i-2:%s/none/x" % there)
    assert status == 1 and err.decode().count(":%s/none/x: " % there) == 2
    assert cli.run("cp", "--quiet", "--parallel", "1", "a", "i-1,i-2:%s/y" % there) == (0, b"", b"")


def test_json_has_a_result_for_each_file(cli, tmp_path, there):
    digest = random_file(tmp_path / "a", 1000)
    status, out, err = cli.run("cp", "--json", "a", "none", node(there))
    result = json.loads(out.decode())
    assert (status, err, result["status"]) == (1, b"", 1)
    target, = result["targets"]
    assert target["target"] == TARGET and target["session_id"]
    fields = ("source", "status", "bytes", "sha256")
    assert [[one[field] for field in fields] for one in target["files"]] == [
        ["a", 0, 1000, digest], ["none", 1, 0, None]]
    assert "No such file" in target["files"][1]["reason"]


@pytest.mark.parametrize("is_upload", [True, False], ids=["up", "down"])
def test_json_of_a_tree_has_a_line_for_each_file_of_it(cli, tmp_path, there, is_upload):
    root = (tmp_path if is_upload else there) / "t"
    (root / "d").mkdir(parents=True)
    digests = {"d/a": random_file(root / "d" / "a", 70000), "é": random_file(root / "é", 0)}
    (root / "link").symlink_to("d/a")
    (root / "out").symlink_to("/etc/passwd")
    with open(os.fsencode(str(root)) + b"/\xff", "w"):
        pass  # a name that is not UTF-8
    places = ["t", node(there)] if is_upload else [node(root), "."]
    status, out, err = cli.run("cp", "-r", "--json", *places)
    *lines, last = [json.loads(line) for line in out.decode("ascii").splitlines()]
    assert (status, err, last["status"]) == (1, b"", 1)
    file, = last["targets"][0]["files"]
    assert file["skipped"] == ["out: a link that leads out of the directory"]
    assert all((one["target"], one["source"]) == (TARGET, places[0]) or not is_upload
               for one in lines)
    found = {one["path"]: (one["kind"], one["status"], one["bytes"], one["sha256"])
             for one in lines}
    assert found == {
        "d/a": ("file", 0, 70000, digests["d/a"]),
        "é": ("file", 0, 0, digests["é"]),
        "\\xff": ("file", 0, 0, digests["é"]),
        "link": ("link", 0, 0, None),
        "out": ("other", 1, 0, None),
    }


def test_json_of_a_tree_that_was_not_copied_is_one_object(cli, tmp_path, there):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_text("a")
    (there / "t").write_text("in the way")
    status, out, err = cli.run("cp", "-r", "--json", "t", node(there))
    result = json.loads(out.decode("ascii"))
    assert (status, err, result["targets"][0]["files"][0]["sha256"]) == (1, b"", None)


def test_what_is_left_out_of_a_tree_is_named_and_the_status_says_so(cli, tmp_path, there):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "out").symlink_to("/etc/passwd")
    os.mkfifo(str(tmp_path / "t" / "pipe"))
    (tmp_path / "t" / "a").write_text("a")
    status, out, err = cli.run("cp", "-r", "t", node(there))
    assert (status, out) == (1, b"") and names(there / "t") == ["a"]
    assert err.decode().splitlines() == [
        "ssm-plugin: t was copied, but not all that is in it",
        "ssm-plugin: not copied: out: a link that leads out of the directory",
        "ssm-plugin: not copied: pipe: not a file, a directory or a link",
    ]
    # Of many targets once, as it is the same for all.
    status, out, err = cli.run("cp", "-r", "--parallel", "1", "t", "i-1,i-2:%s/u" % there)
    assert (status, out) == (1, b"")
    assert [" ".join(line.split()[:2]) for line in err.decode().splitlines()] == [
        "ssm-plugin: not", "ssm-plugin: not", "TARGET STATUS", "i-1 1", "i-2 1"
    ]


@pytest.mark.parametrize(
    "words, said",
    [
        (["a"], b"give a SOURCE and a DESTINATION"),
        (["a", "b"], b"both are on this machine"),
        (["i-1:a", "i-2:b"], b"copy from a node, then to the other"),
        (["i-1,i-2:a", "b"], b"files come from one target at a time"),
        (["-", "i-1,i-2:b"], b"standard input goes to one target only"),
        (["--json", "i-1:a", "-"], b"standard output is taken"),
        (["i-1:a", "tag:x:b"], b"copy from a node, then to the other"),
        (["a", "tag:x:/b"], b"is not written tag:KEY=VALUE"),
        (["a", "no-such-node:/b"], b"no node is found for the target 'no-such-node'"),
        (["", "i-1:a"], b"a path is empty"),
        (["--resum", "i-1:a", "b", "--parallel", "0"], b"not a number from 1 to 1000"),
    ],
)
def test_mistakes_on_the_command_line_start_nothing(cli, service, words, said):
    before = len(service.sessions())
    status, out, err = cli.run("cp", *words)
    assert (status, out) == (255, b"") and said in err and err.count(b"\n") == 1
    assert len(service.sessions()) == before


def test_a_local_file_that_cannot_be_read_starts_no_session(cli, service, there):
    before = len(service.sessions())
    status, out, err = cli.run("cp", "none", node(there))
    assert (status, err) == (1, b"ssm-plugin: cannot read none: No such file or directory\n")
    assert len(service.sessions()) == before


def test_progress_is_shown_on_a_terminal_and_not_with_quiet(cli, tmp_path, there):
    random_file(there / "data", 2 * MIB)
    for words, shown in ((["cp"], True), (["cp", "--quiet"], False)):
        argv = cli.argv(*words, node(there / "data"), "got")
        with PtyProcess(argv, env=cli.environ, cwd=str(tmp_path)) as program:
            assert program.wait() == 0
            assert (b"100%" in program.output and b"2.0 MiB" in program.output) is shown


@pytest.mark.volume
@pytest.mark.parametrize(
    "number, is_upload", [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["up", "down"]
)
def test_a_signal_leaves_the_part_and_resume_goes_on(
    cli, tmp_path, there, service, number, is_upload
):
    size = 16 * MIB if is_upload else 24 * MIB
    source, target = (tmp_path, there) if is_upload else (there, tmp_path)
    digest = random_file(source / "data", size)
    words = ["data", node(there)] if is_upload else [node(there / "data"), "."]
    with cli.start("cp", *words) as process:
        wait_until(lambda: [p for p in target.glob("data.*.part") if p.stat().st_size > 100000])
        process.send_signal(number)
        out, err = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 128 + number, err
    assert out == b"" and err.count(b"\n") == 1
    part, = target.glob("data*")
    assert part.name.endswith(".part")
    service.wait_for(lambda: not service.open_sessions())
    status, out, err = cli.run("cp", "--json", "--resume", *words)
    result, = json.loads(out.decode())["targets"][0]["files"]
    assert (status, result["sha256"]) == (0, digest) and result["resumed_bytes"] >= 100000
    assert sha256(target / "data") == digest and not part.exists()


def test_a_node_that_is_told_to_write_into_a_device_refuses(cli, tmp_path):
    random_file(tmp_path / "a", 10)
    status, out, err = cli.run("cp", "a", node("/dev/full"))
    assert status == 1 and b"not a regular file" in err


@pytest.mark.volume
def test_a_limit_on_time_is_status_124(cli, tmp_path, there):
    random_file(there / "data", 60 * MIB)
    status, out, err = cli.run("cp", "--timeout", "1500ms", node(there / "data"), ".")
    assert (status, out) == (124, b"") and b"time limit of 1.5 s" in err
    assert not (tmp_path / "data").exists()


# --- In a program


@pytest.fixture
def copy(service, tmp_path, monkeypatch):
    Cli(tmp_path, service).lend_environment(monkeypatch)

    def copy(*places, **options):
        return ssm_plugin.copy(*places, endpoint_url=service.endpoint_url, **options)

    return copy


def test_a_program_copies_with_progress(copy, tmp_path, there):
    digest, told = random_file(tmp_path / "a:b", MIB), []
    file, = copy(tmp_path / "a:b", node(there), progress=told.append)
    assert (file.target, file.size, file.sha256, file.status) == (TARGET, MIB, digest, 0)
    assert told[-1].done == told[-1].total == MIB
    file, = copy([node(there / "a:b")], tmp_path / "back", preserve=True, compress=True)
    assert file.sha256 == sha256(tmp_path / "back") == digest


def test_a_program_learns_what_was_not_copied(copy, tmp_path, there):
    random_file(there / "a", 10)
    with pytest.raises(CopyFailed, match="none: .*No such file") as raised:
        copy([node(there / "none"), node(there / "a")], tmp_path)
    assert [file.status for file in raised.value.files] == [1, 0]
    with pytest.raises(UsageError, match="is for the command line"):
        copy(node(there / "a"), "-")
    with pytest.raises(SessionInterrupted):
        copy(node(there / "a"), tmp_path / "b", timeout=0.001)
    with pytest.raises(SsmPluginError, match="No-Such does not exist"):
        copy(node(there / "a"), tmp_path / "b", document_name="No-Such")


def test_a_program_without_a_locale_copies_names_with_any_letters(cli, there):
    program = "import ssm_plugin; ssm_plugin.copy('i-demo:%s/\\u00e4', '\\u00fc')" % there
    (there / "\u00e4").write_text("x")
    environ = dict(cli.environ, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    subprocess.check_call([sys.executable, "-c", program], env=environ, cwd=str(cli.folder))
    assert (cli.folder / "\u00fc").read_text() == "x"


def test_a_copy_that_was_too_late_to_begin_lets_go_of_its_part(copy, tmp_path, there):
    random_file(there / "a", 10)
    with pytest.raises(SessionInterrupted) as late:
        copy(node(there / "a"), tmp_path / "b", timeout=1e-9)
    assert late.value.exit_status == 124
    copy(node(there / "a"), tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (there / "a").read_bytes()


def test_what_progress_raises_comes_out_and_leaves_a_part(copy, tmp_path, there):
    random_file(there / "a", 5 * MIB)

    def fail(progress):
        if progress.done > MIB:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        copy(node(there / "a"), tmp_path / "b", progress=fail)
    assert not (tmp_path / "b").exists() and (tmp_path / ("b" + PART)).exists()


@pytest.mark.parametrize("options", [{}, {"compress": True}, {"speed": "fast"}], ids=str)
def test_what_progress_raises_on_the_way_up_comes_out_at_once(copy, tmp_path, there, options):
    random_file(tmp_path / "a", 5 * MIB)

    def fail(progress):
        raise KeyError("mine")

    began = time.monotonic()
    with pytest.raises(KeyError, match="mine"):
        copy(tmp_path / "a", node(there / "b"), progress=fail, **options)
    assert time.monotonic() - began < FEED_LIMIT
    # There is nothing but the part, if the node has come so far.
    assert all(name.startswith("b.ssm-plugin-") for name in names(there))


@pytest.mark.volume
def test_a_lost_connection_costs_only_time(service, tmp_path, there):
    digest = random_file(there / "a", 8 * MIB)
    copies, seen = Copies(service), threading.Event()

    def tell(progress):
        if progress.done > MIB and not seen.is_set():
            seen.set()
            service.session().drop_connection()

    report = copies.cp(node(there / "a"), tmp_path / "a", tell=tell)
    assert (report.result.status, seen.is_set()) == (0, True) and sha256(tmp_path / "a") == digest


def test_cp_is_in_the_demo(cli, tmp_path):
    random_file(tmp_path / "a", 1000)
    assert cli.run("demo", "cp", "a", "i-demo:%s/b" % tmp_path) == (0, b"", b"")
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


def test_nothing_is_copied_where_nobody_reads_the_output(cli, there):
    random_file(there / "a", 5 * MIB)
    with cli.start("cp", node(there / "a"), "-") as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(TIME_LIMIT) == 128 + signal.SIGPIPE
