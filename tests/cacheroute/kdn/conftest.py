import pytest
from fakes.object_store import ObjectStore


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    with ObjectStore(tmp_path_factory.mktemp("seaweed")) as store:
        yield store
