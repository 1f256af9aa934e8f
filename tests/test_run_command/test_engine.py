"""Orders by Run Command at the local service, with real shells, and the same by sessions."""

import json
import os
import queue
import signal
import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from ssm_plugin.commands.run_command import engine_of
from ssm_plugin.config import JobSettings, Settings
from ssm_plugin.errors import LocalError, UsageError
from ssm_plugin.fleet_plan import ErrorLimit, FleetPlan
from ssm_plugin.jobs.job import run_job
from ssm_plugin.jobs.request import as_object
from ssm_plugin.loopback.nodes import LocalNode
from ssm_plugin.run_command.attaching import find_commands, parse_ids
from ssm_plugin.run_command.errands import CallEvent, Sent, WorkerPool
from ssm_plugin.run_command.patience import PatientCalls
from ssm_plugin.run_command.sending import Bucket
from ssm_plugin.session.streams import OutputGone
from ssm_plugin.terminal.signals import Signalled
from tests.support.commands import wait_until_gone
from tests.support.nodes import ALONE, FLEET, OFF, TILL, WEB, many, service_with
from tests.support.threads import TIME_LIMIT, no_threads_left

from .helpers import Ran, found, run_command, sessions
from .helpers import environment as environment_at

WINDOWS = LocalNode("i-0000000000000beef", "win", platform="Windows Server 2022")
SILENT = LocalNode("i-0000000000000fade", "silent", allows_commands=False)


@pytest.fixture(scope="module")
def service():
    with service_with(*(FLEET + [WINDOWS, SILENT])) as service:
        yield service


def sent_by(service):
    return [command.request for command in service.run_command.engine.commands.values()]


# --- The same by both engines


@pytest.mark.parametrize(
    "script",
    [
        "echo out; echo err >&2; exit 7",
        "printf 'no line end'; printf 'é' >&2; kill -9 $$",
        "exit 194",
        "exec no-such-program 2>/dev/null",
        "exit 0",
    ],
)
def test_both_engines_give_the_same_table_json_output_and_status(service, script):
    ours = Ran(run_command(service), WEB[:2] + [TILL], "sh", "-c", script)
    theirs = Ran(sessions(service), WEB[:2] + [TILL], "sh", "-c", script)
    assert ours.table == theirs.table
    assert ours.json == theirs.json
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    assert ours.outcome.status == theirs.outcome.status


def test_both_engines_end_what_takes_too_long_and_keep_what_it_wrote(service, tmp_path):
    mark = "mark-%s" % tmp_path
    words = ["sh", "-c", "echo begun; sleep 1000; true", mark]
    ours = Ran(run_command(service), WEB[:2], *words, timeout=1.0)
    theirs = Ran(sessions(service), WEB[:2], *words, timeout=1.0)
    assert ours.statuses == [124, 124]
    assert (ours.table, ours.json, ours.stdout) == (theirs.table, theirs.json, theirs.stdout)
    assert wait_until_gone(mark, 10)


def test_both_engines_stop_after_so_many_failures(service):
    plan = FleetPlan(1, ErrorLimit(3))
    ours = Ran(run_command(service), WEB, "sh", "-c", "exit 5", plan=plan)
    theirs = Ran(sessions(service), WEB, "sh", "-c", "exit 5", plan=plan)
    assert ours.statuses == [5] * 3 + [255] * 9
    assert (ours.table, ours.json) == (theirs.table, theirs.json)


# --- To whom it is sent


def test_a_tag_is_one_command_and_its_nodes_have_their_names(service):
    before = len(sent_by(service))
    engine = run_command(service, targets=[{"Key": "tag:Role", "Values": ["web"]}])
    ran = Ran(engine, WEB, "echo", "x", reason="why")
    assert ran.stdout == {node.name: b"x\n" for node in WEB}
    assert sorted(ran.told) == sorted(node.name for node in WEB)
    [request] = sent_by(service)[before:]
    assert request.targets and not request.instance_ids
    assert request.comment == "why"


def test_a_node_that_got_the_tag_meanwhile_is_told_too(service):
    engine = run_command(service, targets=[{"Key": "tag:Role", "Values": ["web"]}])
    ran = Ran(engine, WEB[:-1], "true")
    assert [result.name for result in ran.results][-1] == WEB[-1].node_id
    assert ran.statuses == [0] * 12


def test_a_node_that_got_the_tag_meanwhile_is_waited_for(service, tmp_path):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)

    def opens(ran, result):
        if len(ran.told) == 11:
            with open(gate, "wb"):
                pass  # all the others are done: now it may end

    line = '[ "$AWS_SSM_INSTANCE_ID" != "$1" ] || read _ <"$0"; echo x'
    engine = run_command(service, targets=[{"Key": "tag:Role", "Values": ["web"]}])
    argv = ["sh", "-c", line, gate, WEB[-1].node_id]
    ran = Ran(engine, WEB[:-1], *argv, on_tell=opens)
    assert [result.name for result in ran.results][-1] == WEB[-1].node_id
    assert ran.statuses == [0] * 12


