"""``ssm_plugin.run_many``: results as nodes end, and the end of all that runs."""

import inspect
import time

import pytest

import ssm_plugin
from ssm_plugin import many
from ssm_plugin.errors import UsageError
from tests.support.commands import Cli, wait_until_gone
from tests.support.nodes import OFF, WEB, service_with


@pytest.fixture(scope="module")
def service():
    with service_with(*(WEB[:6] + [OFF])) as service:
        yield service


@pytest.fixture
def run_many(service, tmp_path, monkeypatch):
    Cli(tmp_path, service).lend_environment(monkeypatch)

    def run_many(*arguments, **options):
        return ssm_plugin.run_many(*arguments, endpoint_url=service.endpoint_url, **options)

    return run_many


def test_a_result_comes_as_each_node_ends(run_many, tmp_path):
    """The first one ends once the second one's result was taken."""
    script = 'mkdir "$0" 2>/dev/null && while [ ! -e "$1" ]; do sleep .05; done; echo out; exit 3'
    release = tmp_path / "release"
    words = ["sh", "-c", script, str(tmp_path / "one"), str(release)]
    results = run_many("web-1,web-2", words)
    second = next(results)
    release.write_text("")
    first = next(results)
    assert {first.target, second.target} == {"web-1", "web-2"}
    assert (second.status, second.stdout, second.stderr, second.reason) == (3, b"out\n", b"", "")
    assert second.node in {node.node_id for node in WEB} and second.session_id
    assert next(results, None) is None


def test_a_node_that_fails_is_a_result_and_the_others_go_on(run_many):
    results = list(run_many(["tag:Role=web", "off"], "echo $((6*7))", parallel=3, timeout=20))
    assert sorted(one.target for one in results) == sorted(
        ["off"] + ["web-%d" % number for number in range(1, 7)]
    )
    bad = [one for one in results if one.status]
    assert [one.target for one in bad] == ["off"] and "TargetNotConnected" in str(bad[0].error)
    assert {one.stdout for one in results if not one.status} == {b"42\n"}


def test_those_that_were_not_begun_come_last_with_their_reason(run_many):
    results = list(run_many("tag:Role=web", ["false"], parallel=1, max_errors="30%"))
    assert [one.status for one in results] == [1, 1, 255, 255, 255, 255]
    assert {one.reason for one in results[2:]} == {"not begun: 2 had failed"}


def test_closing_the_generator_ends_what_runs(run_many, service, tmp_path):
    mark = "mark-%s" % tmp_path
    script = 'mkdir "$0" 2>/dev/null && exit 0; exec sh -c "sleep 1000" %s' % mark
    results = run_many("tag:Role=web", ["sh", "-c", script, str(tmp_path / "one")], parallel=4)
    assert next(results).status == 0
    results.close()
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


def test_so_does_an_exception_in_the_loop(run_many, service, tmp_path):
    mark = "mark-%s" % tmp_path
    script = 'mkdir "$0" 2>/dev/null && exit 0; exec sh -c "sleep 1000" %s' % mark
    words = ["sh", "-c", script, str(tmp_path / "one")]

    def loop():
        for result in run_many("tag:Role=web", words, parallel=4):
            raise KeyError(result.target)

    with pytest.raises(KeyError):
        loop()
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


def test_nothing_starts_before_the_first_result_is_asked_for(run_many, service):
    sessions = len(service.sessions())
    run_many("web-1", ["true"]).close()
    assert len(service.sessions()) == sessions


def test_batches_come_one_after_the_other(run_many):
    began = time.monotonic()
    results = run_many("web-1,web-2,web-3", ["true"], rolling=1, pause=0.2)
    assert [one.status for one in results] == [0, 0, 0]
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize(
    "options",
    [
        {"max_errors": 0},
        {"max_errors": "150%"},
        {"rolling": 0},
        {"pause": 5},
        {"rolling": 1, "pause": -1},
        {"rolling": 1, "pause": "1m"},
        {"timeout": "1m"},
        {"parallel": 0},
        {"parallel": 5000},
        {"via": "pigeon"},
    ],
)
def test_an_argument_that_makes_no_sense_is_told_at_once(run_many, service, options):
    calls = len(service.ssm.calls())
    with pytest.raises(UsageError):
        run_many("web-1", ["true"], **options)
    assert len(service.ssm.calls()) == calls


@pytest.mark.parametrize("argv", ["", [], [""], ["echo", "\udcff"]])
def test_so_is_what_is_no_command(run_many, service, argv):
    calls = len(service.ssm.calls())
    with pytest.raises(UsageError, match="command"):
        run_many("web-1,web-2", argv)
    assert len(service.ssm.calls()) == calls


@pytest.mark.parametrize("targets", ["tag:Role=nothing", [], ""])
def test_no_target_is_told_at_once(run_many, targets):
    with pytest.raises(UsageError):
        run_many(targets, ["true"])


def test_both_signatures_are_the_same():
    shown, real = (inspect.signature(one) for one in (ssm_plugin.run_many, many.run_many))
    assert list(shown.parameters) == list(real.parameters)
    assert [one.default for one in shown.parameters.values()] == [
        one.default for one in real.parameters.values()
    ]


def test_run_command_is_an_engine_too_and_says_what_is_not_whole(run_many):
    results = {one.target: one for one in run_many("tag:Role=web", "seq 9000", via="run-command")}
    assert len(results) == 6
    one = results["web-3"]
    assert (one.status, one.stderr, one.session_id, one.truncated) == (0, b"", "", ("stdout",))
    assert one.stdout.startswith(b"1\n2\n") and one.command_id
    with pytest.raises(UsageError, match="run-command, sessions"):
        run_many("web-1", "x", via="pigeon")


def test_closing_ends_what_run_command_runs(run_many, tmp_path):
    mark = str(tmp_path / "mark")
    words = ["sh", "-c", '[ "$AWS_SSM_INSTANCE_ID" = "$1" ] || { sleep 1000; :; }', mark]
    results = run_many("web-1,web-2", words + [WEB[0].node_id], via="run-command")
    assert next(results).target == "web-1"
    results.close()
    assert wait_until_gone(mark, 10)
