from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from tests.support.api import ApiUnderTest, api_on, shared_api
from tests.support.databases import Database, emptied_database, fresh_database


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """One that other tests have used. Where processes are killed, whose sessions linger, tests take a new one."""
    with emptied_database(cluster) as database:
        yield database


@pytest.fixture
def new_database(cluster: Cluster) -> Iterator[Database]:
    """A database that no other test has used: nobody is connected to it."""
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture
def own_api(database: Database) -> Iterator[ApiUnderTest]:
    """An app that no other test uses: to end it, to end its sessions, or to start what goes on beside requests."""
    with api_on(database) as api:
        yield api


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database) as api:
        yield api
