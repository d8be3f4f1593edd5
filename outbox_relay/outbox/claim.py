"""Claims: one short statement leases the messages of a queue that have been due longest, or one suspect.

This module has the SQL statements, the scan cursor, and the store that runs the statements.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

from psycopg.errors import QueryCanceled

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.model import ClaimedMessage, QueueKey
from outbox_relay.pauses import READ_PAUSES, Pauses
from outbox_relay.tracing import record_claims
from shared.templates import TEMPLATES_AND_WORK
from shared.tracing import current_tracer
from shared.vocabulary import CHANNELS, AnyChannel, Locale, Priority

IndexPosition = tuple[datetime, UUID]
"""The position of a message in the due index: its ``due_at``, then its id."""

NO_ID = UUID(int=0)
START_OF_INDEX: IndexPosition = (datetime.min.replace(tzinfo=UTC), NO_ID)
COMMIT_MARGIN = timedelta(seconds=1)
"""If a transaction commits within this time after it began (its now()), the next claims find its messages without a
full scan."""

FULL_SCAN_SECONDS = 5.0
LATENESS_SECONDS = 0.5
"""Full scans are about FULL_SCAN_SECONDS apart. The minimum distance is shorter by this value. So if one full scan
starts up to half a second late, the next claim that is on time is still a full scan."""
REST_IN_FULL_SCANS = 50
LONGEST_REST_SECONDS = 60.0
"""After a full scan, the next one waits 50 times as long as the scan took, but at most a minute. So full scans use at
most 2 % of the time, unless one takes longer than 1.2 seconds."""


def rest_after(seconds: float) -> float:
    """Return how many seconds to wait before the next full scan if the last one took ``seconds``."""
    return min(REST_IN_FULL_SCANS * seconds, LONGEST_REST_SECONDS)


@dataclass
class ClaimCursor:
    """Where in the due index the next claim of one queue begins to scan.

    A busy outbox leaves dead index entries before its oldest pending row, and vacuum cannot remove them while an old
    transaction is open. A claim from the start of the index would read all of them. Therefore, a claim begins where the
    last claim stopped, or a little earlier. Every few seconds, a full scan begins at the start of the index. It finds
    three kinds of messages behind the cursor: messages that were committed late, messages that were released, and
    messages whose lease ended.
    """

    position: IndexPosition = START_OF_INDEX
    next_full_scan: float = float("-inf")

    def next(self, now: float) -> IndexPosition:
        """Return where to begin; ``now`` is on a monotonic clock."""
        if now < self.next_full_scan:
            return self.position
        self.next_full_scan = now + FULL_SCAN_SECONDS - LATENESS_SECONDS
        return START_OF_INDEX

    def request_full_scan(self) -> None:
        """Make the next claim begin at the start of the index."""
        self.next_full_scan = float("-inf")

    def took(self, begin_at: IndexPosition, started: float, ended: float) -> None:
        """Record how long the server took for a claim. A full scan requested in the meantime stays requested.

        Call it also if the server cancelled the claim because it took too long, but not after other failures.
        """
        if begin_at == START_OF_INDEX and self.next_full_scan > started:
            self.next_full_scan = max(self.next_full_scan, ended + rest_after(ended - started))

    def advance(self, position: IndexPosition, begin_at: IndexPosition) -> None:
        """Record that a claim has seen everything between ``begin_at`` and ``position``.

        Only a full scan may move the cursor back. This happens when it finds a backlog that was committed late; the
        next claims continue there.
        """
        self.position = position if begin_at == START_OF_INDEX else max(self.position, position)


def seen_until(messages: Collection[ClaimedMessage], limit: int, claimed_at: datetime) -> IndexPosition:
    """Return the position before which the claim has seen every message that was committed within COMMIT_MARGIN."""
    before = claimed_at - COMMIT_MARGIN, NO_ID
    if len(messages) < limit:
        return before
    return min(before, max((message.due_at, message.id) for message in messages))


TABLE = "outbox_messages"

# An expired lease needs no cleanup: the row is still due, and claims no longer skip it.
# - A claim changes no indexed column, in particular not due_at. So PostgreSQL writes the new row version to the same
#   page and does not update any index (HOT). This halves the WAL of a message.
# - The cursor contains due_at and the id, because thousands of messages of one transaction have the same due_at.
# - The CTE runs once; as a plain subquery the planner may rerun it per row and lock more than the limit.
# - With a generic plan, "id = any(array(...))" uses an index scan; a join would become a hash join with a sequential
#   scan. The bounds in AMONG_PARTITIONS let PostgreSQL skip the other partitions.
# - Relays of a newer release claim the templates and locales that this release does not know.
# - now() is a stable function, so PostgreSQL can use it in an index condition. clock_timestamp() is volatile, so it
#   would be a filter on every pending row.
# - If a due message still has a lease token, its lease ended without an outcome. The claim adds it to lost_leases.
IN_QUEUE = """channel = %(channel)s and priority = %(priority)s and status = 'pending'
       and (due_at, id) >= (%(cursor_due_at)s, %(cursor_id)s) and due_at <= now()"""
HAS_LOST_LEASES = "status = 'pending' and lost_leases >= 1 and due_at <= now()"
IS_FREE = "(leased_until is null or leased_until <= now())"
IS_KNOWN = "template = any(%(templates)s) and locale = any(%(locales)s)"
IS_OWN = "lease_token = %(lease_token)s"

# HAS_LOST_LEASES repeats the condition of the partial index on suspects, so that PostgreSQL can use that index. It
# contains every message with at least one lost lease; the second condition selects those with two or more.
IS_SUSPECT = f"""{HAS_LOST_LEASES}
       and lost_leases + (lease_token is not null)::integer >= 2
       and {IS_FREE}
       and channel = any(%(channels)s) and priority = any(%(priorities)s)
       and {IS_KNOWN}"""


def _picking(condition: str, limit: str) -> str:
    return f"""
