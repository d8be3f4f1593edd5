"""From a message to the organization that it is about, and how far that has come: rows of our own database.

All of it is fenced by the message's lease, so that a relay which was paused finds that its turn is over.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.failures import storable
from outbox_relay.metrics import STEP_DURATION
from outbox_relay.model import ClaimedMessage, Failure
from outbox_relay.provisioning import Organization

BEGIN = """
select id, name, country, founder_id, is_decoy from signpost_begin_provisioning(%(message_id)s, %(lease_token)s)
"""

# A step may have been begun before: then it is the last try's beginning that counts.
STEP_BEGUN = """
insert into organization_steps (organization_id, step, begun_at)
select %(organization_id)s, %(step)s, clock_timestamp()
  from outbox_messages
 where id = %(message_id)s and lease_token = %(lease_token)s and leased_until > clock_timestamp()
on conflict (organization_id, step)
do update set begun_at = excluded.begun_at, done_at = null, error_class = null, error = null
"""

STEP_DONE = """
update organization_steps as step set done_at = clock_timestamp()
  from outbox_messages as message
 where step.organization_id = %(organization_id)s and step.step = %(step)s
   and message.id = %(message_id)s and message.lease_token = %(lease_token)s
   and message.leased_until > clock_timestamp()
"""

STEP_FAILED = """
update organization_steps as step set error_class = %(error_class)s, error = %(error)s
  from outbox_messages as message
 where step.organization_id = %(organization_id)s and step.step = %(step)s
   and message.id = %(message_id)s and message.lease_token = %(lease_token)s
"""

LATELY = """
select extract(epoch from max(done_at) - min(begun_at))::float8 as seconds
  from organization_steps
 where organization_id = any(array(
    select id from organizations where status = 'ready' and not is_decoy order by id desc limit 20))
 group by organization_id having count(*) = count(done_at)
"""


class LeaseLostError(Exception):
    """Another relay has the message by now, or may have: nothing more is to be done about it here."""


@dataclass(frozen=True, slots=True)
class Found:
    """The organization that a message is about; a decoy is to be given no database."""

    organization: Organization
    is_decoy: bool


class Foundings:
    """The relay's view of organizations, over a connection of its own."""

    def __init__(self, lifeline: ReconnectingConnection) -> None:
        self._lifeline = lifeline

    async def begin(self, message: ClaimedMessage) -> Found | None:
        """Return the organization; None where there is nothing to provision now: it is just being dropped, or gone."""
        parameters = {"message_id": message.id, "lease_token": message.lease_token}

        async def work(connection: AsyncConnection) -> Any:
            return await (await connection.execute(BEGIN, parameters)).fetchone()

        row = await self._lifeline.run(work)
        if row is None:
            return None
        organization_id, name, country, founder_id, is_decoy = row
        full_name = message.payload.get("name")
        full_name = full_name if isinstance(full_name, str) else ""
        return Found(Organization(organization_id, name, country, founder_id, full_name), is_decoy)

    def record(self, message: ClaimedMessage, organization: Organization) -> "LeasedRecord":
        """Return where the organization's steps are written down for as long as the message's lease holds."""
        return LeasedRecord(self._lifeline, message, organization)

    async def durations(self) -> list[float]:
        """Return how many seconds the last organizations have taken to be made."""

        async def work(connection: AsyncConnection) -> list[float]:
            return [seconds for (seconds,) in await (await connection.execute(LATELY)).fetchall()]

        return await self._lifeline.run(work)


class LeasedRecord:
    """How far an organization has come. Each entry raises LeaseLostError once the lease is another's, or over."""

    def __init__(self, lifeline: ReconnectingConnection, message: ClaimedMessage, organization: Organization) -> None:
        self._lifeline = lifeline
        self._about = {
            "message_id": message.id,
            "lease_token": message.lease_token,
            "organization_id": organization.id,
        }
        self._began = 0.0

    async def begun(self, step: StrEnum) -> None:
        """Write down that the step begins."""
        await self._write(STEP_BEGUN, {"step": step.value})
        self._began = asyncio.get_running_loop().time()

    async def done(self, step: StrEnum) -> None:
        """Write down that the step has been done."""
        STEP_DURATION.of(step.value).observe(asyncio.get_running_loop().time() - self._began)
        await self._write(STEP_DONE, {"step": step.value})

    async def failed(self, step: StrEnum, failure: Failure) -> None:
        """Write down what went wrong in the step, for operators; nothing, once the lease is another's."""
        about = {"step": step.value, "error_class": failure.kind.value, "error": storable(failure.error)}
        await self._lifeline.run(lambda connection: connection.execute(STEP_FAILED, self._about | about))

    async def _write(self, statement: str, entry: dict[str, Any]) -> None:
        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement, self._about | entry)).rowcount

        if not await self._lifeline.run(work):
            raise LeaseLostError
