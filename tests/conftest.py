from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from tests.support.databases import Database, fresh_database, migrated_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with migrated_cluster() as cluster:
        yield cluster


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database