with picked as materialized (
    select id
      from {TABLE}
     where {condition}
     order by due_at, id
     limit {limit}
       for update skip locked)
"""  # noqa: S608 - contains only constants


PICK_DUE = _picking(
    f"""{IN_QUEUE}
       and {IS_FREE}
       and lost_leases + (lease_token is not null)::integer < 2
       and {IS_KNOWN}""",
    limit="%(limit)s",
)
PICK_SUSPECT = _picking(IS_SUSPECT, limit="1")

# After a lost response: the same conditions as a claim, except for IS_FREE, which hides leased rows.
PICK_OWN = _picking(f"{IN_QUEUE} and {IS_OWN}", limit="%(limit)s")
PICK_OWN_SUSPECT = _picking(f"{HAS_LOST_LEASES} and {IS_OWN}", limit="1")

# The ORDER BY makes the planner use the index of suspects, which has this order. Without it, the planner estimates that
# a third of all pending messages are suspects, and scans the table because it expects to find one soon. With 100,000
# pending messages and no suspect, that took 76 ms instead of 1 ms.
FIND_SUSPECT = f"""
select id
  from {TABLE}
 where {IS_SUSPECT}
 order by due_at, id
 limit 1
"""  # noqa: S608 - contains only constants

# If a claim finds only one message, a person is probably waiting for it. So this claim does not wait until its commit
# is on disk (synchronous_commit = off). The settlement, shortly afterwards, does wait. If the database server crashes
# in between, it loses this one lease. With a batch, it would lose hundreds of leases.
LONE_IS_QUICK = """, quick as materialized (
    select set_config('synchronous_commit', 'off', true) from picked having count(*) = 1)
"""

# Uses statement_timestamp(), not now(): behind a pooler, the transaction may have started before the relay read its own
# clock. With now(), the lease would end earlier than the relay assumes.
LEASE = f"""
update {TABLE}
   set lease_token = %(lease_token)s,
       leased_until = statement_timestamp() + %(lease)s,
       lost_leases = lost_leases + (lease_token <> %(lease_token)s is true)::integer
 where id = any(array(select id from picked))
"""  # noqa: S608 - contains only constants
# These bounds let PostgreSQL prune the other partitions.
AMONG_PARTITIONS = """
   and id >= (select id from picked order by id limit 1)
   and id <= (select id from picked order by id desc limit 1)
