"""Looking after organizations' databases: each in its turn, and all of them within a period.

Any relay that is given PROVISION_DATABASE_URL takes part. When a database is due is written beside its organization,
and taking one moves that on, so that no two relays look at the same.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.metrics import count_check, tell_organizations
from outbox_relay.provisioning import CONNECTIONS_EACH, Health, Organization, ProvisionServer, check
from outbox_relay.settings import RelaySettings
from shared.log import get_logger
from shared.vocabulary import Verdict
from tenants.revisions import REVISIONS

TURN_SECONDS = 5
"""So often a relay looks whether any are due."""

TURNS_UNCOUNTED = 12
"""After so many turns all are counted, though this relay looked at none: others may have found something else."""

AGAIN_SECONDS = 30
"""After which what was not in order is looked at again: it may have been mended."""

# Spread by chance, so that those which were founded, or taken, at one moment do not stay together for ever.
TAKE = """
with due as (
    select id from organizations
     where status = 'ready' and not is_decoy and check_due_at <= now()
     order by check_due_at limit %(most)s for update skip locked)
update organizations set check_due_at = now() + %(period)s * (0.9 + 0.2 * random())
 where id = any(array(select id from due))
returning id, name, country, founder_id, now()
"""

# A look may take seconds, and meanwhile a repair may have ended, or another look that began later.
IS_NEWEST = """
select from organizations
 where id = %(id)s and status = 'ready' and (checked_at is null or checked_at <= %(taken_at)s) for update
"""

# What was not found, the last known stays, to say what was lost. A server that gave no answer once may have been
# busy for a moment: that closes no door before it is seen a second time, half a minute later.
NOTE = """
update organizations
   set health = case when %(health)s = 'unreachable' and health_error is null then health else %(health)s end,
       health_error = %(error)s, checked_at = now(), revision = coalesce(%(revision)s, revision),
       tables = coalesce(%(tables)s, tables), size_bytes = coalesce(%(size_bytes)s, size_bytes),
       healthy_at = case when %(is_well)s then now() else healthy_at end,
       check_due_at = case when %(is_well)s then check_due_at else least(check_due_at, now() + %(again)s) end
 where id = %(id)s
"""

# Before its row is changed: what the database had been is in it. One loss stays one, however often it is seen.
NOTE_LOSS = """
insert into organization_losses (id, organization_id, healthy_at, revision, tables, size_bytes)
select %(loss_id)s, id, healthy_at, revision, tables, size_bytes from organizations where id = %(id)s
on conflict (organization_id) where restored_at is null do nothing
"""
NOTE_RESTORED = (
    "update organization_losses set restored_at = now() where organization_id = %(id)s and restored_at is null"
)

COUNT = """
select coalesce(health, 'unknown'), count(*), count(*) filter (where revision = any(%s))
  from organizations where status = 'ready' and not is_decoy group by 1
"""

log = get_logger("relay.inspecting")


@dataclass(frozen=True)
class Pace:
    """How often each organization is looked at, how many at most in a turn, and how many of these side by side."""

    period: timedelta
    most: int
    at_once: int = 2


def pace_of(settings: RelaySettings) -> Pace:
    """Return the pace that settings ask for. Half of the connections are left for making databases."""
    return Pace(
        timedelta(seconds=settings.provision_check_seconds),
        settings.provision_checks_per_minute * TURN_SECONDS // 60,
        max(settings.provision_connections // CONNECTIONS_EACH // 2, 1),
    )


@dataclass(frozen=True)
class Due:
    """An organization that is to be looked at, and when it was taken, by our own database's clock."""

    organization: Organization
    taken_at: datetime


class Inspector:
    """This relay's part in looking after the organizations."""

    def __init__(self, lifeline: ReconnectingConnection, server: ProvisionServer, pace: Pace) -> None:
        self._lifeline = lifeline
        self._server = server
        self._pace = pace
        self._places = asyncio.Semaphore(pace.at_once)
        self._turns = 0

    async def turn(self) -> int:
        """Look at those that are due, and return how many; what fails waits for the next turn."""
        try:
            due = await self._lifeline.once(self._take)
            await asyncio.gather(*(self._look_at(one) for one in due))
            if due or self._turns % TURNS_UNCOUNTED == 0:
                await self._lifeline.once(_count)
        except psycopg.Error:
            return 0  # the lifeline has said that the outbox's database is away
        self._turns += 1
        return len(due)

    async def close(self) -> None:
        """Close the connection to the outbox's database."""
        await self._lifeline.close()

    async def _take(self, connection: AsyncConnection[TupleRow]) -> list[Due]:
        parameters = {"most": self._pace.most, "period": self._pace.period}
        rows = await (await connection.execute(TAKE, parameters)).fetchall()
        return [
            Due(Organization(organization_id, name, country, founder_id, founder_full_name=""), taken_at)
            for organization_id, name, country, founder_id, taken_at in rows
        ]

    async def _look_at(self, due: Due) -> None:
        async with self._places:
            begun = time.monotonic()
            health = await check(self._server, due.organization)
            count_check(health.verdict.value, time.monotonic() - begun)
        await self._lifeline.once(lambda connection: _note(connection, due, health))
        if health.verdict is not Verdict.HEALTHY:
            log.warning(
                "organization not healthy", organization_id=str(due.organization.id), health=health.verdict.value
            )


async def _note(connection: AsyncConnection[TupleRow], due: Due, health: Health) -> None:
    parameters = {
        "id": due.organization.id,
        "taken_at": due.taken_at,
        "loss_id": uuid4(),
        "health": health.verdict.value,
        "error": health.error,
        "revision": health.revision,
        "tables": health.tables,
        "size_bytes": health.size_bytes,
        "is_well": health.verdict is Verdict.HEALTHY,
        "again": timedelta(seconds=AGAIN_SECONDS),
    }
    async with connection.transaction():
        if not (await connection.execute(IS_NEWEST, parameters)).rowcount:
            return
        match health.verdict:
            case Verdict.LOST:
                await connection.execute(NOTE_LOSS, parameters)
            case Verdict.HEALTHY:
                await connection.execute(NOTE_RESTORED, parameters)
            case Verdict.DAMAGED | Verdict.UNREACHABLE:
                pass
        await connection.execute(NOTE, parameters)


async def _count(connection: AsyncConnection[TupleRow]) -> None:
    rows = await (await connection.execute(COUNT, [REVISIONS[:-1]])).fetchall()
    tell_organizations({health: count for health, count, _ in rows}, sum(behind for *_, behind in rows))
