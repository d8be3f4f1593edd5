"""`tenants migrate`, killed or delayed by a lock."""

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from outbox_relay.provisioning.model import Organization
from tests.support.eventually import eventually
from tests.support.migrating import MIGRATE, migrate_environment, migrated, provisioned, revisions
from tests.support.tenants import Tenants, tenants_on

BLOCKED = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = '{}'"

pytestmark = pytest.mark.anyio


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


async def test_a_run_killed_twice_can_be_repeated(tenants: Tenants) -> None:
    organizations = await provisioned(tenants, 4)
    for done in (1, 2):
        await asyncio.to_thread(kill_in_the_middle, tenants, organizations, done)
    result = await asyncio.to_thread(migrated, tenants)
    assert (result.returncode, revisions(tenants, organizations)) == (0, ["2"] * 4), result.stdout


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


def kill_in_the_middle(tenants: Tenants, organizations: list[Organization], done: int) -> None:
    """Kill the run, as by kill -9, once ``done`` databases are upgraded and the next one waits for a lock."""
    waiting = organizations[done]
    with tenants.connect(waiting.database) as holder, holder.transaction():
        holder.execute("create table audit ()")  # the migration that creates this table waits for this transaction
        with subprocess.Popen((*MIGRATE[:-1], "1"), env=migrate_environment(tenants)) as child:
            blocked = (
                f"select 1 from pg_stat_activity where datname = '{waiting.database}' and wait_event_type = 'Lock'"
            )
            eventually(lambda: tenants.execute(blocked), seconds=120)
            child.kill()
        holder.execute("drop table audit")
    assert revisions(tenants, organizations[:done]) == ["2"] * done
