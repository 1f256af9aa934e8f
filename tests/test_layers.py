"""The rules of the layout, checked on the source: who may import whom, who may do what."""

import ast
import functools
import os
import subprocess
import sys

import pytest

from ssm_plugin import errors

ROOT = os.path.dirname(os.path.abspath(errors.__file__))

# From the bottom up. What stands in one row may not import its neighbours, only what is below.
LAYERS = (
    {"named_tuple", "unpacking"},
    {"errors", "version", "files", "display", "unpacked"},
    {"strict_yaml", "masking", "shortage", "units", "fleet_plan"},
    {"log_handlers"},
    {"config", "logs", "wire"},
    {"channel", "net"},
    {"transport", "terminal", "aws"},
    {"session"},
    {"nodes", "plugins"},
    {"jobs", "loopback"},
    {"copying", "relay", "run_command"},
    {"doctor", "forwarding", "openssh"},
    {"commands", "library", "many"},
    {"cli"},
    {"__init__", "__main__"},
)
NUMBER = {name: number for number, row in enumerate(LAYERS) for name in row}

MAY_START_THREADS = {"transport/worker.py", "net/lookup.py", "shortage.py"}
# One for each side of the wire.
MAY_IMPORT_WEBSOCKET = {"transport/websocket.py", "loopback/websocket_server.py"}
MAY_WAIT_AND_PRINT = "loopback/"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def find_sources():
    for folder, _, names in os.walk(ROOT):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, ROOT).replace(os.sep, "/"), file.read()


# Every worker of the tests loads this file, and one of them needs what is below.
@functools.lru_cache(maxsize=None)
def sources():
    return dict(find_sources())


@functools.lru_cache(maxsize=None)
def trees():
    return {name: ast.parse(text, name) for name, text in sources().items()}


@functools.lru_cache(maxsize=None)
def nodes(tree):
    return list(ast.walk(tree))


def part_of(file):
    """``config`` of ``config.py``, ``net`` of ``net/tls.py``."""
    first = file.split("/")[0]
    return first[:-3] if first.endswith(".py") else first


def imports(tree, file):
    """Each import as a dotted name from the top, ``ssm_plugin.net.tls``, with its line."""
    package = ["ssm_plugin"] + file.split("/")[:-1]
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield ".".join(base + [alias.name]), node.lineno


def calls(tree):
    """Each call as its dotted text, ``time.sleep``, with its line."""
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            names, function = [], node.func
            while isinstance(function, ast.Attribute):
                names.append(function.attr)
                function = function.value
            if isinstance(function, ast.Name):
                yield ".".join([function.id] + names[::-1]), node.lineno


def first_line(node):
    """That of ``def``. Before Python 3.8 a function begins with its decorators."""
    return max([node.lineno] + [last_line(one) + 1 for one in node.decorator_list])


def last_line(node):
    """``end_lineno`` is not in Python 3.6."""
    return max(getattr(inner, "lineno", 0) for inner in ast.walk(node))


def wrong_imports(tree, file):
    own = part_of(file)
    for name, line in imports(tree, file):
        if name.split(".")[0] == "ssm_plugin":
            other = (name.split(".") + ["__init__"])[1]
            other = other if other in NUMBER else "__init__"
            inside = other == own and "/" in file
            if not inside and NUMBER[other] >= NUMBER.get(own, -1):
                yield "{}:{} imports {}".format(file, line, name)


def offenders(rule):
    return [found for file, tree in sorted(trees().items()) for found in rule(tree, file)]


def test_each_part_has_a_place_in_the_layers():
    assert sorted(part_of(file) for file in sources() if part_of(file) not in NUMBER) == []


def test_imports_point_downwards():
    assert offenders(wrong_imports) == []


def modules_used_by(tree, file):
    """Files of ours that this one imports, also where it is for type checking alone."""
    for name, _ in imports(tree, file):
        parts = name.split(".")[1:] if name.split(".")[0] == "ssm_plugin" else []
        for end in (len(parts), len(parts) - 1):
            path = "/".join(parts[:end]) + ".py"
            if end > 0 and path in trees() and path != file:
                yield path


def test_no_circle_of_imports_not_even_for_type_checking():
    left = {file: set(modules_used_by(tree, file)) for file, tree in trees().items()}
    while True:
        done = {file for file, used in left.items() if not used & set(left)}
        if not done:
            break
        left = {file: used for file, used in left.items() if file not in done}
    assert left == {}


def test_each_side_of_the_wire_imports_websocket_client_in_one_file():
    def rule(tree, file):
        for name, line in imports(tree, file):
            if name.split(".")[0] == "websocket" and file not in MAY_IMPORT_WEBSOCKET:
                yield "{}:{}".format(file, line)

    assert offenders(rule) == []


