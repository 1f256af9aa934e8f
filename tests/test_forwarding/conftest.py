import pytest

from tests.support.echo import EchoServer
from tests.support.service import local_service


@pytest.fixture(scope="module")
def echo():
    with EchoServer() as server:
        yield server


@pytest.fixture(scope="module")
def service():
    with local_service() as running:
        yield running
