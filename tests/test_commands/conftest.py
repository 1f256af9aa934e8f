import pytest

from tests.support.commands import Cli
from tests.support.drop_in import DropIn
from tests.support.service import local_service


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def cli(service, tmp_path):
    yield Cli(tmp_path, service)
    service.wait_for(lambda: not service.open_sessions())


@pytest.fixture
def drop_in(tmp_path, service):
    return DropIn(tmp_path, service)
