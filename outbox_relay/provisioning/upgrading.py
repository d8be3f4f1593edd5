"""Tables for organizations: a template with the newest of them, and alembic for what is older.

Alembic is synchronous and takes most of a second to import; the relay starts without it. So it runs in a
process of its own: once a release for the template, and for databases that were made by an older one.
"""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from outbox_relay.model import FailureClass
from outbox_relay.provisioning.faults import fault_of
from outbox_relay.provisioning.server import ProvisionServer
from shared.log import get_logger
from tenants.naming import template_name
from tenants.revisions import HEAD

UPGRADE_SECONDS = 90
"""Less than a session may be idle; what takes longer is for `tenants migrate`."""

TEMPLATE_TURN = 0x7369676E706F7374
"""For making the template: any number that no organization's id ends in."""

TEMPLATE_SECONDS = 55.0
"""For how long to wait while another makes the template: two seconds, and many on a machine that is busy."""

TEMPLATE_IS_MADE = "select from pg_database where datname = %s and datistemplate and not datallowconn"

log = get_logger("relay.provisioning")


class UpgradeFailedError(Exception):
    """Alembic gave up; ``kind`` says whose fault it was."""

    def __init__(self, kind: FailureClass, sqlstate: str | None) -> None:
        super().__init__(f"migrations broke off ({sqlstate})")
        self.kind = kind
        self.sqlstate = sqlstate


async def current_template(server: ProvisionServer) -> str:
    """Return the name of a template of this release's revision, made now if there is none yet.

    One is made at a time. It counts as made when it is marked as a template, in the last statement; whatever an
    interrupted try left behind is dropped and made anew.
    """
    name = template_name(HEAD)
    if server.has_template:
        return name
    async with await server.turn(TEMPLATE_TURN, seconds=TEMPLATE_SECONDS) as connection:
        if not (await connection.execute(TEMPLATE_IS_MADE, [name])).rowcount:
            await _make_template(server, connection, name)
    server.has_template = True
    return name


async def _make_template(server: ProvisionServer, connection: AsyncConnection[TupleRow], name: str) -> None:
    template = sql.Identifier(name)
    await _drop_what_is_left(connection, template)
    await connection.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(template))
    await connection.execute(sql.SQL("revoke all on database {} from public").format(template))
    try:
        await upgrade(server.url_of(name))
    except UpgradeFailedError as error:
        # Whoever came first has the bad luck of it, and no part in it.
        raise UpgradeFailedError(FailureClass.PROVIDER, error.sqlstate) from error
    await connection.execute(sql.SQL("alter database {} allow_connections false is_template true").format(template))
    log.info("tenant template made", revision=HEAD)


async def _drop_what_is_left(connection: AsyncConnection[TupleRow], template: sql.Identifier) -> None:
    """Drop what whoever was killed while making it has left behind; alembic may still be at work in it."""
    try:
        await connection.execute(sql.SQL("drop database if exists {} with (force)").format(template))
    except psycopg.errors.InsufficientPrivilege:
        # So may autovacuum, which none but a superuser may end; without force PostgreSQL sends it away itself.
        await connection.execute(sql.SQL("drop database if exists {}").format(template))


async def upgrade(url: str) -> None:
    """Run the tenants' migrations on one database, in a process of its own. Raises UpgradeFailedError."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tenants", "upgrade", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(UPGRADE_SECONDS):
            told, _ = await child.communicate(json.dumps(url).encode() + b"\n")
    except TimeoutError:
        raise UpgradeFailedError(FailureClass.TRANSIENT, None) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if facts := _facts_in(told):
        raise UpgradeFailedError(fault_of(facts["sqlstate"]), facts["sqlstate"])


def _facts_in(told: bytes) -> dict[str, str | None]:
    """Return what went wrong, if anything did; a process that died without a word tells no SQLSTATE."""
    try:
        facts: dict[str, str | None] = json.loads(told)
    except ValueError:
        return {"sqlstate": None}
    return facts
