"""Organizations of two applications, with schemas by Django and by Alembic, from the foundings to a removal."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from devstack.cluster import Cluster
from operator_console.cli import main as outboxctl
from outbox_relay.provisioning.model import Organization
from shared.ids import uuid7
from tenants.application import command_environment, migrations_of
from tenants.databases import databases_behind, url_of
from tests.support.alembic_application import alembic_application, next_release
from tests.support.databases import Database
from tests.support.django_application import MODELS, PYTHON, django_release
from tests.support.eventually import eventually
from tests.support.migrating import MIGRATE, migrate_environment, migrated
from tests.support.organizations import active_user
from tests.support.relays import RunningRelay, running_relay
from tests.support.tenants import PROVISIONER, Tenants, tenants_on

FOUNDED = 50
ADOPTED = 5
KILLED_AFTER = (8, 24)
"""`tenants migrate` is killed once the organization of that number is upgraded."""
PAUSE_SECONDS = 0.1
"""Between two rows of a member."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Application:
    """``release`` writes a release, and returns its ORGANIZATION_MIGRATIONS. The second one has what ``news`` uses."""

    release: Callable[[Path, int], str]
    table: str
    column: str
    news: str
    tables: int


def alembic_release(parent: Path, number: int) -> str:
    if number == 1:
        return str(alembic_application(parent))
    next_release(parent / "migrations")
    return str(parent / "migrations")


DJANGO = Application(django_release, "clinic_record0", "text", "select note from clinic_record24", MODELS + 2)
ALEMBIC = Application(alembic_release, "patients", "name", "select patient_id from visits", 2)
HAS_DJANGO = pytest.mark.skipif(not PYTHON.exists(), reason="Django is not installed: make interop installs it")


class TcpTenants(Tenants):
    """Django connects over TCP."""

    @property
    def url(self) -> str:
        return self.cluster.tcp_url("postgres", user=PROVISIONER)


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield TcpTenants(tenants.cluster)


