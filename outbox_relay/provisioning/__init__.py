"""A database for each organization: made in steps that may be begun again, looked at, and taken away.

All of it knows the server of the organizations only; what is written in Signpost's own database is the caller's affair.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outbox_relay.database import RelayConnection, connect
from outbox_relay.outcomes import Failure, FailureClass
from shared.database import driver_url
from shared.organizations import database_name_of
from shared.secrets import SecretKeys

TABLE = "create table if not exists organization (id uuid primary key, name text not null, founder_id uuid not null)"
SEED = "insert into organization values (%s, %s, %s) on conflict do nothing"


@dataclass(frozen=True, slots=True)
class Organization:
    """Who the database is for."""

    id: UUID
    name: str
    country: str | None
    founder_id: UUID
    founder_full_name: str

    def __repr__(self) -> str:
        return f"Organization({self.id})"  # names are nobody's business but its own


class Step(StrEnum):
    """What provisioning consists of, in this order. Each may be begun again wherever the last try broke off."""

    CREATE_DATABASE = "create_database"
    MIGRATE = "migrate"
    SEED_FOUNDER = "seed_founder"
    VERIFY = "verify"


class Record(Protocol):
    """Where it is written down how far an organization has come; what it raises ends the provisioning."""

    async def begun(self, step: Step) -> None:
        """Write down, before anything is done, that the step begins."""

    async def done(self, step: Step) -> None:
        """Write down that the step has been done."""


class StepFailedError(Exception):
    """A step broke off; the next try begins it again. ``failure`` says whose fault it was."""

    def __init__(self, step: Step, failure: Failure) -> None:
        super().__init__(step.value)
        self.step = step
        self.failure = failure


class ProvisionServer:
    """Where databases are made, as a role with CREATEDB."""

    def __init__(self, url: str, secret_keys: SecretKeys, *, connections: int) -> None:  # noqa: ARG002 - the seam's signature: one role owns all, and each try has one connection
        self._url = driver_url(url)
        parts = conninfo_to_dict(self._url)
        self.name = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"

    async def connected(self, database: str | None = None) -> RelayConnection:
        """Connect to the database that the URL names, or to an organization's."""
        return await connect(make_conninfo(self._url, **({"dbname": database} if database else {})), "provision")


async def provision(server: ProvisionServer, organization: Organization, record: Record) -> None:
    """Give the organization a database of its own, and return once it was written and read.

    Raises StepFailedError; what was done by then stays, and the next try goes on from there.
    """
    for step, work in STEPS.items():
        await record.begun(step)
        async with _blaming(step, server):
            await work(server, organization)
        await record.done(step)


async def drop(server: ProvisionServer, organization: Organization, record: Record) -> None:  # noqa: ARG001 - what was made shows on the server
    """Take away what provisioning has made so far, if anything."""
    name = sql.Identifier(database_name_of(organization.id))
    async with _blaming(Step.CREATE_DATABASE, server), await server.connected() as connection:
        await connection.execute(sql.SQL("drop database if exists {}").format(name))


async def _create(server: ProvisionServer, organization: Organization) -> None:
    name = database_name_of(organization.id)
    async with await server.connected() as connection:
        if (await connection.execute("select from pg_database where datname = %s", [name])).rowcount == 0:
            await connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


async def _migrate(server: ProvisionServer, organization: Organization) -> None:
    async with await server.connected(database_name_of(organization.id)) as connection:
        await connection.execute(TABLE)


async def _seed(server: ProvisionServer, organization: Organization) -> None:
    async with await server.connected(database_name_of(organization.id)) as connection:
        await connection.execute(SEED, [organization.id, organization.name, organization.founder_id])


async def _verify(server: ProvisionServer, organization: Organization) -> None:
    async with await server.connected(database_name_of(organization.id)) as connection:
        await connection.execute("update organization set name = name")
        await connection.execute("select from organization")


STEPS: dict[Step, Callable[[ProvisionServer, Organization], Awaitable[None]]] = {
    Step.CREATE_DATABASE: _create,
    Step.MIGRATE: _migrate,
    Step.SEED_FOUNDER: _seed,
    Step.VERIFY: _verify,
}


@asynccontextmanager
async def _blaming(step: Step, server: ProvisionServer) -> AsyncIterator[None]:
    """Raise what goes wrong inside as the step's failure: the server's fault, but for values that cannot be stored."""
    try:
        yield
    except psycopg.Error as error:
        is_its_own = isinstance(error, psycopg.DataError | psycopg.IntegrityError)
        kind = FailureClass.CONTENT if is_its_own else FailureClass.PROVIDER
        raise StepFailedError(step, Failure(kind, server.name, type(error).__name__)) from error
