"""The server that organizations' databases are on, and the few connections that we have to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outbox_relay.db.connection import RelayConnection, connect
from shared.database import driver_url
from shared.secrets import SecretKeys, tenant_password
from shared.sessions import SET_IN_OWN_SESSION, own_session_parameters

CONNECTIONS_EACH = 2
"""For one organization: one that holds its turn and makes databases, and one in its database."""

CREATE_SECONDS = 60
"""A copy of the template takes a tenth of a second; on a busy server, some seconds."""

IDLE_SECONDS = 120
"""After which the server ends a session that holds a turn and does nothing: its relay was paused, or is cut off."""

TURN_SECONDS = 15.0
"""For how long to wait for a turn that another has."""

_OF_ADMINISTRATION = {"statement_timeout": f"{CREATE_SECONDS}s", "idle_session_timeout": f"{IDLE_SECONDS}s"}


class PooledError(psycopg.OperationalError):
    """PROVISION_DATABASE_URL leads to a pooler, where no session is our own and a turn would be anybody's."""


class TurnTakenError(Exception):
    """Somebody else has had the turn for as long as it was waited for."""


class ProvisionServer:
    """Where databases are made, as a role with CREATEDB and CREATEROLE; it owns them.

    Never has more than ``connections`` at a time, whatever is asked of it. Other relays have as many.
    """

    def __init__(self, url: str, secret_keys: SecretKeys, *, connections: int) -> None:
        self._parts: dict[str, Any] = dict(conninfo_to_dict(driver_url(url)))
        self._keys = secret_keys
        self._places = asyncio.Semaphore(max(connections // CONNECTIONS_EACH, 1))
        self.name = f"{self._parts.get('host', 'localhost')}:{self._parts.get('port', 5432)}"
        self.has_template = False
        """Whether a template of this release's revision was seen; one that is dropped later shows when it is copied."""

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait until the connections for one organization may be opened."""
        async with self._places:
            yield

    async def turn(self, number: int, *, seconds: float = TURN_SECONDS) -> RelayConnection:
        """Connect for making and dropping databases, as the only one who has a turn of that number.

        The server keeps it as long as the session lives: a relay that dies gives it back, one that was paused
        loses both, and so can make or drop nothing any more. Raises TurnTakenError after so many seconds.
        """
        connection = await self.administration()
        try:
            async with asyncio.timeout(seconds):
                await connection.execute("select pg_advisory_lock(%s)", [number])
        except TimeoutError:
            await connection.close()
            raise TurnTakenError from None
        except BaseException:
            await connection.close()
            raise
        return connection

    async def administration(self) -> RelayConnection:
        """Connect to the database that PROVISION_DATABASE_URL names, in autocommit, as CREATE DATABASE demands."""
        connection = await connect(self.url_of(self._parts["dbname"]), "provision")
        if not connection.has_own_session:
            await connection.close()
            raise PooledError("a session of our own is needed")
        parameters = own_session_parameters(_OF_ADMINISTRATION, connection.info.backend_pid)
        await connection.execute(SET_IN_OWN_SESSION, parameters)
        return connection

    async def owned(self, database: str) -> RelayConnection:
        """Connect to an organization's database, as its owner."""
        return await connect(self.url_of(database), "provision")

    async def as_tenant(self, organization_id: UUID, database: str) -> RelayConnection:
        """Connect as its members do, with the newest key's password, or with that of a key before it."""
        *newer, oldest = self._passwords(organization_id)
        for password in newer:
            try:
                return await connect(self.url_of(database, user=database, password=password), "look")
            except psycopg.OperationalError:
                continue  # why, a server tells in words only, and in its own language
        return await connect(self.url_of(database, user=database, password=oldest), "look")

    def newest_password(self, organization_id: UUID) -> str:
        """Return what the organization's role is to log in with from now on."""
        return self._passwords(organization_id)[0]

    def url_of(self, database: str, **credentials: str) -> str:
        """Return where a database is, in the driver's form, for us or for another login."""
        return make_conninfo(**self._parts | {"dbname": database} | credentials)

    def _passwords(self, organization_id: UUID) -> list[str]:
        return [tenant_password(organization_id, key) for key in self._keys.by_id.values()]
