"""From what the user wrote to what the service wants."""

import subprocess
import sys

import pytest

from ssm_plugin.config import Settings
from ssm_plugin.errors import ServiceError, UsageError
from ssm_plugin.loopback.nodes import LocalNode
from ssm_plugin.nodes.targets import Found, find_all, find_host, find_one, near_names
from tests.support.nodes import FLEET, TWINS, WEB, service_with
from tests.support.pty import ROOT
from tests.support.running import service_client

SETTINGS = Settings(
    targets={
        "db1": "i-1",
        "seven": "name:web-7",
        "fleet": "tag:Role=web",
        "itself": "itself",
        "old": "wbe-7",
    }
)


@pytest.fixture(scope="module")
def client():
    with service_with(*FLEET) as service:
        yield service_client(service)


def names_of(found):
    return [one.name for one in found]


def test_an_id_is_not_looked_up():
    assert find_one("i-7", SETTINGS, None) == "i-7"
    assert find_one("db1", SETTINGS, None) == "i-1"
    assert find_all(["ecs:a_b_c", "db1"], SETTINGS, None) == [
        Found("ecs:a_b_c", "ecs:a_b_c"), Found("i-1", "db1")
    ]


def test_an_id_loads_nothing_that_looks_nodes_up():
    script = (
        "import sys; from ssm_plugin.commands import shell, exec, forward, ssh\n"
        "from ssm_plugin.config import Settings\n"
        "from ssm_plugin.nodes.targets import find_one\n"
        "find_one('i-7', Settings(), None)\n"
        "names = 'nodes.directory nodes.ec2 nodes.table nodes.chooser aws.xml_answer'\n"
        "loaded = [name for name in names.split() if 'ssm_plugin.' + name in sys.modules]\n"
        "late = [name for name in ('difflib', 'pyexpat') if name in sys.modules]\n"
        "sys.exit(' '.join(loaded + late) or 0)\n"
    )
    assert subprocess.call([sys.executable, "-c", script], cwd=ROOT) == 0


def test_a_name_is_looked_up(client):
    assert find_one("web-7", SETTINGS, client) == WEB[6].node_id
    assert find_one("seven", SETTINGS, client) == WEB[6].node_id


def test_of_several_none_is_chosen_where_nobody_can_be_asked(client):
    with pytest.raises(UsageError) as caught:
        find_one("twin", SETTINGS, client)
    assert str(caught.value) == (
        "the target 'twin' means 2 nodes, and one is wanted: %s (twin, 10.0.1.1, Online), "
        "%s (twin, 10.0.1.2, Online); give the id of one" % tuple(one.node_id for one in TWINS)
    )


def test_an_error_lists_so_many_and_counts_the_others(client):
    with pytest.raises(UsageError, match=r"means 12 nodes, .* \(web-8, .*\) and 4 more; give the"):
        find_one("fleet", SETTINGS, client)


@pytest.mark.parametrize(
    "word, near",
    [
        ("wbe-7", "did you mean 'web-7', "),
        ("db2", "did you mean 'db1'?"),
        ("Web-7", "did you mean 'web-7'"),
        ("tlil", "did you mean 'till'"),
        ("TILL", "did you mean 'till'"),
        ("itself", "'itself', which means 'itself' in the configuration; 'ssm-plugin list'"),
        ("old", "'old', which means 'wbe-7' in the configuration; did you mean 'web-7'"),
        ("nothing-like-it", "'nothing-like-it'; 'ssm-plugin list'"),
        ("tag:Role=wbe", "'tag:Role=wbe'; 'ssm-plugin list'"),
    ],
)
def test_a_name_that_nobody_has_is_answered_with_the_nearest(client, word, near):
    with pytest.raises(UsageError, match="no node is found for the target") as caught:
        find_one(word, SETTINGS, client)
    assert near in str(caught.value)


def test_a_name_without_its_capitals_is_one_only_where_that_is_wanted():
    nodes = [LocalNode("i-%d" % at, name) for at, name in enumerate(("Prod", "Dup", "DUP", "low"))]
    settings = Settings(targets={"DB1": "i-7"})
    with service_with(*nodes) as service:
        client = service_client(service)
        assert find_host("prod", settings, client) == Found("i-0", "Prod")
        assert find_host("db1", settings, client) == Found("i-7", "DB1")
        for word, find in (("prod", find_one), ("dup", find_host), ("tag:a=prod", find_host)):
            with pytest.raises(UsageError, match="no node is found"):
                find(word, settings, client)


def test_who_may_not_look_up_is_told_for_which_target():
    faults = "deny=DescribeInstanceInformation+DescribeInstances"
    with service_with(*FLEET, faults=faults) as service:
        with pytest.raises(ServiceError, match="cannot look up the target 'web-7': neither "):
            find_one("web-7", SETTINGS, service_client(service))


def test_several_targets_are_all_their_nodes_each_once(client):
    found = find_all(["web-7", "tag:Role=web", "i-9"], SETTINGS, client)
    assert len(found) == 13
    assert found[0] == Found(WEB[6].node_id, "web-7")
    assert names_of(found)[1:4] == ["web-1", "web-2", "web-3"]
    assert found[-1] == Found("i-9", "i-9")


def test_a_name_that_one_node_has_is_shown_as_it_was_written(client):
    assert find_all(["seven"], SETTINGS, client) == [Found(WEB[6].node_id, "seven")]


def test_nodes_of_one_name_are_told_apart_by_their_ids(client):
    assert find_all(["twin"], SETTINGS, client) == [
        Found(one.node_id, one.node_id) for one in TWINS
    ]


def test_a_node_without_a_name_is_called_by_its_id(client):
    assert find_all(["ip:10.0.2.1"], SETTINGS, client) == [
        Found("i-00000000000000abc", "i-00000000000000abc")
    ]


def test_a_node_whose_name_is_the_id_of_another_one_is_called_by_its_own_id():
    """Outputs go to files of these names: two nodes of one name would share a file."""
    nodes = LocalNode("i-1", "i-2", {"a": "b"}), LocalNode("i-2", "", {"a": "b"})
    with service_with(*nodes) as service:
        found = find_all(["tag:a=b"], SETTINGS, service_client(service))
    assert sorted(names_of(found)) == ["i-1", "i-2"]


def test_one_target_without_a_node_is_an_error_for_all(client):
    with pytest.raises(UsageError, match="'web-77'"):
        find_all(["web-7", "web-77"], SETTINGS, client)


def test_near_names_are_named_once_and_at_most_three():
    known = ["web-%d" % number for number in range(100)] * 2
    assert near_names("web-7x", known).count("'web-7'") == 1
    assert near_names("web-7x", known).count("'web-") == 3
    assert near_names("x", []) == ""