def test_every_logger_has_the_masking_filter():
    """Loggers come from logs.py alone, and are called as their modules are."""

    def rule(tree, file):
        asked = {line for name, line in calls(tree) if name.split(".")[-1] == "getLogger"}
        if asked and file != "logs.py":
            yield "{}:{}".format(file, min(asked))
        for node in nodes(tree):
            if isinstance(node, ast.Call) and ("logs.logger", node.lineno) in calls(node):
                if [getattr(argument, "id", "") for argument in node.args] != ["__name__"]:
                    yield "{}:{}".format(file, node.lineno)

    assert offenders(rule) == []


def test_threads_are_started_in_one_place():
    def rule(tree, file):
        for node in nodes(tree):
            name = getattr(node, "attr", None) or getattr(node, "id", None)
            aliases = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            if name in ("Thread", "Timer", "ThreadPoolExecutor") or "Thread" in aliases:
                if file not in MAY_START_THREADS:
                    yield "{}:{}".format(file, node.lineno)

    assert offenders(rule) == []


@pytest.mark.parametrize("function", ["print", "time.sleep", "os._exit"])
def test_nobody_prints_sleeps_or_leaves_by_the_back_door(function):
    def rule(tree, file):
        if not file.startswith(MAY_WAIT_AND_PRINT):
            for name, line in calls(tree):
                if name == function:
                    yield "{}:{}".format(file, line)

    assert offenders(rule) == []


def test_the_forbidden_functions_are_not_imported_by_name():
    def rule(tree, file):
        for name, line in imports(tree, file):
            if name in ("time.sleep", "os._exit"):
                yield "{}:{}".format(file, line)

    assert offenders(rule) == []


def test_no_file_is_long():
    lengths = {file: text.count("\n") for file, text in sources().items()}
    assert {file: n for file, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_long():
    def rule(tree, file):
        for node in nodes(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = last_line(node) - first_line(node) + 1
                if length > MAX_FUNCTION_LINES:
                    yield "{}:{} {}: {} lines".format(file, node.lineno, node.name, length)

    assert offenders(rule) == []


def test_each_file_says_what_it_is_for():
    missing = [
        file
        for file, tree in trees().items()
        if sources()[file].strip() and not ast.get_docstring(tree)
    ]
    assert missing == []


def test_a_package_imports_nothing_by_itself():
    def rule(tree, file):
        if file.endswith("/__init__.py"):
            for name, line in imports(tree, file):
                yield "{}:{} imports {}".format(file, line, name)

    assert offenders(rule) == []


def test_importing_the_package_costs_nothing():
    heavy = (
        "argparse asyncio cryptography difflib hashlib http json logging socket ssl subprocess "
        "threading urllib.request uuid websocket yaml"
    )
    script = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
        "import ssm_plugin\n"
        "sys.stdout.write(' '.join((set(sys.modules) - before) & set(sys.argv[2].split())))\n"
    )
    # -S, because what site-packages load at start would be taken for ours.
    command = [sys.executable, "-I", "-S", "-c", script, os.path.dirname(ROOT), heavy]
    assert subprocess.check_output(command, timeout=40) == b""


# --- The rules themselves can fail.


@pytest.mark.parametrize(
    "file, text",
    [
        ("errors.py", "from .version import newer_than"),
        ("net/tls.py", "from ..transport.worker import Worker"),
        ("net/tls.py", "from .. import cli"),
        ("net/tls.py", "import ssm_plugin.session.session"),
        ("net/tls.py", "def f():\n    from ..channel import mux"),
        ("config.py", "from . import logs"),
        ("session/session.py", "from ..plugins.shell import ShellSession"),
        ("config.py", "from . import __version__"),
    ],
)
def test_an_import_that_points_upwards_is_found(file, text):
    assert len(list(wrong_imports(ast.parse(text), file))) == 1


@pytest.mark.parametrize(
    "file, text",
    [
        ("net/tls.py", "from .proxy import Proxy\nfrom ..errors import ConnectError\nimport ssl"),
        ("cli.py", "from .commands import shell\nfrom . import logs"),
        ("commands/run.py", "from ssm_plugin.jobs.lock import JobLock"),
        ("__main__.py", "from ssm_plugin.cli import main"),
    ],
)
def test_an_import_that_points_downwards_is_fine(file, text):
    assert list(wrong_imports(ast.parse(text), file)) == []


def test_calls_are_found_by_their_dotted_names():
    tree = ast.parse("print(1)\nimport time\ntime.sleep(1)\na.b().c()\n[].append(1)\n")
    assert [name for name, _ in calls(tree)][:2] == ["print", "time.sleep"]
