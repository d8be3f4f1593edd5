"""Organizations' databases by Django's migrations. DJANGO_PYTHON names a Python that has Django and psycopg."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from devstack.cluster import Cluster
from outbox_relay.provisioning.model import Organization, StepFailedError
from outbox_relay.provisioning.provision import drop, provision
from tenants.application import ApplicationMigrations
from tests.support.application import setting_of
from tests.support.eventually import eventually
from tests.support.migrating import MIGRATE, migrate_environment, migrated, provisioned, revisions
from tests.support.tenants import RecordingStepLog, Tenants, tenants_on

DJANGO_PYTHON = os.environ.get("DJANGO_PYTHON", "")
MODELS = 25
ORGANIZATIONS = int(os.environ.get("DJANGO_ORGANIZATIONS", "4"))

pytestmark = [
    pytest.mark.skipif(not DJANGO_PYTHON, reason="DJANGO_PYTHON is not set"),
    pytest.mark.anyio,
]

MANAGE = """
import os, sys
from urllib.parse import unquote, urlsplit
from django.conf import settings
from django.core.management import execute_from_command_line

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
url = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "clinic"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""), "HOST": url.hostname, "PORT": url.port}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
execute_from_command_line(sys.argv)
"""


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


def release(folder: Path, revision: str) -> ApplicationMigrations:
    """Write the application with 25 models, in its second release with a field more in each, and its migrations."""
    models = "from django.db import models\n"
    for number in range(MODELS):
        models += f"class Record{number}(models.Model):\n    text = models.TextField()\n"
        models += "    note = models.TextField(null=True)\n" if revision == "2" else ""
    (folder / "clinic").mkdir(exist_ok=True)
    (folder / "clinic/__init__.py").touch()
    (folder / "clinic/models.py").write_text(models)
    (folder / "manage.py").write_text(MANAGE)
    manage = (DJANGO_PYTHON, str(folder / "manage.py"))
    unused = os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    made = (*manage, "makemigrations", "clinic", "--name", f"release_{revision}")
    subprocess.run(made, env=unused, check=True, capture_output=True)
    return ApplicationMigrations((*manage, "migrate", "--noinput"), revision)


class TcpTenants(Tenants):
    """Django connects over TCP."""

    @property
    def url(self) -> str:
        return self.cluster.tcp_url("postgres", user="organizer")


async def test_all_databases_are_upgraded_while_members_work_and_after_two_kills(
    tenants: Tenants, tmp_path: Path
) -> None:
    tenants = TcpTenants(tenants.cluster, release(tmp_path, "1"))
    organizations = await provisioned(tenants, ORGANIZATIONS)
    count = "select count(*) from pg_tables where schemaname = 'public'"
    assert tenants.execute(count, organizations[0].database)[0][0] >= MODELS + 8

    newer = replace(tenants, migrations=release(tmp_path, "2"))
    end = Event()
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work, tenants, organizations, end)
        try:
            for done in (0, 1):
                await asyncio.to_thread(kill_in_the_middle, newer, organizations, done)
            result = await asyncio.to_thread(migrated, newer, ORGANIZATION_MIGRATIONS=setting_of(newer.migrations))
        finally:
            end.set()
        assert working.result() > 0
    assert (result.returncode, set(revisions(newer, organizations))) == (0, {"2"}), result.stdout

    lost, used, *_ = organizations
    tenants.execute(f"drop database {lost.database} with (force)")
    await provision(newer.server(), lost, RecordingStepLog())
    assert revisions(newer, [lost]) == ["2"]
    with pytest.raises(StepFailedError):
        await drop(newer.server(), used)
    await drop(newer.server(), lost)
    assert tenants.names() == sorted(each.database for each in organizations[1:])


def work(tenants: Tenants, organizations: list[Organization], end: Event) -> int:
    """Insert and read rows as each organization's members until the end, and return how often."""
    rounds = 0
    while not end.is_set():
        for organization in organizations:
            with tenants.as_member(organization) as member:
                member.execute("insert into clinic_record0 (text) values ('a note')")
                assert member.execute("select text from clinic_record0 limit 1").fetchone() == ("a note",)
        rounds += 1
    return rounds


def kill_in_the_middle(tenants: Tenants, organizations: list[Organization], done: int) -> None:
    """Kill the run once more than ``done`` databases have the new revision."""
    environment = migrate_environment(tenants) | {"ORGANIZATION_MIGRATIONS": setting_of(tenants.migrations)}
    with subprocess.Popen(MIGRATE, env=environment) as child:
        eventually(lambda: revisions(tenants, organizations).count("2") > done, seconds=120)
        child.kill()
