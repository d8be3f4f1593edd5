"""Load the organization of a message and record its provisioning steps in Signpost's own database.

All statements are fenced by the message's lease: a relay that was paused beyond its lease cannot write any more.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection

from outbox_relay.db.connection import ReconnectingConnection, storable
from outbox_relay.metrics import STEP_DURATION
from outbox_relay.model import ClaimedMessage, Failure
from outbox_relay.provisioning.model import Organization

START = """
select id, password_number, is_decoy from signpost_start_provisioning(%(message_id)s, %(lease_token)s)
"""

# A later attempt may repeat a step. The row then shows the latest attempt.
STEP_STARTED = """
insert into organization_steps (organization_id, step, started_at)
select %(organization_id)s, %(step)s, clock_timestamp()
  from outbox_messages
 where id = %(message_id)s and lease_token = %(lease_token)s and leased_until > clock_timestamp()
on conflict (organization_id, step)
do update set started_at = excluded.started_at, done_at = null, error_class = null, error = null
"""

STEP_ENDED = """
update organization_steps as step
   set done_at = case when %(error)s::text is null then clock_timestamp() end,
       error_class = %(error_class)s, error = %(error)s
  from outbox_messages as message
 where step.organization_id = %(organization_id)s and step.step = %(step)s
   and message.id = %(message_id)s and message.lease_token = %(lease_token)s
   and message.leased_until > clock_timestamp()
"""

RECENT_DURATIONS = """
select extract(epoch from max(done_at) - min(started_at))::float8 as seconds
  from organization_steps
 where organization_id = any(array(
    select id from organizations where status = 'ready' and not is_decoy order by id desc limit 20))
 group by organization_id having count(*) = count(done_at)
"""


class LeaseLostError(Exception):
    """The message's lease has expired or belongs to another relay, so this relay must stop working on it."""


@dataclass(frozen=True, slots=True)
class ProvisionTarget:
    """The organization of a message. A decoy gets no database."""

    organization: Organization
    is_decoy: bool


class OrganizationStore:
    """Read and record provisioning over a separate database connection."""

    def __init__(self, lifeline: ReconnectingConnection) -> None:
        self._lifeline = lifeline

    async def start(self, message: ClaimedMessage) -> ProvisionTarget | None:
        """Mark the organization as being provisioned and return it.

        Return None if its database is being dropped or its founder is gone.
        """
        parameters = {"message_id": message.id, "lease_token": message.lease_token}

        async def work(connection: AsyncConnection) -> Any:
            return await (await connection.execute(START, parameters)).fetchone()

        row = await self._lifeline.run(work)
        if row is None:
            return None
        organization_id, password_number, is_decoy = row
        return ProvisionTarget(Organization(organization_id, password_number), is_decoy)

    def step_log(self, message: ClaimedMessage, organization: Organization) -> "LeasedStepLog":
        """Return a log of the organization's steps that is valid while the message's lease is."""
        return LeasedStepLog(self._lifeline, message, organization)

    async def recent_durations(self) -> list[float]:
        """Return how many seconds the latest organizations took to provision."""

        async def work(connection: AsyncConnection) -> list[float]:
            return [seconds for (seconds,) in await (await connection.execute(RECENT_DURATIONS)).fetchall()]

        return await self._lifeline.run(work)


class LeasedStepLog:
    """Record an organization's provisioning steps. ``started`` and ``completed`` raise LeaseLostError."""

    def __init__(self, lifeline: ReconnectingConnection, message: ClaimedMessage, organization: Organization) -> None:
        self._lifeline = lifeline
        self._parameters = {
            "message_id": message.id,
            "lease_token": message.lease_token,
            "organization_id": organization.id,
        }
        self._started_at = 0.0

    async def started(self, step: StrEnum) -> None:
        """Record that the step starts."""
        await self._write(STEP_STARTED, step)
        self._started_at = asyncio.get_running_loop().time()

    async def completed(self, step: StrEnum) -> None:
        """Record that the step is complete."""
        STEP_DURATION.labels(step.value).observe(asyncio.get_running_loop().time() - self._started_at)
        await self._write(STEP_ENDED, step, error_class=None, error=None)

    async def failed(self, step: StrEnum, failure: Failure) -> None:
        """Record the step's error for operators, unless the lease belongs to another relay."""
        with suppress(LeaseLostError):
            await self._write(STEP_ENDED, step, error_class=failure.kind.value, error=storable(failure.error))

    async def _write(self, statement: str, step: StrEnum, **result: str | None) -> None:
        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement, self._parameters | {"step": step.value, **result})).rowcount

        if not await self._lifeline.run(work):
            raise LeaseLostError
