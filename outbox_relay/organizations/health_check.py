"""Check the databases of all organizations periodically.

Each relay with PROVISION_DATABASE_URL takes part. The due time is a column of the organization, and claiming an
organization advances it, so two relays do not check the same database at once.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.metrics import count_check, set_organization_gauges
from outbox_relay.provisioning.inspection import check
from outbox_relay.provisioning.model import Health, Organization
from outbox_relay.provisioning.server import CONNECTIONS_PER_ORGANIZATION, ProvisionServer
from outbox_relay.settings import RelaySettings
from shared.log import get_logger
from shared.vocabulary import HealthStatus

ROUNDS_BETWEEN_COUNTS = 12
"""Update the gauges at least once in this many rounds, because other relays may have checked organizations."""

RECHECK_SECONDS = 30
"""How soon to check an unhealthy organization again."""

# The random spread separates organizations that were created or checked at the same moment.
CLAIM_DUE = """
with due as (
    select id from organizations
     where status = 'ready' and not is_decoy and check_due_at <= now()
     order by check_due_at limit %(limit)s for update skip locked)
update organizations set check_due_at = now() + %(period)s * (0.9 + 0.2 * random())
 where id = any(array(select id from due))
returning id, password_number, now()
"""

# A check may take seconds. Meanwhile, a repair or a later check may write a newer result, which must not be
# overwritten.
LOCK_IF_NEWEST = """
select from organizations
 where id = %(id)s and status = 'ready' and (checked_at is null or checked_at <= %(claimed_at)s) for update
"""

# If a check could not read a value, the column keeps the last known value. After a loss, these values show what the
# database contained. A server may miss one check because it is busy: only a second failure, 30 s later, sets the status
# that blocks sign-in.
RECORD = """
update organizations
   set health = case when %(health)s = 'unreachable' and health_error is null then health else %(health)s end,
       health_error = %(error)s, checked_at = now(), revision = coalesce(%(revision)s, revision),
       tables = coalesce(%(tables)s, tables), size_bytes = coalesce(%(size_bytes)s, size_bytes),
       healthy_at = case when %(is_healthy)s then now() else healthy_at end,
       check_due_at = case when %(is_healthy)s then check_due_at else least(check_due_at, now() + %(recheck)s) end
 where id = %(id)s
"""

# Runs before RECORD, which overwrites the values. Repeated checks of one loss add no further row.
RECORD_LOSS = """
insert into organization_losses (id, organization_id, healthy_at, revision, tables, size_bytes)
select %(loss_id)s, id, healthy_at, revision, tables, size_bytes from organizations where id = %(id)s
on conflict (organization_id) where restored_at is null do nothing
"""
RECORD_RESTORED = (
    "update organization_losses set restored_at = now() where organization_id = %(id)s and restored_at is null"
)

COUNT_BY_HEALTH = """
select coalesce(health, 'unknown'), count(*), count(*) filter (where revision <> %s)
  from organizations where status = 'ready' and not is_decoy group by 1
"""

log = get_logger("relay.health_check")


@dataclass(frozen=True)
class CheckSchedule:
    """How often to check each organization, how many at most per round, and how many concurrently."""

    period: timedelta
    max_per_round: int
    concurrency: int = 2


def check_schedule_of(settings: RelaySettings) -> CheckSchedule:
    """Derive the schedule from the settings. Half of the connections are reserved for provisioning."""
    return CheckSchedule(
        timedelta(seconds=settings.provision_check_seconds),
        settings.provision_checks_per_minute * HealthChecker.round_seconds // 60,
        max(settings.provision_connections // CONNECTIONS_PER_ORGANIZATION // 2, 1),
    )


class HealthChecker:
    """Check due organizations and record the results. A relay looks for them every ``round_seconds``."""

    round_seconds: ClassVar = 5

    def __init__(self, lifeline: ReconnectingConnection, server: ProvisionServer, schedule: CheckSchedule) -> None:
        self._lifeline = lifeline
        self._server = server
        self._schedule = schedule
        self._slots = asyncio.Semaphore(schedule.concurrency)
        self._rounds = 0

    async def run_round(self) -> int:
        """Check the organizations that are due and return their number. The next round retries what fails."""
        try:
            due = await self._lifeline.once(self._claim_due)
            await asyncio.gather(*(self._check(Organization(key, number), at) for key, number, at in due))
            if due or self._rounds % ROUNDS_BETWEEN_COUNTS == 0:
                await self._lifeline.once(self._update_gauges)
        except psycopg.Error:
            return 0  # the connection has logged that the database is unavailable
        self._rounds += 1
        return len(due)

    async def close(self) -> None:
        """Close the connection to Signpost's database."""
        await self._lifeline.close()

    async def _update_gauges(self, connection: AsyncConnection[TupleRow]) -> None:
        rows = await (await connection.execute(COUNT_BY_HEALTH, [self._server.migrations.revision])).fetchall()
        set_organization_gauges({health: count for health, count, _ in rows}, sum(behind for *_, behind in rows))

    async def _claim_due(self, connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
        parameters = {"limit": self._schedule.max_per_round, "period": self._schedule.period}
        return await (await connection.execute(CLAIM_DUE, parameters)).fetchall()

    async def _check(self, organization: Organization, claimed_at: datetime) -> None:
        """Check the database, and record the result. ``claimed_at`` is a time of Signpost's database."""
        async with self._slots:
            started = time.monotonic()
            health = await check(self._server, organization)
            count_check(health.status.value, time.monotonic() - started)
        await self._lifeline.once(lambda connection: _record(connection, organization, claimed_at, health))
        if health.status is not HealthStatus.HEALTHY:
            log.warning("organization not healthy", organization_id=str(organization.id), health=health.status.value)


async def _record(
    connection: AsyncConnection[TupleRow], organization: Organization, claimed_at: datetime, health: Health
) -> None:
    parameters = {
        "id": organization.id,
        "claimed_at": claimed_at,
        "loss_id": uuid4(),
        "health": health.status.value,
        "error": health.error,
        "revision": health.revision,
        "tables": health.tables,
        "size_bytes": health.size_bytes,
        "is_healthy": health.status is HealthStatus.HEALTHY,
        "recheck": timedelta(seconds=RECHECK_SECONDS),
    }
    async with connection.transaction():
        if not (await connection.execute(LOCK_IF_NEWEST, parameters)).rowcount:
            return
        match health.status:
            case HealthStatus.LOST:
                await connection.execute(RECORD_LOSS, parameters)
            case HealthStatus.HEALTHY:
                await connection.execute(RECORD_RESTORED, parameters)
            case HealthStatus.DAMAGED | HealthStatus.UNREACHABLE:
                pass
        await connection.execute(RECORD, parameters)
