from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from tests.support.api import ApiUnderTest, api_on, shared_api
from tests.support.databases import Database, emptied_database, fresh_database


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A database that other tests have used. Tests that kill processes, whose sessions linger, use a new one."""
    with emptied_database(cluster) as database:
        yield database


@pytest.fixture
def new_database(cluster: Cluster) -> Iterator[Database]:
    """A new database, to which no session is connected."""
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture
def own_api(database: Database) -> Iterator[ApiUnderTest]:
    """An app for one test only: to close it, to end its sessions, or to start its background work."""
    with api_on(database) as api:
        yield api


@pytest.fixture
def api(database: Database, request: pytest.FixtureRequest) -> Iterator[ApiUnderTest]:
    """An app with default settings, or with the ``API_SETTINGS`` of the test's module."""
    with shared_api(database, **getattr(request.module, "API_SETTINGS", {})) as api:
        yield api
