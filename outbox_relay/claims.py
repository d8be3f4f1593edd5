"""Claiming: lease the longest due messages of a lane, or one suspect, in one short statement."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg.errors import QueryCanceled

from outbox_relay.claimed_rows import Lease, claimed_messages, traced
from outbox_relay.database import Lifeline, RelayConnection
from outbox_relay.floor import ANY_ID, Place, ScanFloor, seen_until
from outbox_relay.lost_claims import PICK_OWN, PICK_OWN_SUSPECT, Grasp
from outbox_relay.messages import ClaimedMessage, LaneKey
from outbox_relay.spans import record_claims
from shared.tracing import recorder
from shared.vocabulary import CHANNELS, TEMPLATES, AnyChannel, Locale, Urgency

# An expired lease needs no rescue: the row is due as it always was, and no lease hides it any longer.
# - Claiming changes no indexed column, least of all due_at: so PostgreSQL writes the new version beside the old
#   one and leaves all indexes alone, which is half of what a message costs in WAL.
# - The floor is a place in the due index, down to the id: thousands of one transaction are due at the same moment.
# - The CTE runs once; as a plain subquery the planner may rerun it per row and lock more than the limit.
# - "id = any(array(...))" stays an index scan under a generic plan, where a join becomes a hash join over a
#   sequential scan; the bounds beside it let the other partitions be pruned.
# - So do, even before any is looked at, the bounds that are given: a plan that begins with ninety days of partitions
#   takes 4 ms to be set up, one message or none.
# - Templates and locales unknown to this release are left to a newer one's relays.
# - now() is stable and so an index condition; clock_timestamp() would be a filter on every pending row.
# - What is due and has a lease token lost that lease, counted only now.
PICK_DUE = """
with picked as materialized (
    select id, due_at
      from outbox_messages
     where channel = %(channel)s and urgency = %(urgency)s and status = 'pending'
       and (due_at, id) >= (%(floor)s, %(floor_id)s) and due_at <= now()
       and id >= %(lowest)s and id <= %(highest)s
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

# A message that comes alone is a person waiting: its claim need not wait for the disk, as its settle soon will. A
# server that crashes in between forgets one lease, where a batch would be hundreds.
LONE_IS_QUICK = """, quick as materialized (
    select set_config('synchronous_commit', 'off', true) from picked having count(*) = 1)
"""

# Intervals count from when the statement came in: behind a pooler its transaction began before the relay looked at
# its own clock, and the lease would end sooner than it believes.
LEASE_PICKED = """
update outbox_messages
   set lease_token = %(lease_token)s,
       leased_until = statement_timestamp() + %(lease)s,
       expiries = expiries + (lease_token <> %(lease_token)s is true)::integer
 where id = any(array(select id from picked))
   and id >= (select id from picked order by id limit 1)
   and id <= (select id from picked order by id desc limit 1)
   and id >= %(lowest)s and id <= %(highest)s
returning id, template, channel, recipient, locale, payload, token_id, attempt, max_attempts, expiries,
          created_at, expires_at,
          extract(epoch from expires_at - statement_timestamp())::float8 as seconds_left,
          extract(epoch from statement_timestamp() - created_at)::float8 as age_seconds,
          due_at, now() as claimed_at
"""

IS_QUICK = ", (select count(*) from quick) as is_quick"
CLAIM = PICK_DUE + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
CLAIM_TRACED = PICK_DUE + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK + ", traceparent"
"""Where traces are recorded; everybody else is spared the column."""
CLAIM_SUSPECT = PICK_SUSPECT + LEASE_PICKED
CLAIM_AGAIN = PICK_OWN + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
CLAIM_SUSPECT_AGAIN = PICK_OWN_SUSPECT + LEASE_PICKED

# As PostgreSQL writes its arrays: of lists, psycopg looks at each word for its type, 50 µs for every claim.
KNOWN_WORDS = {"templates": f"{{{','.join(TEMPLATES)}}}", "locales": f"{{{','.join(Locale)}}}"}
KNOWN_URGENCIES = {"urgencies": [urgency.value for urgency in Urgency]}


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
        grasp = Grasp(key, limit)

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            with grasp.tried():
                return await self._claim_again(connection, grasp) or await self._claim(connection, grasp)

        messages = await self._lifeline.run(work)
        self.has_claimed = True
        return messages

    async def claim_suspect(self, channels: Collection[AnyChannel]) -> ClaimedMessage | None:
        """Lease the longest due of the messages that have lost two leases or more, if there is any."""
        parameters, token = claim_suspect_parameters(channels), uuid4()

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            again = claimed_messages(*await self._leased(connection, CLAIM_SUSPECT_AGAIN, parameters, token))
            return again or claimed_messages(*await self._leased(connection, CLAIM_SUSPECT, parameters, token))

        return next(iter(await self._lifeline.run(work)), None)

    async def has_suspects(self, channels: Collection[AnyChannel]) -> bool:
        """Tell whether any such message is due."""
        parameters = suspect_parameters(channels)

        async def work(connection: RelayConnection) -> bool:
            return bool((await connection.ask(FIND_SUSPECT, parameters)).rows)

        return await self._lifeline.run(work)

    def sweep_soon(self, key: LaneKey) -> None:
        """Have the lane's next claim begin before everything: something was put back below its floor."""
        self._floors[key].sweep_soon()

    def expect_far(self, key: LaneKey) -> None:
        """Have the lane's next claims ask for what was made long ago, too: some of it may be due."""
        self._floors[key].expect_far()

    async def _claim_again(self, connection: RelayConnection, grasp: Grasp) -> list[ClaimedMessage]:
        if grasp.lost_from is None:
            return []
        parameters = self._parameters(grasp, grasp.lost_from)
        return claimed_messages(*await self._leased(connection, CLAIM_AGAIN, parameters, grasp.token))

    async def _claim(self, connection: RelayConnection, grasp: Grasp) -> list[ClaimedMessage]:
        floor, clock = self._floors[grasp.key], asyncio.get_running_loop().time
        began = clock()
        began_at = floor.next(began)
        grasp.reaches(began_at)
        try:
            statement = CLAIM_TRACED if recorder() else CLAIM
            parameters = self._parameters(grasp, began_at)
            lease, rows = await self._leased(connection, statement, parameters, grasp.token)
        except QueryCanceled:
            floor.took(began_at, began, clock())
            raise
        floor.took(began_at, began, clock())
        messages = claimed_messages(lease, rows)
        floor.found(messages, began_at, datetime.now(UTC))
        if taker := recorder():
            messages = traced(messages, rows)
            record_claims(taker, messages, clock() - began)
        if messages:
            floor.reached(seen_until(messages, grasp.limit, rows[0].claimed_at), began_at)
        return messages

    def _parameters(self, grasp: Grasp, begin_at: Place) -> dict[str, Any]:
        ids = self._floors[grasp.key].ids(begin_at, datetime.now(UTC))
        return claim_parameters(grasp.key, begin_at, ids, grasp.limit)

    async def _leased(
        self, connection: RelayConnection, statement: str, parameters: dict[str, Any], token: UUID
    ) -> tuple[Lease, list[Any]]:
        began = asyncio.get_running_loop().time()
        lease = Lease(token, began, began + self._lease.total_seconds())
        answer = await connection.ask(statement, parameters | {"lease": self._lease, "lease_token": token})
        return lease, answer.rows


def claim_parameters(key: LaneKey, begin_at: Place, ids: tuple[UUID, UUID], limit: int) -> dict[str, Any]:
    """Return what CLAIM needs beside a lease; ``ids`` are the lowest and the highest that it may find."""
    floor, floor_id = begin_at
    lowest, highest = ids
    return KNOWN_WORDS | {
        "channel": key.channel.value,
        "urgency": key.urgency.value,
        "floor": floor,
        "floor_id": floor_id,
        "lowest": lowest,
        "highest": highest,
        "limit": limit,
    }


def suspect_parameters(channels: Collection[AnyChannel]) -> dict[str, Any]:
    """Return what the statements about suspects have in common."""
    return KNOWN_WORDS | KNOWN_URGENCIES | {"channels": [channel.value for channel in channels]}


def claim_suspect_parameters(channels: Collection[AnyChannel]) -> dict[str, Any]:
    """Return what CLAIM_SUSPECT needs beside a lease."""
    lowest, highest = ANY_ID
    return suspect_parameters(channels) | {"lowest": lowest, "highest": highest}
