"""`tenants migrate`: upgrades of all organizations' databases."""

import os
import subprocess
import sys

import pytest
from alembic import command

from tenants.databases import databases_behind, url_of
from tenants.schema import HEAD
from tenants.upgrade_process import migrations, upgrade_one
from tests.support.forwarding import unused_port
from tests.support.keys import SECRET_KEYS
from tests.support.migrating import MIGRATE, migrate_environment, migrated, older, revisions
from tests.support.tenants import Tenants, an_organization, ready

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
    organizations = await older(tenants, 3)
    broken = organizations[1].database
    tenants.execute("create table audit ()", broken)

    code, result, shown = migrated_before_a_terminal(tenants)
    assert (code, result) == (
        1,
        f"revision {HEAD}: 2 upgraded, 1 failed\n  {broken}: DuplicateTable 42P07\n",
    )
    assert "3/3" in shown
    assert "1 failed" in shown
    assert revisions(tenants, organizations) == [HEAD, "0001", HEAD]

    tenants.execute("drop table audit", broken)
    second = migrated(tenants)
    assert (second.returncode, second.stdout) == (0, f"revision {HEAD}: 1 upgraded, 0 failed\n")
    assert databases_behind(tenants.url) == []


async def test_an_unknown_revision_is_reported_as_an_error(tenants: Tenants) -> None:
    [organization] = await older(tenants, 1)
    tenants.execute("update schema_revision set version_num = '9999'", organization.database)
    failure = upgrade_one(url_of(tenants.url, organization.database))
    assert failure == {"error": "UnknownRevisionError", "sqlstate": None, "constraint": None}


async def test_downgrade_and_upgrade_restore_tables_and_privileges(tenants: Tenants) -> None:
    organization = an_organization()
    await ready(tenants, organization)
    made = "select relname, relkind, relacl::text from pg_class where relnamespace = 'public'::regnamespace order by 1"
    before, url = tenants.execute(made, organization.database), url_of(tenants.url, organization.database)
    command.downgrade(migrations.configuration(url), "base")
    assert [name for name, *_ in tenants.execute(made, organization.database)] == [
        "schema_revision",
        "schema_revision_pkc",
    ]
    migrations.upgrade(url)
    assert tenants.execute(made, organization.database) == before


def test_a_missing_setting_is_reported() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PROVISION_DATABASE_URL"}
    result = subprocess.run(MIGRATE, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, "settings: PROVISION_DATABASE_URL is not set\n")


@pytest.mark.parametrize("command", ["migrate", "passwords"])
def test_an_unavailable_server_is_reported_in_one_line(command: str) -> None:
    nowhere = f"postgresql+psycopg://organizer:secret@127.0.0.1:{unused_port()}/postgres"
    environment = os.environ | {"PROVISION_DATABASE_URL": nowhere, "SECRET_KEYS": SECRET_KEYS}
    asked = (sys.executable, "-m", "tenants", command)
    result = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
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
