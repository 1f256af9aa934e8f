import os
import time
from datetime import datetime

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.jobs.sinks import expand

NOW = datetime(2024, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    "template, path",
    [
        ("/var/log/backup/%Y-%m-%d.log", "/var/log/backup/2024-02-03.log"),
        ("%F_%T", "2024-02-03_04:05:06"),
        ("100%%.log", "100%.log"),
        ("%%Y", "%Y"),
        ("{target}/%H.log", "i-01/04.log"),
        ("{other} {}", "{other} {}"),
        ("a~b", "a~b"),
    ],
)
def test_fields_are_filled_in(template, path):
    assert expand(template, NOW, "i-01") == path


@pytest.mark.parametrize("month, zone", [(2, "CET+0100"), (8, "CEST+0200")])
def test_the_zone_is_that_of_the_local_time(monkeypatch, month, zone):
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
            time.tzset()
            assert expand("%Z%z %H", NOW.replace(month=month), "i-01") == zone + " 04"
    finally:
        time.tzset()


def test_a_tilde_is_the_home():
    assert expand("~/x", NOW, "i-01") == os.path.expanduser("~/x") != "~/x"


@pytest.mark.parametrize("template", ["100%", "%Q", "%D", "%-d", "%\n", "%{target}"])
def test_an_unknown_field_is_an_error_that_shows_it(template):
    with pytest.raises(LocalError) as caught:
        expand("/logs/" + template, NOW, "i-01")
    assert "unknown field" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target, component",
    [
        ("ecs:a_b_c-1", "ecs:a_b_c-1"),
        ("../../etc/passwd", "__.._etc_passwd"),
        ("..", "_"),
        ("a\0b", "a_b"),
        ("%Y{target}", "%Y{target}"),
        ("~root", "~root"),
    ],
)
def test_a_target_is_one_part_of_the_path_whatever_it_is_called(target, component):
    assert expand("/logs/{target}.log", NOW, target) == "/logs/" + component + ".log"
