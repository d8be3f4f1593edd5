"""`tenants migrate`, killed or delayed by a lock."""

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from outbox_relay.provisioning.model import Organization
from tenants.schema import HEAD
from tests.support.eventually import eventually
from tests.support.migrating import MIGRATE, migrate_environment, migrated, older, revisions
from tests.support.tenants import Tenants, tenants_on

pytestmark = pytest.mark.anyio


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


async def test_a_killed_run_leaves_no_process_and_can_be_repeated(tenants: Tenants) -> None:
    organizations = await older(tenants, 3)
    await asyncio.to_thread(kill_in_the_middle, tenants, organizations)
    at_work = "select count(*) from pg_stat_activity where application_name = 'tenants upgrade'"
    eventually(lambda: tenants.execute(at_work) == [(0,)])
    assert migrated(tenants).returncode == 0
    assert revisions(tenants, organizations) == [HEAD] * 3


async def test_members_who_hold_the_migration_lock_delay_only_their_own_database(tenants: Tenants) -> None:
    organizations = await older(tenants, 3)
    with tenants.as_member(organizations[0]) as member:
        member.execute("select pg_advisory_lock(hashtext('schema_revision'))")
        result = await asyncio.to_thread(migrated, tenants)
    assert (result.returncode, result.stdout.splitlines()) == (
        1,
        [f"revision {HEAD}: 2 upgraded, 1 failed", f"  {organizations[0].database}: LockNotAvailable 55P03"],
    )
    assert revisions(tenants, organizations) == ["0001", HEAD, HEAD]


def kill_in_the_middle(tenants: Tenants, organizations: list[Organization]) -> None:
    with tenants.connect(organizations[-1].database) as holder, holder.transaction():
        holder.execute("create table audit ()")  # the migration that creates this table waits for this transaction
        with subprocess.Popen(MIGRATE, env=migrate_environment(tenants)) as child:
            eventually(lambda: HEAD in revisions(tenants, organizations[:2]), seconds=120)
            child.kill()
        holder.execute("drop table audit")
