"""Checking: one look at an organization's database, and, where it fails, whose fault that is."""

import psycopg

from outbox_relay.db.connection import database_timeout
from outbox_relay.model import FailureClass
from outbox_relay.provisioning.databases import Connection, catalogue_entry, has_its_role_all_connections
from outbox_relay.provisioning.faults import fault_of
from outbox_relay.provisioning.looking import Findings, look
from outbox_relay.provisioning.organization import DamagedError, Health, Organization
from outbox_relay.provisioning.server import ProvisionServer
from shared.vocabulary import Verdict

LOOK_SECONDS = 20.0


async def check(server: ProvisionServer, organization: Organization) -> Health:
    """Look at the organization's database as its members see it; raises nothing that has to do with it.

    One connection where all is well, and another only to find out why not: a server that refuses a connection
    tells the reason in words, and no SQLSTATE.
    """
    async with server.place():
        try:
            async with database_timeout(LOOK_SECONDS):
                return _well(await _findings(server, organization))
        except DamagedError as error:
            return Health(Verdict.DAMAGED, error.what)
        except psycopg.Error as error:
            if error.sqlstate:
                return _refused(error.sqlstate)
            return await _why_closed(server, organization)


async def _findings(server: ProvisionServer, organization: Organization) -> Findings:
    async with await server.as_tenant(organization.id, organization.database) as connection:
        return await look(connection, organization)


def _well(findings: Findings) -> Health:
    return Health(Verdict.HEALTHY, None, findings.revision, findings.tables, findings.size_bytes)


def _refused(sqlstate: str) -> Health:
    match fault_of(sqlstate):
        case FailureClass.CONTENT | FailureClass.RECIPIENT:
            return Health(Verdict.DAMAGED, f"it cannot be read or written ({sqlstate})")
        case FailureClass.TRANSIENT | FailureClass.PROVIDER:
            return Health(Verdict.UNREACHABLE, f"the server refused ({sqlstate})")


async def _why_closed(server: ProvisionServer, organization: Organization) -> Health:
    try:
        async with database_timeout(LOOK_SECONDS), await server.administration() as connection:
            found = await _in_catalogue(connection, organization.database)
    except psycopg.Error:
        return Health(Verdict.UNREACHABLE, "the server gives no answer")
    return found or await _beside_the_role(server, organization)


async def _in_catalogue(connection: Connection, database: str) -> Health | None:
    """Say what the server's own tables tell, or None where by them all is as it should be."""
    entry = await catalogue_entry(connection, database)
    if entry is None:
        return Health(Verdict.LOST, "there is no such database")
    if entry.is_broken or not entry.is_open:
        return Health(Verdict.DAMAGED, "the database is closed")
    if await has_its_role_all_connections(connection, database):
        return Health(Verdict.UNREACHABLE, "all connections of its role are taken")
    return None


async def _beside_the_role(server: ProvisionServer, organization: Organization) -> Health:
    """Tell whether nobody is let in, or the organization's role alone is not."""
    try:
        async with database_timeout(LOOK_SECONDS), await server.owned(organization.database):
            return Health(Verdict.DAMAGED, "its role is not let in")
    except psycopg.Error:
        return Health(Verdict.UNREACHABLE, "the server takes no writing connections")
