"""EC2's look-ups at an EC2 that others wrote."""

import os
import shutil

import pytest

from ssm_plugin.nodes import ec2
from tests.support.moto import MotoServer

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def moto():
    program = os.environ.get("SSM_TEST_MOTO") or shutil.which("moto_server")
    if not program:
        pytest.skip("no moto_server: scripts/test installs one")
    with MotoServer(program) as moto:
        yield moto


@pytest.fixture(scope="module")
def ids(moto):
    names = ["web-%d" % number for number in range(1, 13)]
    made = {name: moto.run_instance(name, Role="web") for name in names}
    for name in ("twin", "a b, \u65e5\u672c <&>", "st*r"):
        made[name] = moto.run_instance(name, **{"a:b": "c=d"})
    return made


def found(instances):
    return {one.name: one.instance_id for one in instances}


def test_instances_are_found_by_their_ids(moto, ids):
    wanted = [ids["web-7"], ids["twin"], "i-0123456789abcdef0"]
    assert found(ec2.with_ids(moto.client, wanted)) == {
        "web-7": ids["web-7"], "twin": ids["twin"]
    }


@pytest.mark.parametrize("name", ["web-7", "twin", "a b, \u65e5\u672c <&>"])
def test_an_instance_is_found_by_its_name(moto, ids, name):
    assert found(ec2.with_tag(moto.client, "Name", name)) == {name: ids[name]}


def test_instances_are_found_by_a_tag(moto, ids):
    assert len(found(ec2.with_tag(moto.client, "Role", "web"))) == 12
    assert len(found(ec2.with_tag(moto.client, "a:b", "c=d"))) == 3
    assert found(ec2.with_tag(moto.client, "Role", "nobody")) == {}


def test_an_instance_is_found_by_its_addresses(moto, ids):
    [one] = ec2.with_ids(moto.client, [ids["web-3"]])
    assert one.address
    assert found(ec2.with_address(moto.client, one.address)) == {"web-3": ids["web-3"]}


def test_all_names_are_told(moto, ids):
    assert sorted(ec2.all_names(moto.client)) == sorted(ids)
