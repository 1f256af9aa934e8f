"""Fixtures for all tests, and the rule that in CI nothing is skipped by accident."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Generator, List

import pytest

from tests.support import program
from tests.support.code_cache import small_file
from tests.support.home import empty_home
from tests.support.interpreters import interpreters

ROOT = Path(__file__).resolve().parent.parent

# The oldest Pythons have no cryptography and no botocore: what needs them is skipped there.
STRICT = os.environ.get("CI") == "true" and sys.version_info >= (3, 9)


# A background job of a script starts with these ignored, and a node's programs would inherit that.
for _signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
    if signal.getsignal(_signal) == signal.SIG_IGN:
        signal.signal(_signal, signal.SIG_DFL)


# scripts/test sets this to the file that says how to measure.
TO_MEASURE = "SSM_TEST_COVERAGE"
_tracer: Any = None  # what measures this thread


def pytest_configure() -> None:
    interpreters()  # looked for once: the workers of a run inherit the answer


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Generator[None, Any, None]:
    """What is collected stays to the end: the garbage collector need not look at it again."""
    gc.disable()
    yield
    if hasattr(gc, "freeze"):  # not on 3.6
        gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """What measures begins here, where tests run: neither collecting them nor handing them out is
    measured, which takes twice as long then. What runs once, as a module is imported, is measured
    in the programs."""
    workers = getattr(session.config.option, "numprocesses", None)
    if TO_MEASURE in os.environ and not workers:
        import coverage

        program.how_to_measure = os.environ[TO_MEASURE]
        os.environ["COVERAGE_PROCESS_START"] = program.how_to_measure
        coverage.process_startup()
        del os.environ["COVERAGE_PROCESS_START"]
        global _tracer
        _tracer = sys.gettrace()
        sys.settrace(None)


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_setup() -> Generator[None, Any, None]:
    """Between the tests nothing of ours runs, and what pytest does there takes twice as long where
    it is traced. Other threads go on being measured."""
    if _tracer:
        sys.settrace(_tracer)
    yield
    if _tracer:
        sys.settrace(None)


pytest_runtest_call = pytest_runtest_teardown = pytest_runtest_setup


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, None]:
    """Of a test with several cases only the first one's programs are measured: the further cases
    run the same lines. What runs in the tests' own process is measured always."""
    cases = getattr(item, "callspec", None)
    program.measures = cases is None or not any(cases.indices.values())
    yield
    program.measures = True


@pytest.fixture(scope="session", autouse=True)
def home_of_tests() -> Generator[str, None, None]:
    """The home of all that the tests start: shells there run nothing of the user's."""
    with empty_home() as folder:
        yield folder
        program.close_servers()


@pytest.fixture
def measured_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what no fork runs: all that is started with this environment is measured, too."""
    if program.how_to_measure:
        monkeypatch.setenv("COVERAGE_PROCESS_START", program.how_to_measure)


@pytest.fixture
def no_forks() -> Generator[None, None, None]:
    with program.no_forks():
        yield


@pytest.fixture(scope="session")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built file, ``session-manager-plugin``, fresh; ``ssm-plugin`` lies beside it. It unpacks
    itself into a cache of these tests', not the user's. All workers of a run share both: to compile
    what is inside takes most of a second, for each Python."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    os.environ["XDG_CACHE_HOME"] = str(shared / "cache")
    folder = shared / "dist"
    if not folder.exists():
        built = tmp_path_factory.mktemp("built")
        subprocess.check_call([sys.executable, str(ROOT / "scripts" / "build_zipapp"), str(built)])
        with suppress(OSError):  # another worker was faster
            built.rename(folder)
    return folder / "session-manager-plugin"


@pytest.fixture(scope="session")
def small_zipapp(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests of the code cache: see ``support.code_cache``."""
    return small_file(zipapp, tmp_path_factory.mktemp("small"))


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """What needs moto comes first and stays together: one worker starts it, once."""
    items.sort(key=lambda item: "moto" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def moto_server() -> Generator[Any, None, None]:
    program = os.environ.get("SSM_TEST_MOTO") or shutil.which("moto_server")
    if not program:
        pytest.skip("no moto_server: scripts/test installs one")
    from tests.support.moto import MotoServer  # with all that our client needs

    with MotoServer(program) as server:
        yield server


@pytest.fixture(scope="module")
def moto(moto_server: Any) -> Generator[Any, None, None]:
    """AWS's services as others wrote them: see ``support.moto``."""
    yield moto_server
    moto_server.reset()


@pytest.fixture(scope="session")
def aws_cli() -> str:
    """The ``aws`` program that scripts/test installs; else the one on PATH."""
    path = os.environ.get("SSM_TEST_AWS") or shutil.which("aws")
    if not path:
        pytest.skip("no AWS CLI: scripts/test installs one")
    return str(path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    report = (yield).get_result()
    if not item.get_closest_marker("may_skip"):
        _fail_if_skipped(report)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    _fail_if_skipped((yield).get_result())


def _fail_if_skipped(report: Any) -> None:
    if STRICT and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = "skipped, which CI counts as a failure: %s" % (report.longrepr,)
