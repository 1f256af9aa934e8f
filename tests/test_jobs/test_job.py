import os
from datetime import datetime

import pytest

from ssm_plugin.config import JobSettings, Settings
from ssm_plugin.errors import LocalError, UsageError
from ssm_plugin.jobs.job import argv_of, check_job, order_of, output_path, run_job
from ssm_plugin.jobs.lock import JobLock, lock_directory
from ssm_plugin.nodes.targets import Found
from tests.support.commands import Node
from tests.support.service import local_service

NOW = datetime(2026, 11, 22, 2, 15)
SETTINGS = Settings(targets={"db1": "i-1", "db2": "i-2"})


@pytest.fixture(scope="module")
def service():
    with local_service(targets={"i-1", "i-2"}) as service:
        yield service


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path)}


@pytest.fixture
def run(service, environ):
    def run(*targets, **fields):
        job = JobSettings("nightly", targets or ("db1",), fields.pop("command"), **fields)
        return run_job(job, SETTINGS, Node(service).environment, environ, NOW)

    return run


def test_a_job_that_goes_well_has_nothing_to_say(run, tmp_path):
    path = tmp_path / "logs" / "%Y" / "{target}.log"
    report = run(command="echo out; echo err >&2", output=str(path))
    assert (report.status, report.failure()) == (0, "")
    lines = (tmp_path / "logs" / "2026" / "db1.log").read_text().split()
    assert sorted(lines) == ["err", "out"]


def test_output_is_appended_from_run_to_run(run, tmp_path):
    for _ in range(2):
        run(command="echo once", output=str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "once\nonce\n"


def test_without_a_path_the_latest_output_is_kept(run, environ):
    run(command="echo first")
    report = run(command="echo second")
    assert report.paths["db1"].startswith(environ["HOME"])
    with open(report.paths["db1"]) as file:
        assert file.read() == "second\n"


def test_a_failure_is_one_line_that_says_where_the_output_is(run, tmp_path):
    report = run(command="echo why; exit 3", output=str(tmp_path / "log"))
    assert report.status == 3
    assert report.failure() == "job nightly failed: db1: exit status 3, output in %s/log" % tmp_path


def test_of_several_targets_those_that_failed_are_named(run):
    report = run("db1", "i-unknown", "db2", command="true")
    assert report.status == 255
    assert report.failure().startswith("job nightly failed on 1 of 3 targets: i-unknown: ")
    assert "\n" not in report.failure()


def test_targets_may_share_a_file(run, tmp_path):
    run("db1", "db2", command="echo line", output=str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "line\nline\n"


def test_the_command_gets_its_variables(run, tmp_path):
    run(
        command="printf '%s|' \"$A\" \"$B\"",
        environment={"A": "it's $x", "B": "two\nlines"},
        output=str(tmp_path / "log"),
    )
    assert (tmp_path / "log").read_text() == "it's $x|two\nlines|"


def test_a_list_is_no_shell_line(run, tmp_path):
    run(command=("printf", "%s", "$HOME; exit 3"), output=str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "$HOME; exit 3"


def test_a_time_limit_is_a_failure_with_status_124(run):
    report = run(command="sleep 1000", timeout=0.3)
    assert report.status == 124
    assert "time limit of 0.3 s" in report.failure()


def test_a_job_that_runs_already_starts_nothing(run, service, environ):
    sessions = len(service.sessions())
    with JobLock("nightly", lock_directory(environ)):
        with pytest.raises(LocalError) as caught:
            run(command="true", lock=True)
        assert "already running" in str(caught.value)
        assert run(command="true", lock=False).status == 0
    assert run(command="true", lock=True).status == 0
    assert len(service.sessions()) == sessions + 2


def test_a_path_that_cannot_be_opened_starts_nothing(run, service, tmp_path):
    sessions = len(service.sessions())
    with pytest.raises(LocalError):
        run(command="true", output=str(tmp_path))
    assert len(service.sessions()) == sessions


def test_variables_are_set_by_env_in_a_stable_order():
    job = JobSettings("j", ("db1",), ("a", "b"), environment={"Z": "1", "A": "x y"})
    assert argv_of(job) == ("env", "A=x y", "Z=1", "a", "b")
    assert argv_of(job._replace(command="a | b", environment={})) == ("sh", "-c", "a | b")


def test_the_jobs_document_goes_before_the_general_one():
    job, node = JobSettings("j", ("db1",), "true", retries=2, timeout=5.0), Found("i-1", "db1")
    request = order_of(job, SETTINGS, [node]).request(node)
    assert (request.target, request.name) == ("i-1", "db1")
    assert (request.retries, request.timeout) == (2, 5.0)
    assert request.document_name == "AWS-StartNonInteractiveCommand"
    general = SETTINGS._replace(document_name="General")
    assert order_of(job, general, [node]).document_name == "General"
    own = job._replace(document_name="Own")
    assert order_of(own, general, [node]).document_name == "Own"


def test_checking_finds_mistakes_and_touches_nothing(environ):
    job = JobSettings("nightly", ("db1",), "true", output="~/x/%Q.log")
    with pytest.raises(LocalError):
        check_job(job, SETTINGS, environ, NOW)
    with pytest.raises(UsageError):
        check_job(job._replace(output=None, targets=("tag:Role",)), SETTINGS, environ, NOW)
    assert list(check_job(job._replace(output=None), SETTINGS, environ, NOW)) == ["db1"]
    assert os.listdir(environ["HOME"]) == []


def test_the_latest_outputs_of_different_names_are_different_files(environ):
    names = ["ä", "ö", "a b", "a_b", "a/b", ".a_b", "", "x" * 500, "x" * 501]
    paths = [
        output_path(JobSettings(job, ("x",), "true"), environ, NOW, target)
        for job in names
        for target in names
    ]
    assert len(set(paths)) == len(paths)
    assert max(len(part) for path in paths for part in path.split("/")) < 200


def test_names_cannot_lead_the_output_elsewhere(environ):
    job = JobSettings("../../up", ("db1",), "true")
    path = output_path(job, environ, NOW, "../x")
    assert os.path.normpath(path) == path
    assert path.startswith(environ["HOME"])
