"""The nodes that a shell completes: private, for five minutes, and of one account."""

import json
import os
import stat

import pytest

from ssm_plugin.config import Settings
from ssm_plugin.nodes import cache
from ssm_plugin.nodes.node import Node

NODES = [Node("i-1", "web"), Node("mi-2")]
HERE = Settings(region="eu-west-1")


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path)}


def test_what_is_stored_is_loaded(environ):
    cache.store(NODES, HERE, environ)
    assert cache.load(HERE, environ) == NODES


def test_the_file_and_its_folder_are_private(environ):
    cache.store(NODES, HERE, environ)
    path = cache.cache_path(environ)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_another_region_or_profile_has_other_nodes(environ):
    cache.store(NODES, HERE, environ)
    assert cache.load(Settings(region="us-east-1"), environ) == []
    assert cache.load(HERE._replace(profile="ops"), environ) == []
    assert cache.load(HERE, dict(environ, AWS_PROFILE="ops")) == []


@pytest.mark.parametrize("at", [0, "now", None, 1e12])
def test_what_is_old_or_of_no_known_time_counts_no_more(environ, at):
    cache.store(NODES, HERE, environ)
    path = cache.cache_path(environ)
    with open(path) as file:
        document = json.load(file)
    with open(path, "w") as file:
        json.dump(dict(document, at=at), file)
    assert cache.load(HERE, environ) == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', "\xff"])
def test_a_damaged_file_is_none(environ, text):
    cache.store(NODES, HERE, environ)
    with open(cache.cache_path(environ), "w", encoding="latin-1") as file:
        file.write(text)
    assert cache.load(HERE, environ) == []


def test_a_file_that_others_may_write_is_not_read(environ):
    cache.store(NODES, HERE, environ)
    os.chmod(cache.cache_path(environ), 0o666)
    assert cache.load(HERE, environ) == []


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path):
    (tmp_path / ".cache").write_text("no folder")
    cache.store(NODES, HERE, {"HOME": str(tmp_path)})
    assert cache.load(HERE, {"HOME": str(tmp_path)}) == []
