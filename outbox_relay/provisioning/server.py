"""Connections to the server that holds the organizations' databases."""

import asyncio
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outbox_relay.db.connection import RelayConnection, connect
from outbox_relay.provisioning.model import Organization
from shared.db.connection_settings import SET_IN_OWN_SESSION, driver_url, own_session_parameters
from shared.secrets import SecretKeys, tenant_passwords
from tenants.application import ApplicationMigrations

CONNECTIONS_PER_ORGANIZATION = 2
"""The first holds the organization's lock and creates its database, the second connects to that database."""

CREATE_SECONDS = 60
"""Limit for one statement. A copy of the template takes 0.1 s, several seconds on a busy server."""

IDLE_SECONDS = 120
"""After this time, the server ends an idle session that holds a lock. Its relay is then probably suspended, or the
network is broken."""

LOCK_SECONDS = 15.0
"""How long to wait for a lock that another relay holds."""

_ADMIN_SETTINGS = {"statement_timeout": f"{CREATE_SECONDS}s", "idle_session_timeout": f"{IDLE_SECONDS}s"}


class PoolerError(psycopg.OperationalError):
    """PROVISION_DATABASE_URL leads to a connection pooler, where an advisory lock would not belong to one client."""


class LockTimeoutError(Exception):
    """Another relay held the lock during the whole waiting time."""


class ProvisionServer:
    """The server, accessed as a role with CREATEDB and CREATEROLE that owns the databases.

    Each relay opens at most ``connections`` connections at a time.
    """

    def __init__(
        self, url: str, secret_keys: SecretKeys, *, connections: int, migrations: ApplicationMigrations | None = None
    ) -> None:
        self._parts: dict[str, Any] = dict(conninfo_to_dict(driver_url(url)))
        self._keys = secret_keys
        self.slots = asyncio.Semaphore(max(connections // CONNECTIONS_PER_ORGANIZATION, 1))
        """One for each organization that the connections suffice for."""
        self.name = f"{self._parts.get('host', 'localhost')}:{self._parts.get('port', 5432)}"
        self.migrations = migrations or ApplicationMigrations()
        self.has_template = False
        """Whether a template of this release's revision was found. If it is dropped later, copying it fails."""

    async def connect_with_lock(self, key: int, *, seconds: float = LOCK_SECONDS) -> RelayConnection:
        """Connect for creating and dropping databases, with an advisory lock that lasts as long as the session.

        A relay that dies releases the lock. A relay that was paused for IDLE_SECONDS loses lock and connection, so it
        cannot create or drop anything afterwards. Raises LockTimeoutError after ``seconds``.
        """
        connection = await self.connect_as_admin()
        try:
            async with asyncio.timeout(seconds):
                await connection.execute("select pg_advisory_lock(%s)", [key])
        except TimeoutError:
            await connection.close()
            raise LockTimeoutError from None
        except BaseException:
            await connection.close()
            raise
        return connection

    async def connect_as_admin(self) -> RelayConnection:
        """Connect to the database of PROVISION_DATABASE_URL, in autocommit, which CREATE DATABASE requires."""
        connection = await connect(self.url_of(self._parts["dbname"]), "provision")
        if not connection.has_own_session:
            await connection.close()
            raise PoolerError("PROVISION_DATABASE_URL must not lead to a connection pooler")
        parameters = own_session_parameters(_ADMIN_SETTINGS, connection.info.backend_pid)
        await connection.execute(SET_IN_OWN_SESSION, parameters)
        return connection

    async def connect_as_owner(self, database: str) -> RelayConnection:
        """Connect to an organization's database as its owner."""
        return await connect(self.url_of(database), "provision")

    async def connect_as_tenant(self, organization: Organization) -> RelayConnection:
        """Connect with the organization's own role; try all passwords that may be valid, newest first."""
        database = organization.database
        *newer, oldest = self._passwords(organization)
        for password in newer:
            try:
                return await connect(self.url_of(database, user=database, password=password), "health check")
            except psycopg.OperationalError:
                continue  # a refused login has no SQLSTATE, only a text in the server's language
        return await connect(self.url_of(database, user=database, password=oldest), "health check")

    def newest_password(self, organization: Organization) -> str:
        """Return the password to set for the organization's role."""
        return self._passwords(organization)[0]

    def url_of(self, database: str, **credentials: str) -> str:
        """Return the driver's URL of a database on this server, optionally with other credentials."""
        return make_conninfo(**self._parts | {"dbname": database} | credentials)

    def _passwords(self, organization: Organization) -> list[str]:
        return tenant_passwords(organization.id, self._keys, organization.password_number)
