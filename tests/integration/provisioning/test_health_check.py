"""Periodic health checks of all organizations, and the records of their results."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.organizations.health_check import CheckSchedule, HealthChecker
from outbox_relay.provisioning.model import Organization
from outbox_relay.provisioning.provision import provision
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.tenants import RecordingStepLog, Tenants, an_organization

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

AN_HOUR = timedelta(hours=1)
NOWHERE = "postgresql+psycopg://provisioner@127.0.0.1:9/postgres"


class HealthCheckSetup:
    """The product's database and the organizations' server, as a relay uses them."""

    def __init__(self, database: Database, tenants: Tenants) -> None:
        self.database = database
        self.tenants = tenants

    async def add(self, *, status: str = "ready", is_decoy: bool = False) -> Organization:
        organization = an_organization()
        with self.database.connect() as connection:
            connection.execute(
                "insert into organizations (id, name, status, founder_id, database_name, is_decoy, ready_at)"
                " values (%s, 'Clinic', %s, gen_random_uuid(), %s, %s, case when %s = 'ready' then now() end)",
                [organization.id, status, organization.database, is_decoy, status],
            )
        return organization

    async def ready(self) -> Organization:
        organization = await self.add()
        await provision(self.tenants.server(), organization, RecordingStepLog())
        return organization

    async def run_round(self, *, most: int = 100, url: str | None = None) -> int:
        database = ReconnectingConnection(self.database.relay_url, "health check")
        checker = HealthChecker(database, self.tenants.server(url=url), CheckSchedule(AN_HOUR, most))
        try:
            return await checker.run_round()
        finally:
            await checker.close()

    def rows(self, query: str) -> list[Any]:
        with self.database.connect() as connection:
            return connection.execute(query).fetchall()

    def make_due(self) -> None:
        with self.database.connect() as connection:
            connection.execute("update organizations set check_due_at = now()")


@pytest.fixture
def checks(database: Database, tenants: Tenants) -> Iterator[HealthCheckSetup]:
    return HealthCheckSetup(database, tenants)


async def test_a_check_records_its_result_with_the_organization(checks: HealthCheckSetup) -> None:
    await checks.ready()
    assert await checks.run_round() == 1
    assert checks.rows(
        "select health, health_error, revision, tables, size_bytes > 0, checked_at = healthy_at from organizations"
    ) == [("healthy", None, "1", 2, True, True)]
    assert REGISTRY.get_sample_value("signpost_organizations", {"health": "healthy"}) == 1


async def test_the_next_check_is_due_after_about_one_period(checks: HealthCheckSetup) -> None:
    await checks.ready()
    await checks.run_round()
    assert await checks.run_round() == 0
    [(minutes,)] = checks.rows("select extract(epoch from check_due_at - now()) / 60 from organizations")
    assert 53 < minutes < 67


async def test_only_ready_organizations_are_checked(checks: HealthCheckSetup) -> None:
    await checks.add(status="provisioning")
    await checks.add(is_decoy=True)
    assert await checks.run_round() == 0


async def test_a_round_is_limited_and_starts_with_the_longest_due(checks: HealthCheckSetup) -> None:
    ids = [(await checks.add()).id for _ in range(3)]
    assert await checks.run_round(most=2) == 2
    assert {row[0] for row in checks.rows("select id from organizations where checked_at is not null")} == set(ids[:2])


async def test_concurrent_relays_share_the_checks(checks: HealthCheckSetup) -> None:
    for _ in range(6):
        await checks.add()
    assert sum(await asyncio.gather(*(checks.run_round(most=3) for _ in range(3)))) == 6


async def test_a_loss_is_recorded_with_the_databases_last_state(checks: HealthCheckSetup) -> None:
    organization = await checks.ready()
    await checks.run_round()
    checks.tenants.execute(f"drop database {organization.database}")
    for _ in range(2):
        checks.make_due()
        await checks.run_round()
    assert checks.rows("select health, health_error from organizations") == [("lost", "there is no such database")]
    assert checks.rows(
        "select revision, tables, size_bytes > 0, healthy_at is not null, restored_at from organization_losses"
    ) == [("1", 2, True, True, None)]
    [(seconds,)] = checks.rows("select extract(epoch from check_due_at - now()) from organizations")
    assert seconds <= 30

    await provision(checks.tenants.server(), organization, RecordingStepLog())
    checks.make_due()
    await checks.run_round()
    assert checks.rows("select health, health_error from organizations") == [("healthy", None)]
    assert checks.rows("select count(*) from organization_losses where restored_at is not null") == [(1,)]


async def test_a_single_unreachable_check_does_not_block_sign_in(checks: HealthCheckSetup) -> None:
    await checks.ready()
    await checks.run_round()
    for expected in ("healthy", "unreachable"):
        checks.make_due()
        await checks.run_round(url=NOWHERE)
        assert checks.rows("select health, health_error from organizations") == [
            (expected, "the server does not respond")
        ]
    assert checks.rows("select revision, tables from organizations") == [("1", 2)]


async def test_a_slow_check_does_not_overwrite_a_newer_result(checks: HealthCheckSetup) -> None:
    organization = await checks.ready()
    with checks.tenants.connect(organization.database) as holder, holder.transaction():
        holder.execute("drop table notes")
        holder.execute("update signpost.database set checked_at = now()")  # the check waits for this row
        looking = asyncio.create_task(checks.run_round())
        waiting = (
            f"select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = '{organization.database}'"
        )
        await asyncio.to_thread(eventually, lambda: checks.tenants.execute(waiting))
        checks.rows("update organizations set health = 'healthy', checked_at = now() returning id")
    await looking
    assert checks.rows("select health, health_error from organizations") == [("healthy", None)]
    checks.make_due()
    await checks.run_round()
    assert checks.rows("select health from organizations") == [("damaged",)]


async def test_databases_of_another_revision_are_counted(checks: HealthCheckSetup) -> None:
    organization = await checks.ready()
    checks.tenants.execute("update signpost.database set revision = '0'", organization.database)
    await checks.run_round()
    assert REGISTRY.get_sample_value("signpost_organizations_behind") == 1
