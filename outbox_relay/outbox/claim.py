"""Claiming: lease the longest due messages of a lane, or one suspect, in one short statement."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

from psycopg.errors import QueryCanceled

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.model import ClaimedMessage, QueueKey
from outbox_relay.outbox.claim_sql import (
    CLAIM,
    CLAIM_AGAIN,
    CLAIM_SUSPECT,
    CLAIM_SUSPECT_AGAIN,
    CLAIM_TRACED,
    FIND_SUSPECT,
    claim_parameters,
    suspect_parameters,
)
from outbox_relay.outbox.scan_cursor import ClaimCursor, IndexPosition, seen_until
from outbox_relay.tracing import record_claims
from shared.tracing import recorder
from shared.vocabulary import CHANNELS, TEMPLATES, AnyChannel, Locale, Urgency


@dataclass(slots=True)
class Grasp:
    """One claim, however many tries it takes; ``lost_from`` is where those began that may hold some unheard."""

    key: QueueKey
    limit: int
    token: UUID = field(default_factory=uuid4)
    lost_from: IndexPosition | None = None

    def reaches(self, place: IndexPosition) -> None:
        """Note that a try begins there; unless it is answered, it may hold what it found."""
        self.lost_from = place if self.lost_from is None else min(self.lost_from, place)

    def forget(self) -> None:
        """Forget the tries: one that took the server too long holds nothing, and to look for it would take as long."""
        self.lost_from = None


TEMPLATES_BY_WORD = {template.value: template for template in TEMPLATES}
CHANNELS_BY_WORD = {channel.value: channel for channel in CHANNELS}
LOCALES = {locale.value: locale for locale in Locale}

NEVER = float("inf")
BY_ID = attrgetter("id.int")
"""The order of ids, a fifth of the cost of comparing them as UUIDs."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What the messages of one claim have in common; its moments are of a monotonic clock."""

    token: UUID
    began: float
    ends: float


def claimed_messages(lease: Lease, rows: list[Any]) -> list[ClaimedMessage]:
    """Make messages of the rows that were leased, in the order in which they were enqueued."""
    # UPDATE … RETURNING has no order; a version 7 id has that of enqueueing.
    return [claimed_message(row, lease) for row in sorted(rows, key=BY_ID)]


def traced(messages: list[ClaimedMessage], rows: list[Any]) -> list[ClaimedMessage]:
    """Give the messages the traces that they belong to."""
    traces = {row.id: row.traceparent for row in rows}
    return [message._replace(traceparent=traces[message.id]) for message in messages]


def claimed_message(row: Any, lease: Lease) -> ClaimedMessage:
    """Make a message of a row that a claim returned."""
    return ClaimedMessage(  # by the order of the fields: their names would cost 4 µs
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


Ask = Callable[[RelayConnection], Awaitable[list[ClaimedMessage]]]


class ClaimStore:
    """The relay's hand in the outbox, one scan floor per lane."""

    def __init__(self, lifeline: ReconnectingConnection, lease: timedelta) -> None:
        self._lifeline = lifeline
        self._lease = lease
        self._floors = {QueueKey(channel, urgency): ClaimCursor() for channel in CHANNELS for urgency in Urgency}
        self.has_claimed = False

    async def claim(self, key: QueueKey, limit: int) -> list[ClaimedMessage]:
        """Lease the ``limit`` longest due messages of the lane, skipping suspects and those that others hold.

        One statement, committed when this returns; waits for as long as the database is away. A lease
        not settled in time is free again, so a message can be delivered twice; channels pass its id
        on as idempotency key.
        """
        grasp = Grasp(key, limit)
        return await self._until_answered(grasp, partial(self._claim_from_floor, grasp))

    async def claim_suspect(self, channels: Collection[AnyChannel]) -> ClaimedMessage | None:
        """Lease the longest due of the messages that have lost two leases or more, if there is any."""
        parameters = suspect_parameters(channels) | self._leasing(uuid4())

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            again = await self._leased(connection, CLAIM_SUSPECT_AGAIN, parameters)
            return again or await self._leased(connection, CLAIM_SUSPECT, parameters)

        return next(iter(await self._lifeline.run(work)), None)

    async def has_suspects(self, channels: Collection[AnyChannel]) -> bool:
        """Tell whether any such message is due."""
        parameters = suspect_parameters(channels)

        async def work(connection: RelayConnection) -> bool:
            return bool((await connection.ask(FIND_SUSPECT, parameters)).rows)

        return await self._lifeline.run(work)

    def full_scan_soon(self, key: QueueKey) -> None:
        """Have the lane's next claim begin before everything: something was put back below its floor."""
        self._floors[key].full_scan_soon()

    async def _until_answered(self, grasp: Grasp, ask: Ask) -> list[ClaimedMessage]:
        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            try:
                return await self._claim_again(connection, grasp) or await ask(connection)
            except QueryCanceled:
                grasp.forget()
                raise

        messages = await self._lifeline.run(work)
        self.has_claimed = True
        return messages

    async def _claim_again(self, connection: RelayConnection, grasp: Grasp) -> list[ClaimedMessage]:
        if grasp.lost_from is None:
            return []
        parameters = claim_parameters(grasp.key, grasp.lost_from, grasp.limit) | self._leasing(grasp.token)
        return await self._leased(connection, CLAIM_AGAIN, parameters)

    async def _claim_from_floor(self, grasp: Grasp, connection: RelayConnection) -> list[ClaimedMessage]:
        floor, clock = self._floors[grasp.key], asyncio.get_running_loop().time
        began = clock()
        began_at = floor.next(began)
        grasp.reaches(began_at)
        try:
            messages, claimed_at = await self._claim_due(connection, grasp, began_at)
        except QueryCanceled:
            floor.took(began_at, began, clock())
            raise
        floor.took(began_at, began, clock())
        if claimed_at:
            floor.reached(seen_until(messages, grasp.limit, claimed_at), began_at)
        return messages

    async def _claim_due(
        self, connection: RelayConnection, grasp: Grasp, begin_at: IndexPosition
    ) -> tuple[list[ClaimedMessage], datetime | None]:
        """Lease what is due from there; return it, and when that was by the server's clock, if anything was due."""
        statement = CLAIM_TRACED if recorder() else CLAIM
        parameters = claim_parameters(grasp.key, begin_at, grasp.limit) | self._leasing(grasp.token)
        lease, rows = await self._run(connection, statement, parameters)
        messages = claimed_messages(lease, rows)
        if taker := recorder():
            messages = traced(messages, rows)
            record_claims(taker, messages, asyncio.get_running_loop().time() - lease.began)
        return messages, rows[0].claimed_at if rows else None

    def _leasing(self, token: UUID) -> dict[str, Any]:
        return {"lease": self._lease, "lease_token": token}

    async def _leased(
        self, connection: RelayConnection, statement: str, parameters: dict[str, Any]
    ) -> list[ClaimedMessage]:
        """Run a statement that leases, and return what it has leased."""
        return claimed_messages(*await self._run(connection, statement, parameters))

    async def _run(
        self, connection: RelayConnection, statement: str, parameters: dict[str, Any]
    ) -> tuple[Lease, list[Any]]:
        began = asyncio.get_running_loop().time()
        lease = Lease(parameters["lease_token"], began, began + self._lease.total_seconds())
        answer = await connection.ask(statement, parameters)
        return lease, answer.rows
