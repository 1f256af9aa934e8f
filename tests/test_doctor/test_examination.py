"""How checks are run: at once, none for ever, and none hides what another one found."""

import os
import threading
import time

import pytest

from ssm_plugin.config import Settings
from ssm_plugin.doctor import examination
from ssm_plugin.doctor.finding import OK, PROBLEM, Finding, as_text, clean, from_error, next_step
from ssm_plugin.doctor.installation import check_path
from ssm_plugin.doctor.settings import check_settings
from ssm_plugin.errors import ConnectError
from ssm_plugin.masking import register_secret


def test_checks_run_at_once():
    both_are_there = threading.Barrier(2)

    def check():
        both_are_there.wait(10)
        return [Finding("target", OK, "met")]

    found = examination.at_once({"target": check, "agent": check})
    assert [one.text for one in found] == ["met", "met"]


def test_a_check_that_hangs_is_told_of_and_left():
    over = threading.Event()
    checks = {"target": lambda: over.wait(60) and [], "agent": lambda: [Finding("agent", OK, "x")]}
    start = time.monotonic()
    try:
        found = examination.at_once(checks)
    finally:
        over.set()
    assert time.monotonic() - start < 10
    assert [(one.check, one.mark) for one in found] == [("agent", OK), ("target", PROBLEM)]
    assert "took longer than 9.5 s" in found[1].text


def test_a_mistake_in_one_check_does_not_hide_the_others():
    def check():
        raise KeyError("x")

    found = examination.at_once({"target": check, "agent": lambda: [Finding("agent", OK, "y")]})
    by_check = {one.check: one for one in found}
    assert by_check["target"].text == "internal error: KeyError: 'x'"
    assert by_check["agent"].mark == OK


def test_no_secret_passes():
    register_secret("a-very-secret-token")
    one = clean(Finding("target", OK, "said a-very-secret-token", "password=hunter22222"))
    assert "secret-token" not in one.text
    assert "hunter22222" not in one.remedy


def test_an_error_is_taken_apart_into_what_failed_and_what_to_do():
    one = from_error("target", ConnectError("cannot connect; check the network"))
    assert (one.text, one.remedy) == ("cannot connect", "check the network")
    assert next_step([one], "i-1") == "To do: target: cannot connect; check the network"


def test_one_target_and_two_jobs_are_counted_as_people_say_it():
    settings = Settings(source="here", targets={"db1": ["i-1"]}, jobs={"a": None, "b": None})
    _, findings = check_settings(lambda: settings, {})
    assert findings[0].text == "here: 1 target, 2 jobs"


@pytest.mark.parametrize(
    "environ, other",
    [
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LC_CTYPE": "C.UTF-8"}, False),  # Python's own doing, where there is no locale
        ({"LC_CTYPE": "C.UTF-8", "LANG": "de_DE.utf8"}, True),
        ({}, False),
    ],
)
def test_marks_go_by_the_locale(environ, other):
    text = as_text([Finding("target", OK, "fine")], "", environ)
    assert text.startswith("\u2713" if other else "ok ")


def test_a_plugin_of_somebody_else_is_no_problem_where_ours_is_not_meant(tmp_path):
    other = tmp_path / "session-manager-plugin"
    other.write_bytes(b"\x7fELF")
    other.chmod(0o755)
    [found] = check_path({"PATH": str(tmp_path)})
    assert found.mark == "note"
    assert "another plugin, %s (version unknown)" % other in found.text


def test_a_plugin_that_leaves_something_behind_is_not_waited_for(tmp_path):
    other = tmp_path / "session-manager-plugin"
    other.write_text("#!/bin/sh\nsleep 20 &\necho 1.2.3.0\n")
    other.chmod(0o755)
    began = time.monotonic()
    [found] = check_path({"PATH": "%s:%s" % (tmp_path, os.environ["PATH"])})
    assert time.monotonic() - began < 15
    assert "another plugin, %s (version 1.2.3.0)" % other in found.text