def test_a_node_that_lost_the_tag_meanwhile_was_not_begun(service):
    engine = run_command(service, targets=[{"Key": "tag:Role", "Values": ["twin"]}])
    twins = [node for node in FLEET if node.name == "twin"]
    ran = Ran(engine, [one._replace(name=one.node_id) for one in twins] + [TILL], "true")
    assert ran.statuses == [0, 0, 255]
    assert "AWS did not choose the node" in ran.reasons[2]


def test_more_than_fifty_ids_are_several_commands_which_share_what_may_run():
    with service_with(*many(60)) as service:
        ran = Ran(run_command(service), many(60), "echo", "x", plan=FleetPlan(10))
        assert ran.statuses == [0] * 60
        assert len(ran.stdout) == 60
        requests = sent_by(service)
        assert [len(one.instance_ids) for one in requests] == [50, 10]
        assert [one.concurrency for one in requests] == ["5", "5"]


def test_failures_are_counted_over_all_commands():
    with service_with(*many(120)) as service:
        plan = FleetPlan(2, ErrorLimit(4))
        ran = Ran(run_command(service), many(120), "sh", "-c", "exit 5", plan=plan)
        assert ran.statuses.count(5) <= 10
        assert set(ran.statuses) == {5, 255}
        assert "not begun: 4 had failed" in ran.reasons


def test_nodes_that_the_service_refuses_do_not_stop_the_others(service):
    ran = Ran(run_command(service), WEB[:3] + [ALONE, WINDOWS], "echo", "x")
    assert ran.statuses == [0, 0, 0, 255, 255]
    assert "InvalidInstanceId" in ran.reasons[3]
    assert "UnsupportedPlatformType" in ran.reasons[4]


def test_a_node_that_does_not_answer_is_waited_for_as_long_as_is_said(service):
    ran = Ran(run_command(service, wait=0.5), [WEB[0], OFF, SILENT], "echo", "x")
    assert ran.statuses == [0, 255, 255]
    assert ran.reasons[1].startswith("not begun: the node did not answer in time")
    assert ran.reasons[2].startswith("not begun: the node is not permitted")
    assert ran.results[1].error is not None


# --- Output


def test_output_that_is_cut_is_told_and_s3_has_the_whole(service):
    script = "seq 20000; seq 10000 >&2; exit 3"
    whole = b"".join(b"%d\n" % number for number in range(1, 20001))
    cut = Ran(run_command(service), WEB[:1], "sh", "-c", script)
    assert cut.results[0].truncated == ("stdout", "stderr")
    assert as_object(cut.results[0])["truncated"] == ["stdout", "stderr"]
    assert whole.startswith(cut.stdout["web-1"]) and len(cut.stdout["web-1"]) == 23980
    ran = Ran(run_command(service, bucket=Bucket("logs", "a b+c")), WEB[:1], "sh", "-c", script)
    assert ran.stdout["web-1"] == whole
    assert ran.stderr["web-1"] == whole[: whole.index(b"\n10001\n") + 1]
    assert ran.results[0].truncated == ()
    assert (ran.statuses, ran.results[0].stdout_bytes) == ([3], len(whole))


def test_what_is_no_text_comes_from_s3_as_it_is(service):
    ran = Ran(run_command(service, bucket=Bucket("logs")), WEB[:1], "printf", "\\377\\0x")
    assert ran.stdout["web-1"] == b"\xff\0x"


@pytest.mark.parametrize(
    "bucket, said", [("forbidden", "the permission s3:GetObject"), ("missing", "NoSuchBucket")]
)
def test_a_bucket_that_cannot_be_used_is_one_clear_line(service, bucket, said):
    ran = Ran(run_command(service, bucket=Bucket(bucket)), WEB[:1], "seq", "20000")
    assert ran.statuses == [255]
    assert "the whole output cannot be fetched" in ran.reasons[0] and said in ran.reasons[0]
    assert len(ran.stdout["web-1"]) == 23980


def test_who_does_not_take_the_output_is_told_as_with_sessions(service):
    class Gone(Ran):
        def _streams(self, node):
            streams = super()._streams(node)

            def gone(data):
                raise OutputGone

            streams.output = gone
            return streams

    ran = Gone(run_command(service), WEB[:2], "echo", "x")
    assert ran.statuses == [141, 141]
    assert "nobody reads the output any more" in ran.reasons[0]


# --- Signals


