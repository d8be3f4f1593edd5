"""What was half built of an organization that has failed is dropped, once there was time to look at it.

Only what its own record says was begun; its name is its own, and nobody else's database can be meant by it. Once more
in the day after that: a relay that was paused in the middle may have made it meanwhile. What somebody has worked in is
kept for operators to decide about: that is said once, and looked at once a day, in case they have.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from outbox_relay.db.connection import RelayConnection, connect, under_settings
from outbox_relay.failures import storable
from outbox_relay.metrics import ORGANIZATIONS_DROPPED
from outbox_relay.model import FailureClass
from outbox_relay.provisioning import Organization, ProvisionServer, StepFailedError, drop
from shared.database import describe
from shared.log import get_logger

MOST_AT_A_TURN = 20
DROP_SECONDS = 60.0
"""Well below the time for which nobody may provision it (below), so that a drop never meets a new try."""

# Whoever is named here is this relay's for two minutes, and cannot be revived for as long. One at a time: the last of
# many might be dropped only after its two minutes, when it is being provisioned again.
CLAIM = """
update organizations
   set drop_until = now() + interval '2 minutes'
 where id = any(array(
    select organization.id from organizations as organization
     where status = 'failed' and not is_decoy and failed_at <= now() - %(grace)s
       and (drop_until is null or drop_until <= now()) and (drop_due_at is null or drop_due_at <= now())
       and (dropped_at is null
            or dropped_at <= now() - interval '1 hour' and dropped_at <= failed_at + %(grace)s + interval '1 day')
       and exists (select from organization_steps as step where step.organization_id = organization.id)
     order by failed_at limit 1 for update skip locked))
returning id, name, country, founder_id, kept_because
"""

DROPPED = """
update organizations set dropped_at = now(), drop_until = null, drop_due_at = null, kept_because = null
 where id = %(id)s and status = 'failed' and drop_until > now()
"""

KEPT = """
update organizations set kept_because = %(because)s, drop_due_at = now() + interval '1 day', drop_until = null
 where id = %(id)s and status = 'failed' and drop_until > now()
"""

# The longer it has failed, the longer until the next try; what is being dropped keeps its two minutes.
PUT_OFF = """
update organizations
   set drop_due_at = now() + least(greatest(now() - failed_at - %(grace)s, interval '10 minutes'), interval '1 day')
 where id = %(id)s and status = 'failed'
"""

log = get_logger("relay.leftovers")


@dataclass(frozen=True)
class Leftover:
    """What is to be dropped, and why it was kept at the last try, if it was."""

    organization: Organization
    kept_because: str | None


class Leftovers:
    """Drops them by the clock, in relays that may make databases."""

    def __init__(self, url: str, server: ProvisionServer, grace: timedelta) -> None:
        self._url = url
        self._server = server
        self._grace = grace

    async def turn(self) -> None:
        """Drop what is to be dropped now; what fails waits for another turn."""
        try:
            async with await connect(self._url, "leftovers") as connection:
                for _ in range(MOST_AT_A_TURN):
                    if not (leftover := await self._claimed(connection)):
                        break
                    await self._drop(connection, leftover)
        except psycopg.Error as error:
            log.warning("leftovers not dropped", **describe(error))

    async def _claimed(self, connection: RelayConnection) -> Leftover | None:
        async with under_settings(connection):
            row = await (await connection.execute(CLAIM, {"grace": self._grace})).fetchone()
        if row is None:
            return None
        key, name, country, founder_id, kept_because = row
        return Leftover(Organization(key, name, country, founder_id, founder_full_name=""), kept_because)

    async def _drop(self, connection: RelayConnection, leftover: Leftover) -> None:
        organization = leftover.organization
        try:
            async with asyncio.timeout(DROP_SECONDS):
                await drop(self._server, organization)
        except TimeoutError:
            await self._put_off(connection, organization, "no answer")
        except StepFailedError as error:
            match error.failure.kind:
                case FailureClass.CONTENT | FailureClass.RECIPIENT:
                    await self._keep(connection, leftover, error.failure.error)
                case FailureClass.TRANSIENT | FailureClass.PROVIDER:
                    await self._put_off(connection, organization, error.failure.kind.value)
        else:
            await self._note(connection, DROPPED, organization)
            ORGANIZATIONS_DROPPED.inc()
            log.info("organization dropped", organization_id=str(organization.id))

    async def _keep(self, connection: RelayConnection, leftover: Leftover, because: str) -> None:
        await self._note(connection, KEPT, leftover.organization, because=storable(because))
        if leftover.kept_because is None:
            log.warning("organization kept", organization_id=str(leftover.organization.id))

    async def _put_off(self, connection: RelayConnection, organization: Organization, error_class: str) -> None:
        await self._note(connection, PUT_OFF, organization, grace=self._grace)
        log.warning("organization not dropped", organization_id=str(organization.id), error_class=error_class)

    async def _note(
        self, connection: RelayConnection, statement: str, organization: Organization, **found: object
    ) -> None:
        async with under_settings(connection):
            await connection.execute(statement, {"id": organization.id, **found})