"""
# date_part, because extract (the standard's function) returns numeric, and the conversion to float8 takes four times as
# long.
RETURNING = """
returning id, template, channel, recipient, locale, payload, token_id, attempt, max_attempts, lost_leases,
          created_at, expires_at,
          date_part('epoch', expires_at - statement_timestamp()) as seconds_left,
          date_part('epoch', statement_timestamp() - created_at) as age_seconds,
          due_at, now() as claimed_at
"""

LEASE_PICKED = LEASE + AMONG_PARTITIONS + RETURNING

IS_QUICK = ", (select count(*) from quick) as is_quick"
TRACE = ", traceparent"
"""Only read while traces are recorded."""
CLAIM = PICK_DUE + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
CLAIM_TRACED = CLAIM + TRACE
CLAIM_SUSPECT = PICK_SUSPECT + LEASE_PICKED
RECLAIM = PICK_OWN + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
RECLAIM_SUSPECT = PICK_OWN_SUSPECT + LEASE_PICKED

# Written as PostgreSQL array literals. If they were lists, psycopg would inspect the type of each value, which costs 50
# µs per claim.
KNOWN_VALUES = {"templates": f"{{{','.join(TEMPLATES_AND_WORK)}}}", "locales": f"{{{','.join(Locale)}}}"}


def claim_parameters(key: QueueKey, begin_at: IndexPosition, limit: int) -> dict[str, Any]:
    """Return the parameters of CLAIM and RECLAIM, apart from the lease and from pauses."""
    return KNOWN_VALUES | {
        "channel": key.channel.value,
        "priority": key.priority.value,
        "cursor_due_at": begin_at[0],
        "cursor_id": begin_at[1],
        "limit": limit,
    }


def suspect_parameters(channels: Collection[AnyChannel]) -> dict[str, Any]:
    """Return the parameters that the statements about suspects share."""
    return KNOWN_VALUES | {
        "priorities": [priority.value for priority in Priority],
        "channels": [channel.value for channel in channels],
    }


TEMPLATES_BY_VALUE = {str(template): template for template in TEMPLATES_AND_WORK}
CHANNELS_BY_VALUE = {channel.value: channel for channel in CHANNELS}
LOCALES_BY_VALUE = {locale.value: locale for locale in Locale}

NEVER = float("inf")
BY_ID = attrgetter("id.int")
"""Sort key for ids. It takes a fifth of the time of comparing UUID objects."""


@dataclass(slots=True)
class ClaimQuery:
    """One claim over all of its tries, which share a lease token.

    The server may commit a claim without sending a response, for example while its synchronous standby is unreachable.
    The next try finds the leased messages by the token. Without the token, the messages would lose lease after lease,
    until they count as poison. ``unanswered_from`` is the lowest position of the tries that got no response;
    ``started`` is when the last try was sent, on a monotonic clock.
    """

    lease: timedelta
    lease_token: UUID = field(default_factory=uuid4)
    unanswered_from: IndexPosition | None = None
    started: float = 0.0

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that all claim statements share."""
        return {"lease": self.lease, "lease_token": self.lease_token}

    def sent_from(self, position: IndexPosition) -> None:
        """Record that a try begins at ``position``. If no response comes, the try may still have leased messages."""
        self.unanswered_from = position if self.unanswered_from is None else min(self.unanswered_from, position)

    async def run(self, connection: RelayConnection, statement: str, parameters: dict[str, Any]) -> list[Any]:
        """Run a statement that leases messages, and return its rows."""
        self.started = asyncio.get_running_loop().time()
        return await connection.fetch(statement, self.parameters | parameters)

    def messages(self, rows: list[Any]) -> list[ClaimedMessage]:
        """Return the messages of the rows, in the order in which they were enqueued."""
        # UPDATE … RETURNING returns rows in any order. Ids of version 7 sort in the order of enqueueing.
        token, started = self.lease_token, self.started
        lease_ends = started + self.lease.total_seconds()
        return [
            ClaimedMessage(  # positional: keyword arguments would cost 4 µs
                row.id,
                TEMPLATES_BY_VALUE[row.template],
                CHANNELS_BY_VALUE[row.channel],
                row.recipient,
                LOCALES_BY_VALUE[row.locale],
                row.payload,
                row.token_id,
                row.attempt,
                row.max_attempts,
                row.lost_leases,
                row.created_at,
                row.due_at,
                row.expires_at,
                token,
                lease_ends,
                NEVER if row.seconds_left is None else started + row.seconds_left,
                started - row.age_seconds,
            )
            for row in sorted(rows, key=BY_ID)
        ]


