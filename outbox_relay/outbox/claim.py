"""Claims: lease the longest due messages of a queue, or one suspect, in one short statement.

The statements, the cursor from which a claim scans the due index, and the store that runs them.
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
from outbox_relay.tracing import record_claims
from shared.templates import TEMPLATES_AND_WORK
from shared.tracing import current_tracer
from shared.vocabulary import CHANNELS, AnyChannel, Locale, Priority

IndexPosition = tuple[datetime, UUID]
"""The position of a message in the due index: its ``due_at``, then its id."""

NO_ID = UUID(int=0)
START_OF_INDEX: IndexPosition = (datetime.min.replace(tzinfo=UTC), NO_ID)
COMMIT_MARGIN = timedelta(seconds=1)
"""A transaction that commits within this time of its now() is found by the following claims without a full scan."""

FULL_SCAN_SECONDS = 5.0
LATENESS_SECONDS = 0.5
"""How late the last full scan may have been without the next one being skipped for coming too early."""
REST_IN_FULL_SCANS = 50
LONGEST_REST_SECONDS = 60.0
"""After a full scan follows a rest of 50 times its duration, at most a minute: full scans take 2 % of the time."""


def rest_after(seconds: float) -> float:
    """Return for how many seconds to avoid the start of the due index after a scan of it that took so long."""
    return min(REST_IN_FULL_SCANS * seconds, LONGEST_REST_SECONDS)


@dataclass
class ClaimCursor:
    """Where in the due index the next claim of one queue begins to scan.

    A busy outbox leaves dead index entries before its oldest pending row, and vacuum cannot remove them while an
    old transaction is open. A claim from the start of the index would read all of them. So a claim begins where the
    last one stopped, or a little before. A full scan from the start of the index, every few seconds, finds messages
    that were committed late, released to their old place, or lost their lease.
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

        Call it also for a claim that the server cancelled for its duration, but for no other failure.
        """
        if begin_at == START_OF_INDEX and self.next_full_scan > started:
            self.next_full_scan = max(self.next_full_scan, ended + rest_after(ended - started))

    def advance(self, position: IndexPosition, begin_at: IndexPosition) -> None:
        """Record that a claim has seen everything between ``begin_at`` and ``position``.

        Only a full scan may move the cursor back: claims then continue with a backlog that was committed late.
        """
        self.position = position if begin_at == START_OF_INDEX else max(self.position, position)


def seen_until(messages: Collection[ClaimedMessage], limit: int, claimed_at: datetime) -> IndexPosition:
    """Return the position before which a claim has seen everything that was committed within the margin."""
    before = claimed_at - COMMIT_MARGIN, NO_ID
    if len(messages) < limit:
        return before
    return min(before, max((message.due_at, message.id) for message in messages))


TABLE = "outbox_messages"

# An expired lease needs no cleanup: the row is still due, and no lease hides it any longer.
# - Claiming changes no indexed column, least of all due_at: so PostgreSQL writes the new version beside the old
#   one and leaves all indexes alone, which is half of what a message costs in WAL.
# - The cursor is a position in the due index, down to the id: thousands of messages of one transaction share due_at.
# - The CTE runs once; as a plain subquery the planner may rerun it per row and lock more than the limit.
# - "id = any(array(...))" stays an index scan under a generic plan, where a join becomes a hash join over a
#   sequential scan; the bounds beside it let the other partitions be pruned.
# - Relays of a newer release claim the templates and locales that this release does not know.
# - now() is stable and so an index condition; clock_timestamp() would be a filter on every pending row.
# - A due message with a lease token has lost that lease; the claim counts it.
IN_QUEUE = """channel = %(channel)s and priority = %(priority)s and status = 'pending'
       and (due_at, id) >= (%(cursor_due_at)s, %(cursor_id)s) and due_at <= now()"""
HAS_LOST_LEASES = "status = 'pending' and lost_leases >= 1 and due_at <= now()"
IS_FREE = "(leased_until is null or leased_until <= now())"
IS_KNOWN = "template = any(%(templates)s) and locale = any(%(locales)s)"
IS_OWN = "lease_token = %(lease_token)s"

# The first condition on the lost_leases is that of the index of suspects: any message that has lost a lease.
IS_SUSPECT = f"""{HAS_LOST_LEASES}
       and lost_leases + (lease_token is not null)::integer >= 2
       and {IS_FREE}
       and channel = any(%(channels)s) and priority = any(%(priorities)s)
       and {IS_KNOWN}"""


def _picking(condition: str, limit: str) -> str:
    return f"""
with picked as materialized (
    select id, due_at
      from {TABLE}
     where {condition}
     order by due_at, id
     limit {limit}
       for update skip locked)
"""  # noqa: S608 - put together from our own


PICK_DUE = _picking(
    f"""{IN_QUEUE}
       and {IS_FREE}
       and lost_leases + (lease_token is not null)::integer < 2
       and {IS_KNOWN}""",
    limit="%(limit)s",
)
PICK_SUSPECT = _picking(IS_SUSPECT, limit="1")

# After a lost answer: the same conditions as a claim, except for the one that hides leased rows.
PICK_OWN = _picking(f"{IN_QUEUE} and {IS_OWN}", limit="%(limit)s")
PICK_OWN_SUSPECT = _picking(f"{HAS_LOST_LEASES} and {IS_OWN}", limit="1")

# Ordered, so that the planner keeps to that index, which gives the order. It takes a third of all pending messages for
# suspects and would else read the table, sure to find one soon: with 100,000 pending and no suspect, 76 ms against 1.
FIND_SUSPECT = f"""
select id
  from {TABLE}
 where {IS_SUSPECT}
 order by due_at, id
 limit 1
