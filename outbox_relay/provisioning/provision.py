"""Provision an organization's database in steps, from scratch or from the point where the last attempt stopped.

Each step checks what already exists, so it can be repeated. The step log is only for people; no step reads it. An
advisory lock ensures that one relay at a time works on an organization.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg

from outbox_relay.db.connection import RelayConnection, database_timeout
from outbox_relay.model import Failure, FailureClass
from outbox_relay.provisioning import inspection
from outbox_relay.provisioning.databases import (
    MigrationsFailedError,
    catalog_entry,
    close_database,
    drop_database,
    end_sessions,
    ensure_current_template,
    ensure_database,
    ensure_role,
    has_exhausted_connections,
    require_privileges,
)
from outbox_relay.provisioning.model import (
    DamagedError,
    Organization,
    Step,
    StepFailedError,
    StepLog,
    failure_class_of,
)
from outbox_relay.provisioning.server import LockTimeoutError, ProvisionServer
from shared.db.errors import QUERY_CANCELED

STEP_SECONDS = 100.0
"""Time limit for one step. If an organization needs the template first, the first step also makes it."""

ALL_MIGRATIONS_SECONDS = 900.0
"""Time limit for the template when no organization waits for it yet."""

CONTENTION_CHECK_SECONDS = 5.0
"""If a statement times out in one database but the server responds within this time, the server is not the cause."""


@dataclass(frozen=True)
class ProvisionContext:
    """The server, and a connection that holds the organization's lock."""

    server: ProvisionServer
    connection: RelayConnection


async def provision(server: ProvisionServer, organization: Organization, step_log: StepLog) -> None:
    """Create the organization's database, and return once its role has read and written in it.

    Raises StepFailedError. Completed steps stay, and the next attempt resumes after them.
    """
    async with _locked(server, organization.id) as context:
        for step, run in STEPS.items():
            await step_log.started(step)
            async with _as_step_failure(step, server), _members_contention(step, context, organization):
                await run(context, organization)
            await step_log.completed(step)


async def preflight(server: ProvisionServer, organization: Organization) -> None:
    """Do what provisioning does before it creates anything: wait for slot and lock, check template and privileges.

    Raises StepFailedError as provisioning would.
    """
    async with _locked(server, organization.id) as context, _as_step_failure(Step.CREATE_DATABASE, server):
        await ensure_current_template(server)
        await require_privileges(context.connection)


async def ensure_template(server: ProvisionServer) -> None:
    """Make the template of this release if it does not exist. Raises StepFailedError."""
    async with server.slots, _as_step_failure(Step.CREATE_DATABASE, server, ALL_MIGRATIONS_SECONDS):
        await ensure_current_template(server)


async def drop(
    server: ProvisionServer, organization: Organization, *, is_removed: bool = False, is_forced: bool = False
) -> None:
    """Drop the organization's database and role, if they exist.

    A used database is dropped only if an operator has removed the organization. Then no client can connect any more;
    ``is_forced`` also ends open sessions. Raises StepFailedError for a database that must stay, now or for good.
    """
    async with _locked(server, organization.id) as context, _as_step_failure(Step.CREATE_DATABASE, server):
        entry = await catalog_entry(context.connection, organization.database)
        if entry and not entry.is_ours:
            raise DamagedError("a database of that name belongs to another role")
        if entry and entry.is_open and not entry.is_broken:
            await _prepare_drop(context, organization, is_removed=is_removed)
        if is_forced:
            await end_sessions(context.connection, organization.database)
        await drop_database(context.connection, organization.database)


async def _prepare_drop(context: ProvisionContext, organization: Organization, *, is_removed: bool) -> None:
    if is_removed:
        await close_database(context.connection, organization.database)
        return
    async with await context.server.connect_as_owner(organization.database) as connection:
        if await inspection.has_been_used(connection):
            raise DamagedError("it has been used")


async def create_database(context: ProvisionContext, organization: Organization) -> None:
    """Create the role, and the database as a copy of the template."""
    template = await ensure_current_template(context.server)
    await ensure_role(context.connection, organization.database, context.server.newest_password(organization))
    try:
        await ensure_database(context.connection, organization.database, template)
    except psycopg.errors.InvalidCatalogName:
        context.server.has_template = False
        raise


async def prepare(context: ProvisionContext, organization: Organization) -> None:
    """Write the organization's id into its database."""
    async with await context.server.connect_as_owner(organization.database) as connection:
        await inspection.prepare(connection, organization)


async def verify(context: ProvisionContext, organization: Organization) -> None:
    """Log in as the organization's role and inspect the database."""
    async with await context.server.connect_as_tenant(organization) as connection:
        await inspection.inspect_database(connection, organization)


STEPS: dict[Step, Callable[[ProvisionContext, Organization], Awaitable[None]]] = {
    Step.CREATE_DATABASE: create_database,
    Step.PREPARE: prepare,
    Step.VERIFY: verify,
}


@asynccontextmanager
async def _locked(server: ProvisionServer, organization_id: UUID) -> AsyncIterator[ProvisionContext]:
    key = int.from_bytes(organization_id.bytes[8:], signed=True)
    async with server.slots:
        async with _as_step_failure(Step.CREATE_DATABASE, server):
            connection = await server.connect_with_lock(key)
        async with connection:
            yield ProvisionContext(server, connection)


@asynccontextmanager
async def _as_step_failure(step: Step, server: ProvisionServer, seconds: float = STEP_SECONDS) -> AsyncIterator[None]:
    """Turn errors into StepFailedError with a failure class, and limit the step's duration."""
    try:
        async with database_timeout(seconds):
            yield
    except DamagedError as error:
        raise StepFailedError(step, Failure(FailureClass.CONTENT, server.name, error.reason)) from error
    except MigrationsFailedError as error:
        # Not the fault of the organization that happened to need the template first.
        raise StepFailedError(step, Failure(FailureClass.PROVIDER, server.name, str(error))) from error
    except (OSError, LockTimeoutError) as error:  # no process for the migrations; another relay holds the lock
        raise StepFailedError(step, Failure(FailureClass.PROVIDER, server.name, type(error).__name__)) from error
    except psycopg.Error as error:
        kind = failure_class_of(error.sqlstate)
        raise StepFailedError(step, Failure(kind, server.name, _text_of(error))) from error


@asynccontextmanager
async def _members_contention(step: Step, context: ProvisionContext, organization: Organization) -> AsyncIterator[None]:
    """Classify errors that the organization's own sessions cause as transient, so that they do not open the breaker."""
    try:
        yield
    except psycopg.Error as error:
        if step is Step.CREATE_DATABASE or not await _is_caused_by_members(context, organization, error):
            raise
        raise StepFailedError(step, Failure(FailureClass.TRANSIENT, context.server.name, _text_of(error))) from error


async def _is_caused_by_members(context: ProvisionContext, organization: Organization, error: psycopg.Error) -> bool:
    """Return whether the members' own sessions are the cause.

    They are if they use all connections or lock tables, and the server itself responds.
    """
    if error.sqlstate not in (None, QUERY_CANCELED):
        return False
    try:
        async with database_timeout(CONTENTION_CHECK_SECONDS):
            is_exhausted = await has_exhausted_connections(context.connection, organization.database)
    except psycopg.Error:
        return False
    return is_exhausted or error.sqlstate == QUERY_CANCELED


def _text_of(error: psycopg.Error) -> str:
    return f"{type(error).__name__}: {error.diag.message_primary or error}"
