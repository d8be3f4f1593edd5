"""Claiming: lease the longest due messages of a channel, in one short statement."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection

from outbox_relay.database import Lifeline
from outbox_relay.messages import ClaimedMessage
from shared.vocabulary import Channel, Locale, Template

# An expired lease needs no rescue: claiming moves due_at to the lease's end, where the row is due again.
# - The CTE runs once; as a plain subquery the planner may rerun it per row and lock more than the limit.
# - "id = any(array(...))" stays an index scan under a generic plan, where a join to the CTE becomes a
#   hash join over a sequential scan; the bounds beside it let the other partitions be pruned.
# - now() is stable and so an index condition; clock_timestamp() would be a filter on every pending row.
CLAIM = """
with picked as materialized (
    select id, due_at
      from outbox_messages
     where channel = %(channel)s and status = 'pending' and due_at >= %(floor)s and due_at <= now()
     order by due_at, id
     limit %(limit)s
       for update skip locked)
update outbox_messages
   set lease_token = %(lease_token)s,
       leased_until = now() + %(lease)s,
       due_at = now() + %(lease)s,
       expiries = expiries + (lease_token is not null)::integer
 where id = any(array(select id from picked))
   and id >= (select id from picked order by id limit 1)
   and id <= (select id from picked order by id desc limit 1)
returning id, template, recipient, locale, payload, token_id, attempt, max_attempts, expiries, created_at, expires_at,
          extract(epoch from expires_at - now())::float8,
          extract(epoch from now() - created_at)::float8,
          now(),
          (select due_at from picked order by due_at desc limit 1)
"""

BEFORE_EVERYTHING = datetime.min.replace(tzinfo=UTC)
FLOOR_MARGIN = timedelta(seconds=2)
SWEEP_SECONDS = 5.0


@dataclass
class ScanFloor:
    """Where in the due index a claim begins to look.

    A busy outbox leaves dead index entries behind its oldest pending row, and while any old
    transaction is open no vacuum can take them away; each claim from the index's head would walk
    over all of them. So claims begin a little before where the last one stopped, and a sweep from
    the head every few seconds finds what was committed late or put back further down.
    """

    floor: datetime = BEFORE_EVERYTHING
    swept: float = float("-inf")

    def next(self, now: float) -> datetime:
        """Return where to begin at that moment of a monotonic clock."""
        if now - self.swept < SWEEP_SECONDS:
            return self.floor
        self.swept = now
        return BEFORE_EVERYTHING

    def reached(self, moment: datetime) -> None:
        """Note that everything due before ``moment`` was seen; the floor only rises."""
        self.floor = max(self.floor, moment - FLOOR_MARGIN)


class Claims:
    """The relay's hand in the outbox, one scan floor per channel."""

    def __init__(self, lifeline: Lifeline, lease: timedelta) -> None:
        self._lifeline = lifeline
        self._lease = lease
        self._floors = {channel: ScanFloor() for channel in Channel}
        self.has_claimed = False

    async def claim(self, channel: Channel, limit: int) -> list[ClaimedMessage]:
        """Lease the ``limit`` longest due messages of ``channel``, skipping those that others hold.

        One statement, committed when this returns; waits for as long as the database is away. A lease
        not settled in time is free again, so a message can be delivered twice; channels pass its id
        on as idempotency key.
        """

        async def work(connection: AsyncConnection) -> list[ClaimedMessage]:
            return await self._claim(connection, channel, limit)

        messages = await self._lifeline.run(work)
        self.has_claimed = True
        return messages

    async def _claim(self, connection: AsyncConnection, channel: Channel, limit: int) -> list[ClaimedMessage]:
        began = asyncio.get_running_loop().time()
        lease_token = uuid4()
        parameters = {
            "channel": channel.value,
            "floor": self._floors[channel].next(began),
            "limit": limit,
            "lease": self._lease,
            "lease_token": lease_token,
        }
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(CLAIM, parameters)
            rows = await cursor.fetchall()
        if rows:
            self._floors[channel].reached(rows[0][-1] if len(rows) == limit else rows[0][-2])
        lease = Lease(channel, lease_token, began, began + self._lease.total_seconds())
        # UPDATE … RETURNING has no order; a version 7 id has that of enqueueing.
        return [claimed_message(row, lease) for row in sorted(rows)]


@dataclass(frozen=True, slots=True)
class Lease:
    """What the messages of one claim have in common; its moments are of a monotonic clock."""

    channel: Channel
    token: UUID
    began: float
    ends: float


def claimed_message(row: Sequence[Any], lease: Lease) -> ClaimedMessage:
    """Make a message of a row that CLAIM returned."""
    identity, template, recipient, locale, payload, token_id, attempt, max_attempts, expiries, *moments = row
    created_at, expires_at, seconds_left, age, *_ = moments
    return ClaimedMessage(
        id=identity,
        template=Template(template),
        channel=lease.channel,
        recipient=recipient,
        locale=Locale(locale),
        payload=payload,
        token_id=token_id,
        attempt=attempt,
        max_attempts=max_attempts,
        expiries=expiries,
        created_at=created_at,
        expires_at=expires_at,
        lease_token=lease.token,
        lease_ends=lease.ends,
        expires=float("inf") if seconds_left is None else lease.began + seconds_left,
        enqueued=lease.began - age,
    )