"""  # noqa: S608 - put together from our own

# A person waits for a message that comes alone. Its claim does not wait for the disk, as its settlement soon will.
# A server that crashes in between forgets one lease; with a batch it would be hundreds.
LONE_IS_QUICK = """, quick as materialized (
    select set_config('synchronous_commit', 'off', true) from picked having count(*) = 1)
"""

# Intervals count from the start of the statement. Behind a pooler, its transaction started before the relay read
# its own clock, and the lease would end sooner than the relay assumes.
LEASE = f"""
update {TABLE}
   set lease_token = %(lease_token)s,
       leased_until = statement_timestamp() + %(lease)s,
       lost_leases = lost_leases + (lease_token <> %(lease_token)s is true)::integer
 where id = any(array(select id from picked))
"""  # noqa: S608 - put together from our own
# These bounds let PostgreSQL prune the other partitions.
AMONG_PARTITIONS = """
   and id >= (select id from picked order by id limit 1)
   and id <= (select id from picked order by id desc limit 1)
"""
# date_part, since the standard's extract gives numeric, which takes four times as long to be made a float8.
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

# Written as PostgreSQL arrays: for lists, psycopg inspects the type of each value, 50 µs for every claim.
KNOWN_VALUES = {"templates": f"{{{','.join(TEMPLATES_AND_WORK)}}}", "locales": f"{{{','.join(Locale)}}}"}


def claim_parameters(key: QueueKey, begin_at: IndexPosition, limit: int) -> dict[str, Any]:
    """Return the parameters of CLAIM and RECLAIM, apart from the lease."""
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
"""Sort key for ids; costs a fifth of comparing UUIDs."""


@dataclass(slots=True)
class ClaimQuery:
    """One claim over all of its tries, which share a lease token.

    A server may commit a claim and fail to answer, for example while its synchronous standby is away. The next try
    finds those leases by the token. Without that, messages would lose lease after lease until they count as poison.
    ``unanswered_from`` is the lowest position of the tries that were sent and not answered; ``started`` is when the
    last try was sent, on a monotonic clock.
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
        """Record that a try begins there. Unless it is answered, it may hold leases."""
        self.unanswered_from = position if self.unanswered_from is None else min(self.unanswered_from, position)

    async def run(self, connection: RelayConnection, statement: str, parameters: dict[str, Any]) -> list[Any]:
        """Run a statement that leases messages, and return its rows."""
        self.started = asyncio.get_running_loop().time()
        return await connection.fetch(statement, self.parameters | parameters)

    def messages(self, rows: list[Any]) -> list[ClaimedMessage]:
        """Return the messages of the rows, in the order in which they were enqueued."""
        # UPDATE … RETURNING has no order; version 7 ids have that of enqueueing.
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

    Every method waits for as long as the database is away, and has committed when it returns.
    """

    def __init__(self, database: ReconnectingConnection, lease: timedelta) -> None:
        self._database = database
        self._lease = lease
        self._cursors = {QueueKey(channel, priority): ClaimCursor() for channel in CHANNELS for priority in Priority}
        self.has_claimed = False

    async def claim(self, key: QueueKey, limit: int) -> list[ClaimedMessage]:
        """Lease the ``limit`` longest due messages of the queue, except suspects and messages leased by others.

        A message that is not settled before its lease ends is due again. So it can be delivered twice; channels pass
        its id on as idempotency key.
        """
        query = ClaimQuery(self._lease)

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            try:
                return await self._reclaim(connection, query, key, limit) or await self._claim(
                    connection, query, key, limit
                )
            except QueryCanceled:
                # A statement that the server cancelled holds no lease, and looking for one would take as long again.
                query.unanswered_from = None
                raise

        messages = await self._database.run(work)
        self.has_claimed = True
        return messages

    async def claim_suspect(self, channels: Collection[AnyChannel]) -> ClaimedMessage | None:
        """Lease the longest due message that has lost two leases or more, if there is one."""
        query, parameters = ClaimQuery(self._lease), suspect_parameters(channels)

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            rows = await query.run(connection, RECLAIM_SUSPECT, parameters)
            return query.messages(rows or await query.run(connection, CLAIM_SUSPECT, parameters))

        return next(iter(await self._database.run(work)), None)

    async def has_suspects(self, channels: Collection[AnyChannel]) -> bool:
        """Return whether a message that has lost two leases or more is due."""
        parameters = suspect_parameters(channels)
        return bool(await self._database.run(lambda connection: connection.fetch(FIND_SUSPECT, parameters)))

    def request_full_scan(self, key: QueueKey) -> None:
        """Make the queue's next claim scan the whole due index: a message was released behind the cursor."""
        self._cursors[key].request_full_scan()

    async def _reclaim(
        self, connection: RelayConnection, query: ClaimQuery, key: QueueKey, limit: int
    ) -> list[ClaimedMessage]:
        """Renew the leases of an earlier try whose answer was lost."""
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
        try:
            rows = await query.run(connection, statement, claim_parameters(key, begin_at, limit))
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
