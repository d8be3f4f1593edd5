"""Provisioning: from nothing, or from wherever the last try broke off, to a database that was seen to work.

Every step looks at what is there, and so does no harm when it is done twice; the record tells people how far it
came. One organization is in one relay's hands at a time, for as long as that relay's session lives.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg

from outbox_relay.db.connection import RelayConnection, database_timeout
from outbox_relay.model import Failure, FailureClass
from outbox_relay.provisioning.databases import (
    catalogue_entry,
    drop_database,
    has_its_role_all_connections,
    make_database,
    make_role,
    refuse_unless_allowed,
)
from outbox_relay.provisioning.faults import fault_of
from outbox_relay.provisioning.looking import has_been_used, look, refuse_if_tables_are_gone, revision_of, seed
from outbox_relay.provisioning.organization import DamagedError, Organization, Record, Step, StepFailedError
from outbox_relay.provisioning.server import ProvisionServer, TurnTakenError
from outbox_relay.provisioning.upgrading import UpgradeFailedError, current_template, upgrade
from shared.database import QUERY_CANCELED
from tenants.revisions import REVISIONS, is_behind

STEP_SECONDS = 100.0
"""The most that a step may take: making the template is a part of the first, once a release."""
PROMPT_SECONDS = 5.0
"""A server that answers within this time is not why a statement in one database was not carried out in time."""


@dataclass(frozen=True)
class Workplace:
    """Where one organization's database is made: nobody else works on it meanwhile."""

    server: ProvisionServer
    connection: RelayConnection


async def provision(server: ProvisionServer, organization: Organization, record: Record) -> None:
    """Give the organization a database of its own, and return once its own role has read and written in it.

    Raises StepFailedError; what was done by then stays, and the next try goes on from there.
    """
    async with _workplace(server, organization.id) as workplace:
        for step, work in STEPS.items():
            await record.begun(step)
            async with _blaming(step, server), _blaming_members(step, workplace, organization):
                await work(workplace, organization)
            await record.done(step)


async def knock(server: ProvisionServer, organization: Organization) -> None:
    """Go as far as provisioning does before it makes anything, and turn back.

    Raises StepFailedError where it would be turned away.
    """
    async with _workplace(server, organization.id) as workplace, _blaming(Step.CREATE_DATABASE, server):
        await current_template(server)
        await refuse_unless_allowed(workplace.connection)


async def prepare(server: ProvisionServer) -> None:
    """See to it that there is a template of this release's revision, before anybody waits for it.

    Raises StepFailedError.
    """
    async with server.place(), _blaming(Step.CREATE_DATABASE, server):
        await current_template(server)


async def drop(server: ProvisionServer, organization: Organization) -> None:
    """Take away what provisioning has made so far, if anything; a database that was worked in stays.

    Raises StepFailedError: of class ``content`` for one that stays, for good.
    """
    async with _workplace(server, organization.id) as workplace, _blaming(Step.CREATE_DATABASE, server):
        entry = await catalogue_entry(workplace.connection, organization.database)
        if entry and not entry.is_ours:
            raise DamagedError("a database of that name belongs to another role")
        if entry and entry.is_open and not entry.is_broken:
            await _refuse_if_used(server, organization)
        await drop_database(workplace.connection, organization.database)


async def create_database(workplace: Workplace, organization: Organization) -> None:
    """Make its role and its database, a copy of the template."""
    template = await current_template(workplace.server)
    await make_role(workplace.connection, organization.database, workplace.server.newest_password(organization.id))
    try:
        await make_database(workplace.connection, organization.database, template)
    except psycopg.errors.InvalidCatalogName:
        workplace.server.has_template = False
        raise


async def migrate(workplace: Workplace, organization: Organization) -> None:
    """Bring its tables to this release's revision; a fresh copy of the template has it."""
    async with await workplace.server.owned(organization.database) as connection:
        revision = await revision_of(connection)
        await refuse_if_tables_are_gone(connection, revision)
    if revision is None or is_behind(revision):
        await upgrade(workplace.server.url_of(organization.database))


async def seed_founder(workplace: Workplace, organization: Organization) -> None:
    """Write the organization and its founder into it."""
    async with await workplace.server.owned(organization.database) as connection:
        await seed(connection, organization)


async def verify(workplace: Workplace, organization: Organization) -> None:
    """Log in as its members will, and see that all is there and can be written and read."""
    async with await workplace.server.as_tenant(organization.id, organization.database) as connection:
        findings = await look(connection, organization)
    if is_behind(findings.revision):
        raise DamagedError(f"it stayed at revision {findings.revision} of {REVISIONS[-1]}")


STEPS: dict[Step, Callable[[Workplace, Organization], Awaitable[None]]] = {
    Step.CREATE_DATABASE: create_database,
    Step.MIGRATE: migrate,
    Step.SEED_FOUNDER: seed_founder,
    Step.VERIFY: verify,
}


@asynccontextmanager
async def _workplace(server: ProvisionServer, organization_id: UUID) -> AsyncIterator[Workplace]:
    turn = int.from_bytes(organization_id.bytes[8:], signed=True)
    async with server.place():
        async with _blaming(Step.CREATE_DATABASE, server):
            connection = await server.turn(turn)
        async with connection:
            yield Workplace(server, connection)


@asynccontextmanager
async def _blaming(step: Step, server: ProvisionServer) -> AsyncIterator[None]:
    """Raise what goes wrong inside as the step's failure, with whose fault it was."""
    try:
        async with database_timeout(STEP_SECONDS):
            yield
    except DamagedError as error:
        raise StepFailedError(step, Failure(FailureClass.CONTENT, server.name, error.what)) from error
    except UpgradeFailedError as error:
        raise StepFailedError(step, Failure(error.kind, server.name, str(error))) from error
    except (OSError, TurnTakenError) as error:  # no process could be begun for alembic; another relay is at it
        raise StepFailedError(step, Failure(FailureClass.PROVIDER, server.name, type(error).__name__)) from error
    except psycopg.Error as error:
        raise StepFailedError(step, Failure(fault_of(error.sqlstate), server.name, _told(error))) from error


@asynccontextmanager
async def _blaming_members(step: Step, workplace: Workplace, organization: Organization) -> AsyncIterator[None]:
    """Take for the organization's own what its sessions bring about by themselves: no other waits because of it."""
    try:
        yield
    except psycopg.Error as error:
        if step is Step.CREATE_DATABASE or not await _is_of_its_members(workplace, organization, error):
            raise
        raise StepFailedError(step, Failure(FailureClass.TRANSIENT, workplace.server.name, _told(error))) from error


async def _is_of_its_members(workplace: Workplace, organization: Organization, error: psycopg.Error) -> bool:
    """Tell whether its role has all its connections, or holds its tables, while the server answers us."""
    if error.sqlstate not in (None, QUERY_CANCELED):
        return False
    try:
        async with database_timeout(PROMPT_SECONDS):
            has_all = await has_its_role_all_connections(workplace.connection, organization.database)
    except psycopg.Error:
        return False
    return has_all or error.sqlstate == QUERY_CANCELED


def _told(error: psycopg.Error) -> str:
    return f"{type(error).__name__}: {error.diag.message_primary or error}"


async def _refuse_if_used(server: ProvisionServer, organization: Organization) -> None:
    async with await server.owned(organization.database) as connection:
        if await has_been_used(connection):
            raise DamagedError("it has been worked in")
