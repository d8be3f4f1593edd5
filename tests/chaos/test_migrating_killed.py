"""`tenants migrate`, killed in the middle."""

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from outbox_relay.provisioning import Organization
from tenants.revisions import HEAD
from tests.support.eventually import eventually
from tests.support.migrating import MIGRATE, migrated, older, revisions, told_of
from tests.support.tenants import Tenants, tenants_on

pytestmark = pytest.mark.anyio


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


async def test_killed_in_the_middle_it_leaves_nobody_at_work_and_goes_on_where_it_was(tenants: Tenants) -> None:
    organizations = await older(tenants, 3)
    await asyncio.to_thread(kill_in_the_middle, tenants, organizations)
    at_work = "select count(*) from pg_stat_activity where application_name = 'tenants upgrade'"
    eventually(lambda: tenants.execute(at_work) == [(0,)])
    assert migrated(tenants).returncode == 0
    assert revisions(tenants, organizations) == [HEAD] * 3


def kill_in_the_middle(tenants: Tenants, organizations: list[Organization]) -> None:
    with tenants.connect(organizations[-1].database) as holder, holder.transaction():
        holder.execute("create table audit ()")  # whoever is to make it waits for this to end
        with subprocess.Popen(MIGRATE, env=told_of(tenants)) as child:
            eventually(lambda: HEAD in revisions(tenants, organizations[:2]), seconds=120)
            child.kill()
        holder.execute("drop table audit")