class Gate:
    """``command`` says that it runs, and ends with ``done`` once it is opened."""

    def __init__(self, folder):
        self.paths = [os.path.join(str(folder), name) for name in ("began", "open")]
        for path in self.paths:
            os.mkfifo(path)
        self.command = ("sh", "-c", 'echo x >"$0"; read -r _ <"$1"; echo done', *self.paths)

    def wait(self):
        with open(self.paths[0]) as file:
            file.read()

    def open(self):
        with open(self.paths[1], "w") as file:
            file.write("x\n")


def when_it_runs(gate, action):
    def wait():
        gate.wait()
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_tells_what_became_of_each(service, tmp_path, signum):
    gate, events = Gate(tmp_path), queue.Queue()
    thread = when_it_runs(gate, lambda: events.put(Signalled(signum)))
    ran = Ran(run_command(service), WEB[:2], *gate.command, events=events, plan=FleetPlan(1))
    thread.join()
    assert ran.outcome.status == 128 + signum
    assert ran.statuses == [128 + signum] * 2
    assert ran.reasons == [
        "ended by signal %d here" % signum, "not begun: signal %d came" % signum
    ]
    assert wait_until_gone(gate.paths[0], 10)


class TellsLate(queue.Queue):
    """That a command was sent is told only after a signal has come."""

    def __init__(self):
        super().__init__()
        self._signal_came = threading.Event()

    def put(self, event, *options):
        if isinstance(event, CallEvent) and isinstance(event.told, Sent):
            self._signal_came.wait()
        super().put(event, *options)
        if isinstance(event, Signalled):
            self._signal_came.set()


def test_a_signal_that_comes_before_the_answer_of_the_service_is_the_reason_all_the_same(
    service, tmp_path
):
    gate, events = Gate(tmp_path), TellsLate()
    thread = when_it_runs(gate, lambda: events.put(Signalled(signal.SIGTERM)))
    ran = Ran(run_command(service), WEB[:1], *gate.command, events=events)
    thread.join()
    assert (ran.statuses, ran.reasons) == ([143], ["ended by signal 15 here"])


def test_a_second_signal_leaves_at_once_and_what_was_not_cancelled_is_told(
    service, tmp_path, capfd
):
    gate, events = Gate(tmp_path), queue.Queue()
    service.answer_with("CancelCommand", "AccessDeniedException")

    def twice():
        events.put(Signalled(signal.SIGINT))
        # Within a tenth of a second it would be the same one.
        threading.Event().wait(0.3)
        events.put(Signalled(signal.SIGINT))

    thread = when_it_runs(gate, twice)
    began = time.monotonic()
    ran = Ran(run_command(service), WEB[:1], *gate.command, events=events)
    assert time.monotonic() - began < 5
    thread.join()
    assert ran.statuses == [130]
    assert ran.reasons == ["given up: it did not end after signal 2"]
    told = "command %s was not cancelled: ssm:CancelCommand" % ran.results[0].command_id
    assert told in capfd.readouterr().err
    gate.open()


def test_a_lost_terminal_loses_no_command(service, tmp_path, capfd):
    gate, events = Gate(tmp_path), queue.Queue()
    thread = when_it_runs(gate, lambda: events.put(Signalled(signal.SIGHUP)))
    left = Ran(run_command(service, quiet=False), WEB[:1], *gate.command, events=events)
    thread.join()
    assert left.statuses == [129]
    command_id = left.results[0].command_id
    assert left.reasons == [
        "goes on at AWS: 'ssm-plugin exec --attach %s' follows it" % command_id
    ]
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "--attach %s'" % command_id in said
    attached = attach(service, command_id)
    opener = threading.Thread(target=gate.open)
    opener.start()
    ran = Ran(run_command(service, attached=attached), WEB[:1], "-", timeout=attached.timeout)
    opener.join()
    assert ran.statuses == [0]
    assert ran.stdout == {"web-1": b"done\n"}


def test_where_no_more_threads_are_to_be_had_the_first_one_does_all_errands():
    done, failures = queue.Queue(), queue.Queue()
    pool = WorkerPool("fetch", 3, failures.put)
    pool.submit(partial(done.put, 0))
    with no_threads_left():
        for number in (1, 2):
            pool.submit(partial(done.put, number))
    assert [done.get(timeout=TIME_LIMIT) for _ in range(3)] == [0, 1, 2]
    pool.close()
    assert failures.empty()


def test_without_a_single_thread_an_errand_says_so():
    pool = WorkerPool("fetch", 3, queue.Queue().put)
    with no_threads_left(), pytest.raises(LocalError, match="thread"):
        pool.submit(lambda: None)


# --- Attaching


def attach(service, ids, settings=None):
    calls = PatientCalls(environment_at(service).service)
    return find_commands(parse_ids(ids), calls, settings or Settings())


