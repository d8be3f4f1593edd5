from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from tests.support.tenants import Tenants, tenants_on


@pytest.fixture(scope="module")
def server_of_tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


@pytest.fixture
def tenants(server_of_tenants: Tenants) -> Iterator[Tenants]:
    yield server_of_tenants
    server_of_tenants.clean()
