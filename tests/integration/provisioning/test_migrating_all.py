"""`tenants migrate`: upgrades of all organizations' databases."""

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from outbox_relay.provisioning.provision import drop
from tenants.application import migrations_of
from tenants.databases import databases_behind
from tests.support.alembic_application import alembic_application, next_release
from tests.support.forwarding import unused_port
from tests.support.migrating import MIGRATE, migrate_environment, migrated, provisioned, revisions
from tests.support.tenants import Tenants

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def migrated_before_a_terminal(tenants: Tenants) -> tuple[int, str, str]:
    """Return the exit status, the output, and the progress shown on the terminal."""
    reading, writing = os.openpty()
    with subprocess.Popen(
        MIGRATE, env=migrate_environment(tenants), stdout=subprocess.PIPE, stderr=writing, text=True
    ) as child:
        os.close(writing)
        shown = everything_from(reading)
        result, _ = child.communicate()
    os.close(reading)
    return child.returncode, result, shown


async def test_a_failed_upgrade_stops_no_other_and_is_repeated_by_the_next_run(tenants: Tenants) -> None:
    organizations = await provisioned(tenants, 3)
    broken = organizations[1].database
    tenants.execute("create table audit ()", broken)

    code, result, shown = migrated_before_a_terminal(tenants)
    reason = "psycopg.errors.InsufficientPrivilege: must be owner of table audit"
    assert (code, result) == (1, f"revision 2: 2 upgraded, 1 failed\n  {broken}: {reason}\n")
    assert "3/3" in shown
    assert "1 failed" in shown
    assert revisions(tenants, organizations) == ["2", "1", "2"]

    tenants.execute("drop table audit", broken)
    second = migrated(tenants)
    assert (second.returncode, second.stdout) == (0, "revision 2: 1 upgraded, 0 failed\n")
    assert databases_behind(tenants.url, "2") == []


async def test_an_upgrade_opens_its_tables_to_members_and_keeps_a_database_unused_or_used(tenants: Tenants) -> None:
    unused, used = await provisioned(tenants, 2)
    with tenants.as_member(used) as member:
        member.execute("insert into notes (text) values ('a note')")
    assert migrated(tenants).returncode == 0
    with tenants.as_member(used) as member:
        member.execute("insert into audit (action) values ('opened')")
    await drop(tenants.server(), unused)
    assert tenants.names() == [used.database]


async def test_new_databases_have_the_schema_of_an_alembic_environment(tenants: Tenants, tmp_path: Path) -> None:
    folder = alembic_application(tmp_path)
    tenants = replace(tenants, migrations=migrations_of(str(folder)))
    [first] = await provisioned(tenants, 1)
    with tenants.as_member(first) as member:
        member.execute("insert into patients (name) values ('Bea')")
    next_release(folder)
    newer = replace(tenants, migrations=migrations_of(str(folder)))
    assert newer.migrations.revision != tenants.migrations.revision
    result = await asyncio.to_thread(migrated, tenants, ORGANIZATION_MIGRATIONS=str(folder))
    assert result.stdout == f"revision {newer.migrations.revision}: 1 upgraded, 0 failed\n"
    [second] = await provisioned(newer, 1)
    for organization in (first, second):
        with newer.as_member(organization) as member:
            member.execute("insert into visits (patient_id) select id from patients")
            assert member.execute("select version_num from alembic_version").fetchall() == [("0002",)]


def test_a_missing_setting_is_reported() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PROVISION_DATABASE_URL"}
    result = subprocess.run(MIGRATE, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, "settings: PROVISION_DATABASE_URL is not set\n")


def test_an_unavailable_server_is_reported_in_one_line() -> None:
    nowhere = f"postgresql+psycopg://organizer:secret@127.0.0.1:{unused_port()}/postgres"
    environment = os.environ | {"PROVISION_DATABASE_URL": nowhere}
    result = subprocess.run(MIGRATE, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("tenants: the server does not respond (")
    assert "secret" not in line


def everything_from(reading: int) -> str:
    shown = b""
    while True:
        try:
            shown += os.read(reading, 65_536)
        except OSError:  # the other side is closed
            return shown.decode()