class ClaimStore:
    """Claims messages for this relay, with one scan cursor per queue.

    Every method waits while the database is unreachable. When it returns, its changes are committed.
    """

    def __init__(self, database: ReconnectingConnection, lease: timedelta, pauses: Pauses | None = None) -> None:
        self._database = database
        self._lease = lease
        self._pauses = pauses or Pauses()
        self._cursors = {QueueKey(channel, priority): ClaimCursor() for channel in CHANNELS for priority in Priority}
        self.has_claimed = False

    async def claim(self, key: QueueKey, limit: int) -> list[ClaimedMessage]:
        """Lease the ``limit`` longest due messages of the queue, except suspects and messages leased by others.

        A message that is not settled before its lease ends is due again. So it can be delivered twice. Therefore,
        channels send its id as Message-ID or idempotency key if the provider supports one.
        """
        query = ClaimQuery(self._lease)

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            await self._read_first_pauses(connection)
            try:
                return await self._reclaim(connection, query, key, limit) or await self._claim(
                    connection, query, key, limit
                )
            except QueryCanceled:
                # A cancelled statement has leased no message. So the next try does not search for its leases, which
                # would take as long again.
                query.unanswered_from = None
                raise

        messages = await self._database.run(work)
        self.has_claimed = True
        return messages

    async def claim_suspect(self, channels: Collection[AnyChannel]) -> ClaimedMessage | None:
        """Lease the longest due message that has lost two leases or more, if there is one."""
        query = ClaimQuery(self._lease)

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            await self._read_first_pauses(connection)
            parameters = suspect_parameters(channels) | self._without_paused
            rows = await query.run(connection, RECLAIM_SUSPECT, parameters)
            return query.messages(rows or await query.run(connection, CLAIM_SUSPECT, parameters))

        return next(iter(await self._database.run(work)), None)

    async def has_suspects(self, channels: Collection[AnyChannel]) -> bool:
        """Return whether a message that has lost two leases or more is due."""
        parameters = suspect_parameters(channels) | self._without_paused
        return bool(await self._database.run(lambda connection: connection.fetch(FIND_SUSPECT, parameters)))

    def request_full_scan(self, key: QueueKey) -> None:
        """Make the queue's next claim scan the whole due index: a message was released behind the cursor."""
        self._cursors[key].request_full_scan()

    @property
    def _without_paused(self) -> dict[str, str]:
        return {"templates": self._pauses.claimable_templates}

    async def _read_first_pauses(self, connection: RelayConnection) -> None:
        """Read the pauses before the first claim, because a new relay may claim before its first exchange."""
        if not self._pauses.are_known:
            self._pauses.update(await connection.fetch(READ_PAUSES, {}))

    async def _reclaim(
        self, connection: RelayConnection, query: ClaimQuery, key: QueueKey, limit: int
    ) -> list[ClaimedMessage]:
        """Renew the leases of an earlier try whose response was lost."""
        if query.unanswered_from is None:
            return []
        rows = await query.run(connection, RECLAIM, claim_parameters(key, query.unanswered_from, limit))
        return query.messages(rows)

    async def _claim(
        self, connection: RelayConnection, query: ClaimQuery, key: QueueKey, limit: int
    ) -> list[ClaimedMessage]:
        cursor, clock, tracer = self._cursors[key], asyncio.get_running_loop().time, current_tracer()
        started = clock()
        begin_at = cursor.next(started)
        query.sent_from(begin_at)
        statement = CLAIM_TRACED if tracer else CLAIM
        parameters = claim_parameters(key, begin_at, limit) | self._without_paused
        try:
            rows = await query.run(connection, statement, parameters)
        except QueryCanceled:
            cursor.took(begin_at, started, clock())
            raise
        cursor.took(begin_at, started, clock())
        messages = query.messages(rows)
        if tracer:
            traces = {row.id: row.traceparent for row in rows}
            messages = [message._replace(traceparent=traces[message.id]) for message in messages]
            record_claims(tracer, messages, clock() - started)
        if messages:
            cursor.advance(seen_until(messages, limit, rows[0].claimed_at), begin_at)
        return messages
