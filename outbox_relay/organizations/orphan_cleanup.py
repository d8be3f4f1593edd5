"""Drop the databases of failed organizations after a grace period (PROVISION_GRACE_HOURS), and of removed ones.

Only an organization with a recorded step has a database to drop. Its name is derived from the id. The cleanup repeats
during the following day, since a paused relay may have created the database after the drop. Operators see why a
database is kept for now, such as the data of a failed organization or the sessions of a removed one.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from outbox_relay.db.connection import RelayConnection, connect, storable, under_settings
from outbox_relay.metrics import ORGANIZATIONS_DROPPED
from outbox_relay.provisioning.model import Organization, StepFailedError
from outbox_relay.provisioning.provision import drop
from outbox_relay.provisioning.server import ProvisionServer
from shared.db.errors import describe
from shared.log import get_logger

MAX_PER_ROUND = 20
DROP_SECONDS = 60.0
"""Well below the two minutes of CLAIM, so that a drop and a new attempt never overlap."""

# For two minutes, the organization belongs to this relay and cannot be provisioned. Claim one organization at a time.
# With a batch, the last one could be dropped after its two minutes, when another relay may already provision it again.
CLAIM = """
update organizations
   set drop_until = now() + interval '2 minutes'
 where id = any(array(
    select organization.id from organizations as organization
     where status = 'failed' and not is_decoy and (is_removed or failed_at <= now() - %(grace)s)
       and (drop_until is null or drop_until <= now()) and (drop_due_at is null or drop_due_at <= now())
       and (dropped_at is null
            or dropped_at <= now() - interval '1 hour' and dropped_at <= failed_at + %(grace)s + interval '1 day')
       and exists (select from organization_steps as step where step.organization_id = organization.id)
     order by failed_at limit 1 for update skip locked))
returning id, is_removed, drop_forced, kept_because
"""

DROPPED = """
update organizations set dropped_at = now(), drop_until = null, drop_due_at = null, kept_because = null
 where id = %(id)s and status = 'failed' and drop_until > now()
"""

# The delay grows with the time since the failure. ``drop_until`` stays: the drop may still be running.
KEPT = """
update organizations
   set kept_because = %(because)s,
       drop_due_at = now() + least(greatest(now() - failed_at - %(grace)s, interval '10 minutes'), interval '1 day')
 where id = %(id)s and status = 'failed'
"""

log = get_logger("relay.orphan_cleanup")


@dataclass(frozen=True)
class Orphan:
    """A failed or removed organization with its database, and why the previous round kept it, if it did."""

    organization: Organization
    is_removed: bool
    is_forced: bool
    kept_because: str | None


class OrphanCleanup:
    """Drop the databases of failed and removed organizations."""

    def __init__(self, url: str, server: ProvisionServer, grace: timedelta) -> None:
        self._url = url
        self._server = server
        self._grace = grace

    async def run_round(self) -> None:
        """Drop the databases that are due. A later round retries what fails."""
        try:
            async with await connect(self._url, "orphan cleanup") as connection:
                for _ in range(MAX_PER_ROUND):
                    if not (orphan := await self._claim(connection)):
                        break
                    await self._drop(connection, orphan)
        except psycopg.Error as error:
            log.warning("orphan cleanup failed", **describe(error))

    async def _claim(self, connection: RelayConnection) -> Orphan | None:
        async with under_settings(connection):
            row = await (await connection.execute(CLAIM, {"grace": self._grace})).fetchone()
        return Orphan(Organization(row[0]), *row[1:]) if row else None

    async def _drop(self, connection: RelayConnection, orphan: Orphan) -> None:
        organization = orphan.organization
        try:
            async with asyncio.timeout(DROP_SECONDS):
                await drop(self._server, organization, is_removed=orphan.is_removed, is_forced=orphan.is_forced)
        except TimeoutError:
            await self._keep(connection, orphan, "timeout")
        except StepFailedError as error:
            await self._keep(connection, orphan, error.failure.error)
        else:
            await self._record(connection, DROPPED, organization)
            ORGANIZATIONS_DROPPED.inc()
            log.info("organization dropped", organization_id=str(organization.id))

    async def _keep(self, connection: RelayConnection, orphan: Orphan, because: str) -> None:
        await self._record(connection, KEPT, orphan.organization, because=storable(because), grace=self._grace)
        if orphan.kept_because != because:
            log.warning("organization kept", organization_id=str(orphan.organization.id))

    async def _record(
        self, connection: RelayConnection, statement: str, organization: Organization, **parameters: object
    ) -> None:
        async with under_settings(connection):
            await connection.execute(statement, {"id": organization.id, **parameters})
