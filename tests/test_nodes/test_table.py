"""Nodes as they are shown."""

import pytest

from ssm_plugin.display import width_of
from ssm_plugin.nodes.directory import by_name
from ssm_plugin.nodes.node import Node, from_information
from ssm_plugin.nodes.table import age, as_object, table

NOW = 1790000000.0
WEB = Node("i-0123456789abcdef0", "web", "Amazon Linux 2023", "3.3.1", "10.0.0.7", "Online", NOW)


def lines_of(*nodes, **options):
    return table(nodes, NOW, **options).split("\n")[:-1]


def test_a_table_has_a_head_and_a_line_for_each_node():
    assert lines_of(WEB) == [
        "ID                   NAME  PLATFORM           AGENT  ADDRESS   STATUS  SEEN",
        "i-0123456789abcdef0  web   Amazon Linux 2023  3.3.1  10.0.0.7  Online  0 s",
    ]


@pytest.mark.parametrize("width", [60, 65, 70, 76, 80, 100, 200])
def test_it_fits_the_terminal(width):
    long = WEB._replace(name="a-name-that-is-far-too-long-for-any-table", status="ConnectionLost")
    for numbered in (False, True):
        assert max(map(len, lines_of(long, width=width, numbered=numbered))) <= width


@pytest.mark.parametrize("width", [50, 55, 60, 65, 70, 76])
def test_a_long_name_takes_what_the_columns_leave_that_go(width):
    long = WEB._replace(name="a-name-that-is-far-too-long-for-any-table")
    assert len(lines_of(long, width=width)[0]) == width


def test_when_a_node_was_seen_is_left_out_where_the_terminal_is_very_narrow():
    assert [line.split()[-1] for line in lines_of(WEB, width=38)] == ["STATUS", "Online"]


def test_the_id_and_the_status_stay_whole_however_narrow_it_is():
    for line, wanted in zip(lines_of(WEB, width=10), (["ID", "STATUS"], [WEB.node_id, "Online"])):
        assert all(word in line for word in wanted)


def test_escape_sequences_are_shown_not_sent():
    [_, line] = lines_of(WEB._replace(name="\x1b[31mred\n", platform="\u202eevil"))
    assert "\\x1b[31mred\\n" in line
    assert "\x1b" not in line


def test_wide_letters_take_two_columns():
    assert width_of("a\u65e5\u672ce\u0301") == 6
    [_, first, second] = lines_of(WEB._replace(name="\u65e5\u672c"), WEB._replace(name="abcd"))
    assert first.index("Amazon") + 2 == second.index("Amazon")


def test_numbers_stand_in_front_for_who_has_to_choose():
    lines = lines_of(*[WEB] * 10, numbered=True)
    assert lines[0].startswith("    ID ")
    assert [line[:2] for line in lines[1:]] == ["%2d" % number for number in range(1, 11)]


@pytest.mark.parametrize(
    "seconds, said",
    [(0, "0 s"), (99.9, "99 s"), (100, "1 min"), (7199, "119 min"), (7200, "2 h"),
     (172799, "47 h"), (172800, "2 d"), (1e30, "9999 d"), (-5, "0 s")],
)
def test_ages_are_short(seconds, said):
    assert age(NOW - seconds, NOW) == said
    assert age(None, NOW) == ""


def test_for_programs_there_are_plain_values_and_null():
    assert as_object(WEB._replace(last_seen=0.0)) == {
        "id": WEB.node_id,
        "name": "web",
        "platform": "Amazon Linux 2023",
        "agent_version": "3.3.1",
        "address": "10.0.0.7",
        "status": "Online",
        "last_seen": "1970-01-01T00:00:00Z",
    }
    assert set(as_object(Node("i-1")).values()) == {"i-1", None}
    assert as_object(WEB._replace(last_seen=1e300))["last_seen"] is None


def test_names_are_sorted_as_people_count_and_nodes_without_one_come_last():
    names = ["web-10", "", "web-9", "Web-1", "app", "9", "10"]
    ordered = [node.name for node in by_name(Node("i-1", name) for name in names)]
    assert ordered == ["9", "10", "app", "Web-1", "web-9", "web-10", ""]


@pytest.mark.parametrize(
    "fields", [None, [], {}, {"InstanceId": 7}, {"InstanceId": "x"}, {"InstanceId": "i-\x1b"}]
)
def test_what_is_no_node_is_left_out(fields):
    assert from_information(fields) is None


def test_fields_of_another_type_count_as_not_said():
    node = from_information({"InstanceId": "i-1", "PingStatus": 1, "LastPingDateTime": "x"})
    assert node == Node("i-1")
