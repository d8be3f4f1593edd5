"""Claiming: lease the longest due messages of a lane, or one suspect, in one short statement."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.rows import namedtuple_row

from outbox_relay.database import Lifeline
from outbox_relay.floor import Place, ScanFloor, seen_until
from outbox_relay.messages import ClaimedMessage, LaneKey
from shared.vocabulary import CHANNELS, TEMPLATES, AnyChannel, Locale, Urgency

# An expired lease needs no rescue: the row is due as it always was, and no lease hides it any longer.
# - Claiming changes no indexed column, least of all due_at: so PostgreSQL writes the new version beside the old
#   one and leaves all indexes alone, which is half of what a message costs in WAL.
# - The floor is a place in the due index, down to the id: thousands of one transaction are due at the same moment.
# - The CTE runs once; as a plain subquery the planner may rerun it per row and lock more than the limit.
# - "id = any(array(...))" stays an index scan under a generic plan, where a join to the CTE becomes a
#   hash join over a sequential scan; the bounds beside it let the other partitions be pruned.
# - Templates and locales that this release does not know are left to a newer one's relays.
# - now() is stable and so an index condition; clock_timestamp() would be a filter on every pending row.
# - A message that is due and has a lease token lost that lease, which is counted only now.
PICK_DUE = """
with picked as materialized (
    select id, due_at
      from outbox_messages
     where channel = %(channel)s and urgency = %(urgency)s and status = 'pending'
       and (due_at, id) >= (%(floor)s, %(floor_id)s) and due_at <= now()
       and (leased_until is null or leased_until <= now())
       and expiries + (lease_token is not null)::integer < 2
       and template = any(%(templates)s) and locale = any(%(locales)s)
     order by due_at, id
     limit %(limit)s
       for update skip locked)
"""

# The first condition on the expiries is that of the index of suspects: any message that has lost a lease.
PICK_SUSPECT = """
with picked as materialized (
    select id, due_at
      from outbox_messages
     where status = 'pending' and expiries >= 1 and due_at <= now()
       and expiries + (lease_token is not null)::integer >= 2
       and (leased_until is null or leased_until <= now())
       and channel = any(%(channels)s) and urgency = any(%(urgencies)s)
       and template = any(%(templates)s) and locale = any(%(locales)s)
     order by due_at, id
     limit 1
       for update skip locked)
"""

# Ordered, so that the planner keeps to that index, which gives the order. It takes a third of all pending messages for
# suspects and would else read the table, sure to find one soon: with 100,000 pending and no suspect, 76 ms against 1.
FIND_SUSPECT = """
select id
  from outbox_messages
 where status = 'pending' and expiries >= 1 and due_at <= now()
   and expiries + (lease_token is not null)::integer >= 2
   and (leased_until is null or leased_until <= now())
   and channel = any(%(channels)s) and urgency = any(%(urgencies)s)
   and template = any(%(templates)s) and locale = any(%(locales)s)
 order by due_at, id
 limit 1
"""

# A message that comes alone is a person waiting: its claim need not wait for the disk, which its settle will, a few
# milliseconds later. A server that crashes in between forgets one lease, where a batch would be hundreds.
LONE_IS_QUICK = """, quick as materialized (
    select set_config('synchronous_commit', 'off', true) from picked having count(*) = 1)
"""

LEASE_PICKED = """
update outbox_messages
   set lease_token = %(lease_token)s,
       leased_until = now() + %(lease)s,
       expiries = expiries + (lease_token is not null)::integer
 where id = any(array(select id from picked))
   and id >= (select id from picked order by id limit 1)
   and id <= (select id from picked order by id desc limit 1)
returning id, template, channel, recipient, locale, payload, token_id, attempt, max_attempts, expiries,
          created_at, expires_at,
          extract(epoch from expires_at - now())::float8 as seconds_left,
          extract(epoch from now() - created_at)::float8 as age_seconds,
          due_at, now() as claimed_at
