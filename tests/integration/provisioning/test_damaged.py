"""Repairs and drops of databases that were changed by hand."""

import pytest

from outbox_relay.model import FailureClass
from outbox_relay.provisioning.model import Step, StepFailedError
from outbox_relay.provisioning.provision import drop
from tests.support.tenants import Tenants, an_organization, failure_of, ready

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("drop table members", "without members, which must be restored from a backup"),
        ("drop table schema_revision", "without schema_revision, which must be restored from a backup"),
        ("delete from schema_revision", "schema_revision is empty: insert the revision of the tables"),
    ],
)
async def test_a_repair_does_not_recreate_dropped_tables_and_ends_as_dead(
    tenants: Tenants, damage: str, expected: str
) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    tenants.execute(damage, organization.database)
    failed = await failure_of(server, organization)
    assert (failed.step, failed.failure.kind, failed.failure.error) == (Step.MIGRATE, FailureClass.CONTENT, expected)
    with pytest.raises(StepFailedError) as kept:
        await drop(server, organization)
    assert kept.value.failure.kind is FailureClass.CONTENT


async def test_a_failed_migration_of_one_database_is_not_the_servers_failure(tenants: Tenants) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    tenants.execute("update schema_revision set version_num = '0001'", organization.database)
    failed = await failure_of(server, organization)
    assert (failed.step, failed.failure.kind) == (Step.MIGRATE, FailureClass.CONTENT)


async def test_an_older_database_with_members_is_not_dropped(tenants: Tenants) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    tenants.execute("drop table audit; update schema_revision set version_num = '0001'", organization.database)
    add = "insert into members (user_id, full_name, role) values (gen_random_uuid(), 'Bea', 'member')"
    tenants.execute(add, organization.database)
    with pytest.raises(StepFailedError):
        await drop(server, organization)
    tenants.execute("delete from members where role = 'member'", organization.database)
    await drop(server, organization)
