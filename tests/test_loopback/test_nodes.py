"""The file that names the nodes of the local service."""

import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.loopback.nodes import read_nodes

FILE = """\
nodes:
- {name: db1, tags: {Role: db, Stage: 1}, address: 10.9.1.1, platform: Debian GNU/Linux 12}
- {name: "web-{n}", count: 3, tags: {Role: web}}
- {id: mi-0123456789abcdef0, name: till, status: ConnectionLost, last_seen: 3d}
- {id: i-1, connects_after: 90s, state: pending}
- {name: off}
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "nodes.yaml"
        path.write_text(text)
        return read_nodes(str(path))

    return read


def test_what_is_said_is_taken_and_the_rest_made_up(read):
    nodes = read(FILE).nodes
    assert [node.name for node in nodes] == [
        "demo", "db1", "web-1", "web-2", "web-3", "till", "", "off"
    ]
    assert nodes[1].all_tags == {"Role": "db", "Stage": "1", "Name": "db1"}
    assert len({node.node_id for node in nodes}) == 8
    assert len({node.address for node in nodes}) == 8
    assert (nodes[5].last_seen, nodes[6].connects_after) == (259200.0, 90.0)
    assert nodes[2].node_id == read(FILE).nodes[2].node_id


def test_i_demo_may_be_described_and_is_there_in_any_case(read):
    assert [node.node_id for node in read("").nodes] == ["i-demo"]
    [node] = read("nodes: [{id: i-demo, name: mine}]").nodes
    assert node.name == "mine"


def test_sessions_are_for_those_that_are_connected(read):
    nodes = read(FILE)
    answers = [node.node_id in nodes for node in nodes.nodes]
    assert answers == [True, True, True, True, True, False, False, True]
    assert "ecs:a_b_c" in nodes
    assert "i-unknown" not in nodes


@pytest.mark.parametrize(
    "text, said",
    [
        ("nodes: [{}]", "nodes.yaml:1: nodes.1: a node needs an id or a name"),
        ("nodes:\n- {id: web}", "nodes.yaml:2: nodes.1.id: an id begins with i- or mi-"),
        ("nodes:\n- {name: a, status: Lost}", "nodes.1.status: it is not one of Online, "),
        ("nodes:\n- {name: a, count: 1000000}", "more than 100000 nodes"),
        ("nodes:\n- {name: a, colour: red}", "nodes.1.colour: unknown key"),
        ("nodes: [{id: i-1}, {id: i-1}]", "nodes.yaml:1: two nodes have the same id"),
        ("nodes: [{name: a, count: 2}]", "where there is a count, {n} in a name or an id"),
        ("nodes: {", "nodes.yaml:1"),
        ("- a", "expected a mapping, found a list"),
    ],
)
def test_mistakes_name_the_place(read, text, said):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="cannot read the nodes in .*: No such file"):
        read_nodes(str(tmp_path / "none"))
