"""Run Command of the local service: what becomes of a command, with real shells."""

import os
import resource
import select
import threading

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.loopback.nodes import LocalNode
from tests.support.nodes import ALONE, FLEET, OFF, WEB, many, service_with
from tests.support.run_command import DEMO, Sender
from tests.support.running import TIME_LIMIT
from tests.support.threads import no_threads_left

from .helpers import no_descriptors_left

WINDOWS = LocalNode("i-0000000000000aaaa", "win", {"Role": "win"}, "Windows Server 2022")
CLOSED = LocalNode("i-0000000000000bbbb", "closed", {"Role": "closed"}, allows_commands=False)
WEBS = [("tag:Role", ["web"])]
NONE = "00000000-0000-0000-0000-000000000000"
FAILED = "failed to run commands: "


@pytest.fixture(scope="module")
def service():
    with service_with(*FLEET, WINDOWS, CLOSED, faults="delivery=300ms") as service:
        yield service


@pytest.fixture(scope="module")
def sender(service):
    return Sender(service)


@pytest.fixture(scope="module")
def too_long(sender):
    """A command that runs into its time limit, which no agent lets be shorter."""
    return sender.send("echo begun; sleep 60", parameters={"executionTimeout": ["5"]})


# --- Scripts


def test_output_errors_and_status_of_a_script_are_told(sender, too_long):
    told = sender.run("echo out", "echo err >&2", "exit 3")
    assert (told["Status"], told["StatusDetails"], told["ResponseCode"]) == ("Failed", "Failed", 3)
    assert told["StandardOutputContent"] == "out\n"
    assert told["StandardErrorContent"] == "err\n" + FAILED + "exit status 3"
    assert told["ExecutionStartDateTime"] <= told["ExecutionEndDateTime"]


def test_a_script_is_one_file_and_knows_its_node(sender):
    told = sender.run("x=1", 'echo "$x $AWS_SSM_INSTANCE_ID $(basename "$0")"')
    assert (told["Status"], told["ResponseCode"]) == ("Success", 0)
    assert told["StandardOutputContent"] == "1 %s _script.sh\n" % DEMO
    assert told["StandardErrorContent"] == ""


def test_the_first_line_may_name_an_interpreter(sender):
    assert sender.run("#!/bin/cat", "not a shell's")["StandardOutputContent"].endswith("shell's\n")


def test_each_byte_that_is_no_text_is_replaced(sender):
    told = sender.run(r"printf 'a\377\342\202b\342\202\254'")
    assert told["StandardOutputContent"] == "a\ufffd\ufffd\ufffdb\u20ac"


@pytest.mark.parametrize(
    "stream, key, limit",
    [(1, "StandardOutputContent", 24000), (2, "StandardErrorContent", 8000)],
)
def test_long_output_is_cut_and_says_so(sender, stream, key, limit):
    write = "head -c %d /dev/zero | tr '\\0' x >&%d"
    assert sender.run(write % (limit - 1, stream))[key] == "x" * (limit - 1)
    cut = sender.run(write % (limit * 20, stream))[key]
    assert len(cut) == limit
    assert cut.rstrip("-") == "x" * (limit - 20) + "--output truncated"


def test_lists_with_details_have_a_shorter_output(sender):
    long = "head -c 9000 /dev/zero | tr '\\0' x; echo y >&2"
    command_id = sender.send(long)
    sender.finish(command_id)
    [one] = sender.listed(command_id, Details=True)
    [plugin] = one["CommandPlugins"]
    assert plugin["Output"].endswith("x\n---Output truncated---\n----------ERROR-------\ny\n")
    assert len(plugin["Output"]) == 2500


def test_the_signal_that_ended_a_script_is_told(sender):
    told = sender.run("kill -TERM $$")
    # Some shells run the script in their own place, others beneath them.
    ends = {-1: "signal: terminated", 143: "exit status 143"}
    assert told["Status"] == "Failed"
    assert told["StandardErrorContent"].endswith(FAILED + ends[told["ResponseCode"]])


