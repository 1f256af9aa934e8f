"""Targets that anybody may type, and nodes that any service may tell of."""

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ssm_plugin.aws.xml_answer import XmlError, parse_xml  # noqa: E402
from ssm_plugin.config import Settings  # noqa: E402
from ssm_plugin.display import width_of  # noqa: E402
from ssm_plugin.errors import UsageError  # noqa: E402
from ssm_plugin.nodes.chooser import picked  # noqa: E402
from ssm_plugin.nodes.directory import by_name  # noqa: E402
from ssm_plugin.nodes.grammar import split_targets  # noqa: E402
from ssm_plugin.nodes.node import Node, from_information  # noqa: E402
from ssm_plugin.nodes.table import as_object, table  # noqa: E402
from ssm_plugin.nodes.targets import check_target  # noqa: E402
from tests.test_fuzz.strategies import JSON, QUICK  # noqa: E402

ANY_TEXT = st.text(st.characters(), max_size=40)
WORDS = st.builds(
    lambda head, tail: head + tail,
    st.sampled_from(["", "i-", "mi-", "ecs:", "tag:", "ip:", "name:", "tag:a="]),
    ANY_TEXT,
)
NODES = st.builds(
    Node,
    st.just("i-1"),
    *[ANY_TEXT] * 5,
    last_seen=st.none() | st.floats(allow_nan=False, allow_infinity=False)
)
TAGS = st.sampled_from(
    [b"<a>", b"</a>", b"<a", b"<item>", b"</item>", b"<!DOCTYPE a [", b"<!ENTITY b 'c'>", b"]>",
     b"&b;", b"&#0;", b"<![CDATA[", b"]]>", b"<?x ?>", b"<!--", b"-->", b"<a:b xmlns:a='c'>"]
)
XML = st.lists(TAGS | st.binary(max_size=4), max_size=20).map(b"".join) | st.binary(max_size=60)


@given(WORDS)
@QUICK
@example("ecs:")
def test_a_word_is_a_target_or_a_mistake(word):
    try:
        target = check_target(word, Settings())
    except UsageError:
        return
    assert target.value
    target.value.encode("utf-8", "surrogatepass")


@given(ANY_TEXT)
@QUICK
def test_splitting_leaves_no_empty_targets(text):
    assert all(split_targets(text))


@given(XML)
@QUICK
@example(b'<?xml version="1.0" encoding="utf-7"?><a/>')
@example(b'<?xml version="1.0" encoding="no-such"?><a/>')
def test_xml_is_read_or_refused(data):
    try:
        root = parse_xml(data)
    except XmlError:
        return
    assert list(root.items("reservationSet")) is not None
    assert b"<!DOCTYPE" not in data.split(b"<" + root.name.encode("utf-8"))[0]


@given(JSON)
@QUICK
def test_an_entry_is_a_node_or_none(value):
    node = from_information(value)
    assert node is None or node.node_id.startswith(("i-", "mi-"))


@given(st.lists(NODES, max_size=5), st.integers(40, 200))
@QUICK
def test_a_table_is_lines_that_fit_and_do_no_harm(nodes, width):
    nodes = [node._replace(status=node.status[:3]) for node in by_name(nodes)]
    lines = table(nodes, 0.0, width, numbered=True).split("\n")
    assert len(lines) == len(nodes) + 2
    assert all("\x1b" not in line for line in lines)
    assert all(width_of(line) <= width for line in lines)
    for node in nodes:
        as_object(node)


@given(st.lists(NODES, max_size=5), ANY_TEXT)
@QUICK
def test_any_answer_of_a_person_leaves_some_of_the_nodes(nodes, answer):
    assert all(node in nodes for node in picked(nodes, nodes, answer))
