"""Claims: lease the longest due messages of a queue, or one suspect, in one short statement."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

from psycopg.errors import QueryCanceled

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.model import ClaimedMessage, QueueKey
from outbox_relay.outbox.claim_sql import (
    CLAIM,
    CLAIM_SUSPECT,
    CLAIM_TRACED,
    FIND_SUSPECT,
    RECLAIM,
    RECLAIM_SUSPECT,
    claim_parameters,
    suspect_parameters,
)
from outbox_relay.outbox.scan_cursor import ClaimCursor, IndexPosition, seen_until
from outbox_relay.tracing import record_claims
from shared.tracing import current_tracer
from shared.vocabulary import CHANNELS, TEMPLATES, AnyChannel, Locale, Priority

TEMPLATES_BY_VALUE = {template.value: template for template in TEMPLATES}
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

        async def work(connection: RelayConnection) -> bool:
            return bool(await connection.fetch(FIND_SUSPECT, parameters))

        return await self._database.run(work)

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
