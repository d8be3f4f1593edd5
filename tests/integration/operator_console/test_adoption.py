"""`outboxctl organizations adopt`: databases of an earlier system become organizations' databases."""

from collections.abc import Iterator
from threading import Timer
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result

from devstack.cluster import Cluster
from operator_console.cli import main
from outbox_relay.provisioning.inspection import check
from outbox_relay.provisioning.model import Organization, StepFailedError
from outbox_relay.provisioning.provision import drop, provision
from shared.ids import uuid7
from shared.vocabulary import HealthStatus, database_name_of
from tenants.adoption import take_over
from tests.support.databases import Database
from tests.support.migrating import migrated
from tests.support.organizations import active_user
from tests.support.tenants import PROVISIONER, RecordingStepLog, Tenants, tenants_on

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants
        for (name,) in tenants.execute("select datname from pg_database where datname ~ '^clinic_'"):
            tenants.execute(f"drop database {name} with (force)")


def old_database(tenants: Tenants, name: str) -> None:
    """Add a database with the application's tables and a row, as the earlier system left it."""
    tenants.execute(f"create database {name} owner {PROVISIONER}")
    tables = "create table notes (id bigint generated always as identity primary key, text text not null);"
    with tenants.connect(name, PROVISIONER) as connection:
        connection.execute(f"{tables} insert into notes (text) values ('an old note')")


def adopt(database: Database, tenants: Tenants, name: str, owner_id: UUID, *options: str) -> Result:
    environment = {"DATABASE_URL": database.owner_url, "PROVISION_DATABASE_URL": tenants.url}
    command = ("organizations", "adopt", name, "--name", "Clinic", "--owner", str(owner_id))
    return CliRunner().invoke(main, [*command, "--reason", "the old system ends", *options], env=environment)


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        return connection.execute(query).fetchall()


async def test_an_adopted_database_is_repaired_and_upgraded_with_its_rows(database: Database, tenants: Tenants) -> None:
    owner_id = active_user(database)
    old_database(tenants, "clinic_1")
    dry = adopt(database, tenants, "clinic_1", owner_id, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "database clinic_1 can be adopted\n"), dry.stderr
    assert rows(database, "select count(*) from organizations") == [(0,)]
    done = adopt(database, tenants, "clinic_1", owner_id)
    assert done.exit_code == 0, done.stderr
    [(key, status, name)] = rows(database, "select id, status, database_name from organizations")
    assert (status, [name]) == ("ready", tenants.names())
    assert rows(database, "select user_id, role from organization_members") == [(owner_id, "owner")]
    assert rows(database, "select action from operator_actions") == [("adopt",)]
    assert rows(database, "select template, status from outbox_messages") == [("organization_repair", "pending")]

    server, organization = tenants.server(), Organization(UUID(str(key)))
    await provision(server, organization, RecordingStepLog())  # what a relay does with the repair
    assert (await check(server, organization)).status is HealthStatus.HEALTHY
    with pytest.raises(StepFailedError):
        await drop(server, organization)
    assert migrated(tenants).stdout == "revision 2: 1 upgraded, 0 failed\n"
    with tenants.as_member(organization) as member:
        member.execute("insert into notes (text) values ('a new note'); insert into audit (action) values ('adopted')")
        assert member.execute("select text from notes order by id").fetchall() == [("an old note",), ("a new note",)]


def test_an_interrupted_adoption_is_repeated_with_the_new_name(database: Database, tenants: Tenants) -> None:
    owner_id, organization_id = active_user(database), uuid7()
    old_database(tenants, "clinic_1")
    name = database_name_of(organization_id)
    take_over(tenants.url, "clinic_1", organization_id, name)
    assert adopt(database, tenants, name, owner_id).exit_code == 0
    assert rows(database, "select id from organizations") == [(organization_id,)]
    again = adopt(database, tenants, name, owner_id)
    assert (again.exit_code, again.stderr) == (1, f"outboxctl: organization {organization_id} exists already\n")


def test_a_database_is_refused_with_all_reasons_and_unchanged(database: Database, tenants: Tenants) -> None:
    owner_id = active_user(database)
    old_database(tenants, "clinic_1")
    tenants.execute("alter database clinic_1 owner to postgres")
    with tenants.connect("clinic_1"):
        refused = adopt(database, tenants, "clinic_1", owner_id)
    reasons = "a session uses it; it belongs to postgres: change the owner"
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"outboxctl: database clinic_1 cannot be adopted: {reasons}\n",
    )
    tenants.execute(f"alter database clinic_1 owner to {PROVISIONER}")
    tenants.execute("alter table notes owner to postgres", "clinic_1")
    assert "tables belong to postgres: use reassign owned" in adopt(database, tenants, "clinic_1", owner_id).stderr
    tenants.execute(f"alter table notes owner to {PROVISIONER}", "clinic_1")
    assert "which is no active user" in adopt(database, tenants, "clinic_1", uuid4()).stderr
    assert "it does not exist" in adopt(database, tenants, "clinic_2", owner_id).stderr
    assert tenants.execute("select to_regnamespace('signpost')", "clinic_1") == [(None,)]


def test_a_session_that_is_about_to_end_hinders_no_adoption(database: Database, tenants: Tenants) -> None:
    owner_id = active_user(database)
    old_database(tenants, "clinic_1")
    leaving = tenants.connect("clinic_1")
    Timer(0.2, leaving.close).start()
    assert adopt(database, tenants, "clinic_1", owner_id).exit_code == 0
