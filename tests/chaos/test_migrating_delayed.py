"""`tenants migrate`, delayed by a lock."""

import asyncio
from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from tests.support.migrating import migrated, provisioned, revisions
from tests.support.tenants import Tenants, tenants_on

pytestmark = pytest.mark.anyio


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


async def test_members_who_hold_the_migration_lock_delay_only_their_own_database(tenants: Tenants) -> None:
    organizations = await provisioned(tenants, 3)
    with tenants.as_member(organizations[0]) as member:
        member.execute("select pg_advisory_lock(hashtext('signpost'))")
        result = await asyncio.to_thread(migrated, tenants)
    assert (result.returncode, result.stdout.splitlines()) == (
        1,
        ["revision 2: 2 upgraded, 1 failed", f"  {organizations[0].database}: LockNotAvailable 55P03"],
    )
    assert revisions(tenants, organizations) == ["1", "2", "2"]
