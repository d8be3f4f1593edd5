"""A server for organizations' databases: the tests' cluster, with a role that may create databases."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
import pytest

from devstack.cluster import Cluster
from outbox_relay.provisioning.model import Organization, Step, StepFailedError
from outbox_relay.provisioning.provision import provision
from outbox_relay.provisioning.server import ProvisionServer
from shared.db.connection_settings import driver_url
from shared.ids import uuid7
from shared.secrets import SecretKeys, tenant_password
from tenants.application import ApplicationMigrations
from tests.support.application import NOTES
from tests.support.keys import KEY, KEYS

PROVISIONER = "organizer"
OURS = "select datname from pg_database where datname ~ '^org_' order by datname"
TEMPLATES = "select datname from pg_database where datname ~ '^signpost_template_'"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Tenants:
    """Queries as superuser. Provisioning uses the role of ``server``, and the application's ``migrations``."""

    cluster: Cluster
    migrations: ApplicationMigrations = NOTES

    @property
    def url(self) -> str:
        return self.cluster.url("postgres", user=PROVISIONER)

    def server(self, keys: SecretKeys = KEYS, *, connections: int = 8, url: str | None = None) -> ProvisionServer:
        return ProvisionServer(url or self.url, keys, connections=connections, migrations=self.migrations)

    def connect(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(driver_url(self.cluster.url(database, user)), autocommit=True)

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        with self.connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def names(self) -> list[str]:
        return [name for (name,) in self.execute(OURS)]

    def roles(self) -> list[str]:
        return [name for (name,) in self.execute("select rolname from pg_roles where rolname ~ '^org_' order by 1")]

    def as_member(self, organization: Organization, database: str | None = None) -> psycopg.Connection:
        """Connect with the organization's role over the socket, where the server asks for no password."""
        return self.connect(database or organization.database, organization.database)

    def tcp_url(self, organization: Organization, key: bytes = KEY) -> str:
        password = tenant_password(organization.id, key)
        return driver_url(self.cluster.tcp_url(organization.database, f"{organization.database}:{password}"))

    def clean(self) -> None:
        for name in self.names():
            self.execute(f"drop database {name} with (force)")
        for name in self.roles():
            self.execute(f"drop role {name}")

    def drop_templates(self) -> None:
        for (name,) in self.execute(TEMPLATES):
            self.execute(f"alter database {name} is_template false")
            self.execute(f"drop database {name} with (force)")


@contextmanager
def tenants_on(cluster: Cluster) -> Iterator[Tenants]:
    """Use the cluster for organizations, and leave only a reusable role behind."""
    tenants = Tenants(cluster)
    if not tenants.execute(f"select 1 from pg_roles where rolname = '{PROVISIONER}'"):
        tenants.execute(f"create role {PROVISIONER} login createdb createrole")
    tenants.clean()
    try:
        yield tenants
    finally:
        tenants.clean()
        tenants.drop_templates()


@dataclass
class RecordingStepLog:
    """A step log in memory that calls ``at`` for each entry."""

    entries: list[tuple[str, Step]] = field(default_factory=list)
    at: Callable[[str, Step], None] = lambda _moment, _step: None

    async def started(self, step: Step) -> None:
        self._note("started", step)

    async def completed(self, step: Step) -> None:
        self._note("completed", step)

    def _note(self, moment: str, step: Step) -> None:
        self.entries.append((moment, step))
        self.at(moment, step)


def an_organization() -> Organization:
    return Organization(uuid7())


async def ready(tenants: Tenants, organization: Organization) -> ProvisionServer:
    """Provision the organization, and return its server."""
    server = tenants.server()
    await provision(server, organization, RecordingStepLog())
    return server


async def failure_of(server: ProvisionServer, organization: Organization) -> StepFailedError:
    with pytest.raises(StepFailedError) as failed:
        await provision(server, organization, RecordingStepLog())
    return failed.value