def test_who_attaches_gets_the_same(service):
    script = "echo out; seq 20000 >&2; exit 7"
    engine = run_command(service, bucket=Bucket("logs", "p"))
    ran = Ran(engine, WEB[:3], "sh", "-c", script, timeout=60.0)
    attached = attach(service, ran.results[0].command_id)
    assert [node.name for node in attached.nodes] == ["web-1", "web-2", "web-3"]
    assert (attached.timeout, attached.bucket) == (60.0, Bucket("logs", "p"))
    again = Ran(run_command(service, attached=attached), WEB[:3], "-")
    assert (again.table, again.json) == (ran.table, ran.json)
    assert (again.stdout, again.stderr) == (ran.stdout, ran.stderr)


def test_nodes_are_named_by_their_ids_where_they_were(service):
    ids = [node._replace(name="") for node in WEB[:2]]
    ran = Ran(run_command(service), ids, "true")
    attached = attach(service, ran.results[0].command_id)
    assert [node.name for node in attached.nodes] == [node.node_id for node in ids]


def test_several_commands_are_attached_to_at_once(service):
    first = Ran(run_command(service), WEB[:2], "true").results[0].command_id
    second = Ran(run_command(service), WEB[2:4], "false").results[0].command_id
    attached = attach(service, "%s,%s" % (first, second))
    again = Ran(run_command(service, attached=attached), WEB[:4], "-")
    assert again.statuses == [0, 0, 1, 1]
    third = Ran(run_command(service), WEB[:1], "true").results[0].command_id
    with pytest.raises(UsageError, match="attach to one of them"):
        attach(service, "%s,%s" % (first, third))


def test_an_id_that_is_none_is_refused():
    for wrong in ("", ",", "x", "i-1", "../" * 12):
        with pytest.raises(UsageError, match="not the id of a command"):
            parse_ids(wrong)


# --- A service that is busy, slow, or refuses


def test_throttling_loses_nothing_and_nothing_is_sent_twice():
    rate = "calls=8:GetCommandInvocation+ListCommandInvocations"
    with service_with(*WEB, faults=rate) as service:
        service.answer_with("SendCommand", "ThrottlingException", "Rate exceeded", times=2)
        ran = Ran(run_command(service), WEB, "echo", "x")
        assert ran.statuses == [0] * 12
        assert len(ran.stdout) == 12
        assert len({one.command_id for one in ran.results}) == 1
        assert len(service.run_command.engine.commands) == 1


def test_what_may_have_been_sent_is_not_sent_again(service):
    before = len(service.ssm.calls("SendCommand"))
    service.answer_with("SendCommand", "InternalServerError", "oh", 500)
    ran = Ran(run_command(service), WEB[:2], "echo", "x")
    assert len(service.ssm.calls("SendCommand")) == before + 1
    assert ran.statuses == [255, 255]
    assert "may have been sent, and was not sent again" in ran.reasons[0]


def test_invocations_that_cannot_be_seen_yet_are_waited_for():
    with service_with(*WEB[:2], faults="lag=800ms") as service:
        ran = Ran(run_command(service), WEB[:2], "echo", "x")
        assert ran.statuses == [0, 0]


def test_a_missing_permission_is_named():
    with service_with(*WEB[:1], faults="deny=ListCommandInvocations") as service:
        ran = Ran(run_command(service), WEB[:1], "true")
        assert ran.statuses == [255]
        assert "cannot be followed" in ran.reasons[0]
        assert "the permission ssm:ListCommandInvocations" in ran.reasons[0]
    with service_with(*WEB[:1], faults="deny=SendCommand") as service:
        ran = Ran(run_command(service), WEB[:1], "true")
        assert "the permission ssm:SendCommand" in ran.reasons[0]


def test_few_threads_do_it_all_and_none_is_left(service):
    most = []

    def count(ran, result):
        most.append(len([one for one in threading.enumerate() if one.name.startswith("ssm-fetch")]))

    Ran(run_command(service), WEB, "true", on_tell=count)
    assert max(most) <= 8


def test_json_stays_json_whatever_a_node_wrote(service):
    ran = Ran(run_command(service), WEB[:1], "printf", "\\033[31m\\n")
    assert json.loads(ran.json)["status"] == 0


def test_a_node_whose_tag_came_after_the_look_up_has_its_output_in_a_job_too(service, tmp_path):
    job = JobSettings("check", ("tag:Role=web",), "echo $((6 * 7)); exit 3", engine="run-command")
    environment = environment_at(service)
    engine = engine_of(job, Settings(), environment)
    where, now, known = {"HOME": str(tmp_path)}, datetime.now(), found(WEB[1:])
    report = run_job(job, Settings(), environment, where, now, nodes=known, engine=engine)
    assert len(report.results) == len(WEB)
    assert report.failure().startswith("job check failed on %d of" % len(WEB))
    outputs = [Path(path).read_text() for path in report.paths.values()]
    assert outputs == ["42\n"] * len(WEB)