def test_an_agent_takes_status_137_for_its_own_doing(sender):
    told = sender.run("exit 137")
    assert (told["Status"], told["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_a_script_runs_where_it_is_told_to(sender, tmp_path):
    def run_in(folder):
        return sender.run("pwd -P", parameters={"workingDirectory": [folder]})

    there = os.path.realpath(str(tmp_path))
    assert run_in(there)["StandardOutputContent"] == there + "\n"
    told = run_in(there + "/gone")
    assert (told["Status"], told["ResponseCode"]) == ("Failed", 1)
    text = "chdir %s/gone: no such file or directory" % there
    assert told["StandardErrorContent"] == FAILED + text


def test_what_keeps_the_output_open_is_waited_for(sender):
    told = sender.run("(sleep 0.2; echo late) & echo early")
    assert told["StandardOutputContent"] == "early\nlate\n"


def test_what_closes_its_output_is_waited_for(sender):
    told = sender.run("exec >&- 2>&-; sleep 0.2; exit 4")
    assert told["ResponseCode"] == 4


@pytest.fixture
def life(tmp_path):
    """A pipe that scripts hold open: its end is the end of the last of them."""
    path = str(tmp_path / "life")
    os.mkfifo(path)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0) as reader:
        yield path, reader


def read(reader, size):
    """So many bytes, or less at the end."""
    data = b""
    while len(data) < size:
        select.select([reader], [], [], TIME_LIMIT)
        piece = reader.read(size - len(data))
        if not piece:
            break
        data += piece
    return data


def test_what_a_script_leaves_running_ends_with_the_service(life):
    path, reader = life
    with service_with() as service:
        script = "exec 9> %s; sleep 60 >/dev/null 2>&1 & echo x >&9" % path
        assert Sender(service).run(script)["Status"] == "Success"
        assert read(reader, 2) == b"x\n"
        assert reader.read(1) is None  # it is held open still
    assert read(reader, 1) == b""


# --- Nodes


@pytest.mark.parametrize(
    "targets, count",
    [
        (WEBS, 12),
        (WEBS + [("tag:Name", ["web-2", "web-7", "off"])], 2),
        ([("tag-key", ["a:b"])], 1),
        ([("InstanceIds", [DEMO, WEB[0].node_id])], 2),
    ],
)
def test_targets_choose_nodes(sender, targets, count):
    command_id = sender.send("true", targets=targets)
    sender.finish(command_id)
    assert sender.details(command_id) == {"Success": count}
    assert sender.command(command_id)["CompletedCount"] == count


def test_nothing_that_matches_is_a_success(sender):
    request = sender.request("true", targets=[("tag:Role", ["nobody"])])
    sent = sender.call("SendCommand", **request)["Command"]
    assert (sent["Status"], sent["TargetCount"]) == ("Pending", 0)
    command_id = sent["CommandId"]
    sender.finish(command_id)
    assert sender.state(command_id) == ("Success", "NoInstancesInTag")
    assert sender.listed(command_id) == []


@pytest.mark.parametrize(
    "target, told",
    [
        (("tag:Role", ["none"]), ("Failed", "Undeliverable")),
        (("InstanceIds", ["i-unknown"]), ("Failed", "Undeliverable")),
        (("tag:Role", ["win"]), ("Failed", "InvalidPlatform")),
        (("tag:Role", ["closed"]), ("Failed", "AccessDenied")),
        (("InstanceIds", [OFF.node_id]), ("TimedOut", "DeliveryTimedOut")),
    ],
)
def test_a_command_that_cannot_be_delivered_says_why(sender, target, told):
    command_id = sender.send("true", targets=[target])
    sender.finish(command_id)
    [one] = sender.listed(command_id)
    assert (one["Status"], one["StatusDetails"]) == told
    assert sender.got(command_id, one["InstanceId"])["ResponseCode"] == -1


def test_a_node_that_does_not_answer_is_waited_for():
    with service_with(OFF) as service:
        sender = Sender(service)
        command_id = sender.send("true", ids=[OFF.node_id])
        sender.wait_for(command_id, lambda command: command.delayed)
        assert sender.details(command_id) == {"Delayed": 1}
        assert sender.state(command_id) == ("InProgress", "InProgress")
        sender.call("CancelCommand", CommandId=command_id)
        assert sender.details(command_id) == {"Cancelled": 1}


def test_a_node_that_comes_in_time_gets_its_command():
    with service_with(LocalNode("i-1", connects_after=0.4)) as service:
        sender = Sender(service)
        command_id = sender.send("true", ids=["i-1"])
        sender.wait_for(command_id, lambda command: command.delayed)
        sender.finish(command_id)
        assert sender.details(command_id) == {"Success": 1}


def test_some_that_are_off_make_it_incomplete(sender):
    targets = [("InstanceIds", [DEMO, OFF.node_id])]
    command_id = sender.send("true", targets=targets, MaxErrors="1")
    sender.finish(command_id)
    assert sender.details(command_id) == {"Success": 1, "DeliveryTimedOut": 1}
    assert sender.state(command_id) == ("Failed", "Incomplete")


# --- Pace, errors, cancelling


def test_no_more_nodes_run_at_once_than_were_asked_for(sender):
    command_id = sender.send("sleep 0.05", targets=WEBS, MaxConcurrency="25%")
    seen = set()
    sender.wait_for(command_id, lambda command: seen.add(command.running) or command.is_over)
    assert max(seen) == 3


@pytest.mark.parametrize("allowed, failed", [("0", 1), ("2", 3), ("25%", 4)])
def test_one_error_too_many_stops_a_command(sender, allowed, failed):
    command_id = sender.send("exit 1", targets=WEBS, MaxConcurrency="1", MaxErrors=allowed)
    sender.finish(command_id)
    assert sender.details(command_id) == {"Failed": failed, "Terminated": 12 - failed}
    assert {one["Status"] for one in sender.listed(command_id)} == {"Failed"}
    assert sender.state(command_id) == ("Failed", "Failed")


def test_a_cancelled_command_leaves_nothing_behind(sender, life):
    path, reader = life
    script = "exec 9> %s; echo so far; echo x >&9; sleep 60; true" % path
    command_id = sender.send(script, targets=WEBS, MaxConcurrency="2")
    assert read(reader, 4) == b"x\nx\n"
    assert sender.details(command_id) == {"InProgress": 2, "Pending": 10}
    sender.call("CancelCommand", CommandId=command_id)
    sender.finish(command_id)
    assert read(reader, 1) == b""
    assert sender.details(command_id) == {"Cancelled": 12}
    assert sender.state(command_id) == ("Cancelled", "Cancelled")
    told = sender.got(command_id, WEB[0].node_id)
    assert (told["ResponseCode"], told["StandardErrorContent"]) == (137, "")
    assert told["StandardOutputContent"] == "so far\n"


def test_one_node_alone_can_be_cancelled(sender):
    ids = [node.node_id for node in WEB[:2]]
    script = 'test $AWS_SSM_INSTANCE_ID = %s || exec sleep 60' % ids[0]
    command_id = sender.send(script, ids=ids)
    sender.wait_for(command_id, lambda command: command.over == 1)
    sender.call("CancelCommand", CommandId=command_id, InstanceIds=ids[1:])
    sender.finish(command_id)
    assert sender.details(command_id) == {"Success": 1, "Cancelled": 1}
    assert sender.state(command_id) == ("Failed", "Incomplete")


def test_many_nodes_need_one_thread():
    with service_with(*many(60)) as service:
        sender = Sender(service)
        before = threading.active_count()
        command_id = sender.send("exit 0", targets=[("tag-key", ["Name"])], MaxConcurrency="100%")
        running = [threading.active_count()]
        sender.wait_for(
            command_id, lambda command: running.append(threading.active_count()) or command.is_over
        )
        assert sender.command(command_id)["CompletedCount"] == 61
        assert max(running) <= before + 2  # one of them serves our client's connection


# --- Look-ups


def test_lists_come_in_pages():
    with service_with(*many(120)) as service:
        sender = Sender(service)
        command_id = sender.send("true", targets=[("tag-key", ["Name"])])
        sizes, found, token = [], set(), {}
        while token is not None:
            answer = sender.call("ListCommandInvocations", CommandId=command_id, **token)
            page = answer["CommandInvocations"]
            sizes.append(len(page))
            found.update(one["InstanceId"] for one in page)
            following = answer.get("NextToken")
            token = {"NextToken": following} if following else None
        assert (sizes, len(found)) == ([50, 50, 21], 121)


def test_filters_leave_what_they_name(sender):
    command_id = sender.send("true", targets=WEBS)
    sender.finish(command_id)
    for value, count in (("Success", 12), ("Failed", 0)):
        filters = [{"key": "Status", "value": value}]
        assert len(sender.listed(command_id, Filters=filters)) == count
    assert len(sender.listed(command_id, InstanceId=WEB[3].node_id)) == 1
    after = [{"key": "InvokedAfter", "value": "2999-01-01T00:00:00Z"}]
    assert sender.listed(command_id, Filters=after) == []


@pytest.mark.parametrize(
    "operation, fields, code",
    [
        ("GetCommandInvocation", dict(CommandId=NONE, InstanceId=DEMO), "InvocationDoesNotExist"),
        ("GetCommandInvocation", dict(CommandId="x", InstanceId=DEMO), "ValidationException"),
        ("ListCommandInvocations", {"CommandId": NONE}, "InvalidCommandId"),
        ("ListCommandInvocations", {"MaxResults": 51}, "ValidationException"),
        ("ListCommandInvocations", {"NextToken": "none"}, "InvalidNextToken"),
        ("ListCommands", {"Filters": [{"key": "Colour", "value": "red"}]}, "InvalidFilterKey"),
        (
            "ListCommands",
            {"Filters": [{"key": "InvokedAfter", "value": "2026-02-30T00:00:00Z"}]},
            "ValidationException",
        ),
        ("CancelCommand", {"CommandId": NONE}, "InvalidCommandId"),
    ],
)
def test_aws_refuses_these_look_ups(sender, operation, fields, code):
    assert sender.refusal(operation, **fields) == code


@pytest.mark.parametrize(
    "fields, code",
    [
        ({"DocumentName": "AWS-RunPowerShellScript"}, "InvalidDocument"),
        ({"Parameters": {}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "command": ["x"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["echo {{ ssm:name }}"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["docker ps --format '{{.ID}}'"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["x" * 100000]}}, "MaxDocumentSizeExceeded"),
        ({"Parameters": {"commands": ["\u20ac" * 17000]}}, "MaxDocumentSizeExceeded"),
        ({"Parameters": {"commands": ["true"], "executionTimeout": ["soon"]}}, "InvalidParameters"),
        ({"InstanceIds": ["i-unknown"]}, "InvalidInstanceId"),
        ({"InstanceIds": [ALONE.node_id]}, "InvalidInstanceId"),
        ({"InstanceIds": [WINDOWS.node_id]}, "UnsupportedPlatformType"),
        ({"InstanceIds": [DEMO, DEMO]}, "DuplicateInstanceId"),
        ({"InstanceIds": ["i-%d" % number for number in range(51)]}, "ValidationException"),
        ({"InstanceIds": []}, "ValidationException"),
        ({"InstanceIds": [], "Targets": [{"Key": "x", "Values": ["y"]}]}, "InvalidParameters"),
        (
            {"InstanceIds": [], "Targets": [{"Key": "tag:x", "Values": ["y"] * 51}]},
            "ValidationException",
        ),
        (
            {"InstanceIds": [], "Targets": [{"Key": "tag:x", "Values": ["y"]}] * 6},
            "ValidationException",
        ),
        ({"TimeoutSeconds": 29}, "ValidationException"),
        ({"Comment": "x" * 101}, "ValidationException"),
        ({"MaxConcurrency": "0"}, "ValidationException"),
        ({"MaxErrors": "101%"}, "ValidationException"),
    ],
)
def test_aws_refuses_these_commands(sender, fields, code):
    assert sender.refusal("SendCommand", **dict(sender.request("true"), **fields)) == code


def test_a_long_script_is_taken(sender):
    script = "printf %s '" + "x" * 81900 + "' | wc -c"
    assert sender.run(script)["StandardOutputContent"].strip() == "81900"


def test_one_parameter_may_stand_in_another(sender):
    told = sender.run("echo {{ executionTimeout }}", parameters={"executionTimeout": ["99"]})
    assert told["StandardOutputContent"] == "99\n"


# --- Faults


def test_calls_beyond_a_rate_are_throttled():
    with service_with(faults="calls=2:ListCommands") as service:
        sender = Sender(service)
        for _ in range(4):
            sender.call("ListCommands")  # it is sent again until it succeeds
        errors = [call.error for call in service.ssm.calls("ListCommands")]
        assert errors.count("") == 4
        assert errors[:3] == ["", "", "ThrottlingException"]


def test_invocations_may_be_seen_late():
    with service_with(faults="lag=10m") as service:
        sender = Sender(service)
        command_id = sender.send("true")
        assert sender.listed(command_id) == []
        looked_up = {"CommandId": command_id, "InstanceId": DEMO}
        assert sender.refusal("GetCommandInvocation", **looked_up) == "InvocationDoesNotExist"


# --- What the machine lacks


def begun(sender, tmp_path, script, **more):
    """The id of a command that runs, and the file that lets it go on with ``script``."""
    started, going_on = tmp_path / "started", tmp_path / "going-on"
    os.mkfifo(str(started))
    wait = "echo > %s; until test -e %s; do sleep .05; done; " % (started, going_on)
    command_id = sender.send(wait + script, **more)
    assert started.read_bytes() == b"\n"
    return command_id, going_on


def test_a_full_disk_loses_what_goes_to_a_bucket_and_nothing_else(sender, service, tmp_path):
    bucket = dict(OutputS3BucketName="some", OutputS3KeyPrefix="full")
    command_id, going_on = begun(sender, tmp_path, "head -c 99999 /dev/zero", **bucket)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        going_on.write_text("")
        sender.finish(command_id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sender.got(command_id)["Status"] == "Success"
    assert service.buckets.keys("some", "full/") == []
    assert sender.run("echo next")["StandardOutputContent"] == "next\n"


def test_a_command_for_which_descriptors_or_threads_lack_is_not_sent_and_the_next_one_runs():
    with service_with() as service:
        sender = Sender(service)
        send = service.run_command.operations["SendCommand"]
        with no_descriptors_left(), pytest.raises(OSError):
            send(sender.request("echo first"))
        with no_threads_left(), pytest.raises(LocalError):
            send(sender.request("echo second"))
        assert not service.run_command.engine.commands
        assert sender.run("echo third")["StandardOutputContent"] == "third\n"


def test_a_script_for_which_descriptors_lack_runs_when_another_has_ended(sender, service, tmp_path):
    _, going_on = begun(sender, tmp_path, "true")
    send = service.run_command.operations["SendCommand"]
    with no_descriptors_left():
        second = send(sender.request("echo second"))["Command"]["CommandId"]
        # Over: some connection of another test was closed just now.
        sender.wait_for(
            second,
            lambda command: command.invocations[0].started and (command.waiting or command.is_over),
        )
    going_on.write_text("")
    sender.finish(second)
    assert sender.got(second)["StandardOutputContent"] == "second\n"


# The last one, since the command needs its time.
def test_a_script_that_takes_too_long_is_killed(sender, too_long):
    sender.finish(too_long)
    told = sender.got(too_long)
    assert (told["Status"], told["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert (told["ResponseCode"], told["StandardOutputContent"]) == (137, "begun\n")
    assert sender.state(too_long) == ("TimedOut", "ExecutionTimedOut")