"""

IS_QUICK = """, (select count(*) from quick) as is_quick
"""
CLAIM = PICK_DUE + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
CLAIM_SUSPECT = PICK_SUSPECT + LEASE_PICKED

KNOWN_WORDS = {
    "templates": [template.value for template in TEMPLATES],
    "locales": [locale.value for locale in Locale],
}
TEMPLATES_BY_WORD = {template.value: template for template in TEMPLATES}
CHANNELS_BY_WORD = {channel.value: channel for channel in CHANNELS}
LOCALES = {locale.value: locale for locale in Locale}
KNOWN_URGENCIES = {"urgencies": [urgency.value for urgency in Urgency]}

NEVER = float("inf")
BY_ID = attrgetter("id.int")
"""The order of ids, a fifth of the cost of comparing them as UUIDs."""


class Claims:
    """The relay's hand in the outbox, one scan floor per lane."""

    def __init__(self, lifeline: Lifeline, lease: timedelta) -> None:
        self._lifeline = lifeline
        self._lease = lease
        self._floors = {LaneKey(channel, urgency): ScanFloor() for channel in CHANNELS for urgency in Urgency}
        self.has_claimed = False

    async def claim(self, key: LaneKey, limit: int) -> list[ClaimedMessage]:
        """Lease the ``limit`` longest due messages of the lane, skipping suspects and those that others hold.

        One statement, committed when this returns; waits for as long as the database is away. A lease
        not settled in time is free again, so a message can be delivered twice; channels pass its id
        on as idempotency key.
        """

        async def work(connection: AsyncConnection) -> list[ClaimedMessage]:
            return await self._claim(connection, key, limit)

        messages = await self._lifeline.run(work)
        self.has_claimed = True
        return messages

    async def claim_suspect(self, channels: Collection[AnyChannel]) -> ClaimedMessage | None:
        """Lease the longest due of the messages that have lost two leases or more, if there is any."""
        parameters = suspect_parameters(channels)

        async def work(connection: AsyncConnection) -> list[ClaimedMessage]:
            return claimed_messages(*await self._leased(connection, CLAIM_SUSPECT, parameters))

        return next(iter(await self._lifeline.run(work)), None)

    async def has_suspects(self, channels: Collection[AnyChannel]) -> bool:
        """Tell whether any such message is due."""
        parameters = suspect_parameters(channels)

        async def work(connection: AsyncConnection) -> bool:
            return await (await connection.execute(FIND_SUSPECT, parameters)).fetchone() is not None

        return await self._lifeline.run(work)

    def sweep_soon(self, key: LaneKey) -> None:
        """Have the lane's next claim begin before everything: something was put back below its floor."""
        self._floors[key].sweep_soon()

    async def _claim(self, connection: AsyncConnection, key: LaneKey, limit: int) -> list[ClaimedMessage]:
        floor, clock = self._floors[key], asyncio.get_running_loop().time
        began = clock()
        began_at = floor.next(began)
        try:
            lease, rows = await self._leased(connection, CLAIM, claim_parameters(key, began_at, limit))
        finally:
            floor.took(began_at, began, clock())
        messages = claimed_messages(lease, rows)
        if messages:
            floor.reached(seen_until(messages, limit, rows[0].claimed_at), began_at)
        return messages

    async def _leased(
        self, connection: AsyncConnection, statement: str, parameters: dict[str, Any]
    ) -> tuple["Lease", list[Any]]:
        began = asyncio.get_running_loop().time()
        lease = Lease(uuid4(), began, began + self._lease.total_seconds())
        async with connection.cursor(binary=True, row_factory=namedtuple_row) as cursor:
            await cursor.execute(statement, parameters | {"lease": self._lease, "lease_token": lease.token})
            return lease, await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Lease:
    """What the messages of one claim have in common; its moments are of a monotonic clock."""

    token: UUID
    began: float
    ends: float


def claim_parameters(key: LaneKey, begin_at: Place, limit: int) -> dict[str, Any]:
    """Return what CLAIM needs beside a lease."""
    floor, floor_id = begin_at
    return KNOWN_WORDS | {
        "channel": key.channel.value,
        "urgency": key.urgency.value,
        "floor": floor,
        "floor_id": floor_id,
        "limit": limit,
    }


def suspect_parameters(channels: Collection[AnyChannel]) -> dict[str, Any]:
    """Return what the statements about suspects have in common."""
    return KNOWN_WORDS | KNOWN_URGENCIES | {"channels": [channel.value for channel in channels]}


def claimed_messages(lease: Lease, rows: list[Any]) -> list[ClaimedMessage]:
    """Make messages of the rows that were leased, in the order in which they were enqueued."""
    # UPDATE … RETURNING has no order; a version 7 id has that of enqueueing.
    return [claimed_message(row, lease) for row in sorted(rows, key=BY_ID)]


def claimed_message(row: Any, lease: Lease) -> ClaimedMessage:
    """Make a message of a row that CLAIM returned."""
    # In the order of the fields: with their names, a message took 4 µs longer to make.
    return ClaimedMessage(
        row.id,
        TEMPLATES_BY_WORD[row.template],
        CHANNELS_BY_WORD[row.channel],
        row.recipient,
        LOCALES[row.locale],
        row.payload,
        row.token_id,
        row.attempt,
        row.max_attempts,
        row.expiries,
        row.created_at,
        row.due_at,
        row.expires_at,
        lease.token,
        lease.ends,
        NEVER if row.seconds_left is None else lease.began + row.seconds_left,
        lease.began - row.age_seconds,
    )
