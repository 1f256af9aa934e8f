import os

import pytest

from tests.support.echo import EchoServer
from tests.support.service import local_service


@pytest.fixture(scope="module")
def quick_python(tmp_path_factory):
    """The first python3 on PATH is a program, and not a script of some version manager."""
    before = os.environ["PATH"]
    os.environ["PATH"] = "/usr/bin:" + before
    yield
    os.environ["PATH"] = before


@pytest.fixture(scope="module")
def echo(quick_python):
    with EchoServer() as server:
        yield server


@pytest.fixture
def service(quick_python):
    with local_service() as running:
        yield running
