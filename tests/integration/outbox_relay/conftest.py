from collections.abc import Iterator
from uuid import UUID

import pytest

from devstack.cluster import Cluster
from tests.support.api import ApiUnderTest
from tests.support.organizations import CLINIC, Organizer, organizer_on


@pytest.fixture(scope="module")
def organizer(cluster: Cluster) -> Iterator[Organizer]:
    with organizer_on(cluster) as organizer:
        yield organizer


@pytest.fixture
def ada(api: ApiUnderTest) -> UUID:
    """Someone who has just registered with an organization."""
    return api.registered(organization=CLINIC)