@dataclass(frozen=True)
class Scene:
    """Signpost with the server of organizations, and the application in one of its releases."""

    database: Database
    tenants: Tenants
    application: Application

    def rows(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        with self.database.connect() as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def relay(self, setting: str) -> AbstractContextManager[RunningRelay]:
        settings = {"PROVISION_DATABASE_URL": self.tenants.url, "ORGANIZATION_MIGRATIONS": setting}
        return running_relay(self.database, RELAY_MAINTENANCE_SECONDS="1", **settings)

    def outboxctl(self, *arguments: str, url: str = "") -> Result:
        environment = {"DATABASE_URL": url or self.database.console_url, "PROVISION_DATABASE_URL": self.tenants.url}
        return CliRunner().invoke(outboxctl, ["organizations", *arguments], env=environment)

    def are_healthy(self, count: int) -> bool:
        query = "select count(*) from organizations where status = 'ready' and health = 'healthy'"
        return self.rows(query) == [(count,)]


@pytest.mark.parametrize(
    "application", [pytest.param(DJANGO, id="django", marks=HAS_DJANGO), pytest.param(ALEMBIC, id="alembic")]
)
def test_fifty_organizations_are_created_upgraded_repaired_adopted_and_removed(
    application: Application, database: Database, tenants: Tenants, tmp_path: Path
) -> None:
    scene = Scene(database, tenants, application)
    first = application.release(tmp_path, 1)
    owner = active_user(database)
    with scene.relay(first):
        found(scene, owner)
        eventually(lambda: scene.are_healthy(FOUNDED), seconds=300)
        adopt(scene, owner, first)
        eventually(lambda: scene.are_healthy(FOUNDED + ADOPTED), seconds=60)
    organizations = [Organization(UUID(str(key))) for (key,) in scene.rows("select id from organizations order by id")]
    count_tables = "select count(*) from signpost.existing_tables"
    assert tenants.execute(count_tables, organizations[0].database)[0][0] >= application.tables

    second = application.release(tmp_path, 2)
    upgrade_with_two_kills_while_members_work(scene, organizations, second)

    lost, removed, *others = organizations
    with scene.relay(second):
        repair_dropped(scene, lost)
        remove(scene, removed)
    assert tenants.names() == tenants.roles() == sorted(each.database for each in (lost, *others))
    assert scene.are_healthy(FOUNDED + ADOPTED - 1)
    assert scene.rows("select status, count(*) from users group by 1") == [("active", 1)]


def found(scene: Scene, owner: UUID) -> None:
    """Found the organizations, as the activation of their founder does."""
    for _ in range(FOUNDED):
        key = uuid7()
        with scene.database.connect() as connection:
            connection.execute(
                "insert into organizations (id, name, status, founder_id, database_name)"
                " values (%s, 'Clinic', 'planned', %s, %s)",
                [key, owner, Organization(key).database],
            )
            connection.execute("select signpost_enqueue_repair(%s, %s)", [key, uuid7()])


def adopt(scene: Scene, owner: UUID, setting: str) -> None:
    """Adopt databases of an earlier system with a row in each, while the relay creates their roles."""
    first = "clinic_0"
    tenants = scene.tenants
    tenants.execute(f"create database {first} owner {PROVISIONER}")
    url = url_of(tenants.url, first)
    subprocess.run(migrations_of(setting).command, env=command_environment(url), check=True, capture_output=True)
    table, column = scene.application.table, scene.application.column
    tenants.execute(f"insert into {table} ({column}) values ('an old row')", first)
    names = [first, *(f"clinic_{number}" for number in range(1, ADOPTED))]
    for name in names[1:]:
        tenants.execute(f"create database {name} template {first} owner {PROVISIONER}")
    for name in names:
        options = ("--name", name, "--owner", str(owner), "--reason", "the old system ends")
        done = scene.outboxctl("adopt", name, *options, url=scene.database.owner_url)
        assert done.exit_code == 0, done.output


def upgrade_with_two_kills_while_members_work(scene: Scene, organizations: list[Organization], setting: str) -> None:
    """Upgrade all. Every tenth organization, adopted ones included, has a member who adds rows meanwhile."""
    tenants, revision = scene.tenants, migrations_of(setting).revision
    with working_members(scene, organizations[::10]):
        for number in KILLED_AFTER:
            kill_after(tenants, organizations[number], setting)
            assert 0 < len(databases_behind(tenants.url, revision)) < len(organizations)
        behind = len(databases_behind(tenants.url, revision))
        result = migrated(tenants, ORGANIZATION_MIGRATIONS=setting)
    assert (result.returncode, result.stdout) == (0, f"revision {revision}: {behind} upgraded, 0 failed\n")
    assert databases_behind(tenants.url, revision) == []
    for organization in organizations[::10]:
        with tenants.as_member(organization) as member:
            member.execute(scene.application.news.encode())


@contextmanager
def working_members(scene: Scene, organizations: list[Organization]) -> Iterator[None]:
    """Have a member of each organization add rows until the end. None fails, and each row is there afterwards."""
    end = Event()
    table, column = scene.application.table, scene.application.column
    count = f"select count(*) from {table}"
    before = [scene.tenants.execute(count, each.database)[0][0] for each in organizations]

    def work(organization: Organization) -> int:
        rows = 0
        with scene.tenants.as_member(organization) as member:
            while not end.wait(PAUSE_SECONDS):
                member.execute(f"insert into {table} ({column}) values ('a row')".encode())
                rows += 1
        return rows

    with ThreadPoolExecutor(len(organizations)) as members:
        working = [members.submit(work, each) for each in organizations]
        try:
            yield
        finally:
            end.set()
    added = [each.result() for each in working]
    assert min(added) > 0
    after = [scene.tenants.execute(count, each.database)[0][0] for each in organizations]
    assert after == [rows + new for rows, new in zip(before, added, strict=True)]
    assert before[-1] == 1  # of the earlier system


def kill_after(tenants: Tenants, organization: Organization, setting: str) -> None:
    """Start `tenants migrate`, and kill it as by kill -9 once it has upgraded the organization's database."""
    revision = migrations_of(setting).revision
    upgraded = f"select 1 from signpost.database where revision = '{revision}'"
    with subprocess.Popen(MIGRATE, env=migrate_environment(tenants) | {"ORGANIZATION_MIGRATIONS": setting}) as child:
        eventually(lambda: tenants.execute(upgraded, organization.database), seconds=120)
        child.kill()


def repair_dropped(scene: Scene, organization: Organization) -> None:
    scene.tenants.execute(f"drop database {organization.database} with (force)")
    key = str(organization.id)
    eventually(lambda: "lost: there is no such database" in scene.outboxctl("check", key).output)
    assert "will be repaired" in scene.outboxctl("repair", key, "--reason", "dropped by mistake").output
    eventually(lambda: scene.are_healthy(FOUNDED + ADOPTED), seconds=60)
    with scene.tenants.as_member(organization) as member:
        member.execute(scene.application.news.encode())


def remove(scene: Scene, organization: Organization) -> None:
    options = ("--yes", "--reason", "the contract has ended")
    assert scene.outboxctl("remove", str(organization.id), *options).exit_code == 0
    query = "select dropped_at is not null from organizations where id = %s"
    eventually(lambda: scene.rows(query, organization.id) == [(True,)], seconds=60)
