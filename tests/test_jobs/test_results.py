import json

import pytest

from ssm_plugin.display import width_of
from ssm_plugin.jobs.request import CommandResult, FleetOutcome, as_object, as_objects, table, worst

GOOD = CommandResult("web1", 0, "", "s-1", 1600000000.0, 1600000001.5, 12, 0)
BAD = CommandResult("database2", 255, "lost\nfor good", "", 1600000000.0, 1600000000.25, 0, 3)


@pytest.mark.parametrize("results, status", [([], 0), ([GOOD], 0), ([GOOD, BAD], 255)])
def test_the_worst_status_is_the_highest(results, status):
    assert worst(results) == status


def test_the_table_has_a_line_for_each_target():
    assert table([GOOD, BAD]) == (
        "TARGET     STATUS  SECONDS  STDOUT  STDERR  REASON\n"
        "web1            0      1.5      12       0\n"
        "database2     255      0.2       0       3  lost for good\n"
    )


def test_names_in_wide_letters_leave_the_columns_of_the_table_where_they_are():
    lines = table([GOOD, GOOD._replace(name="\u65e5\u672c\u8a9e")]).splitlines()
    assert len({width_of(line[:line.index("  1.5")]) for line in lines[1:]}) == 1


def test_an_object_says_status_reason_session_times_and_bytes():
    assert as_object(GOOD) == {
        "target": "web1",
        "status": 0,
        "reason": "",
        "session_id": "s-1",
        "started_at": "2020-09-13T12:26:40.000Z",
        "ended_at": "2020-09-13T12:26:41.500Z",
        "seconds": 1.5,
        "node": "web1",
        "stdout_bytes": 12,
        "stderr_bytes": 0,
    }
    assert as_object(BAD)["session_id"] is None


def test_many_are_one_object_with_the_worst_status():
    value = json.loads(json.dumps(as_objects(FleetOutcome([GOOD, BAD]))))
    assert value["status"] == 255
    assert [one["target"] for one in value["targets"]] == ["web1", "database2"]
