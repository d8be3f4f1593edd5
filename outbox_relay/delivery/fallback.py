"""Fallbacks: a second message on the user's other channel, if the first was refused or not accepted in time.

A message that was not accepted in time stays pending, so both may arrive.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, Rollback
from psycopg.rows import scalar_row

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.metrics import FALLBACKS, FALLBACKS_OVER_BUDGET
from outbox_relay.model import Budgets, Scope, scopes_by_name
from shared.ids import uuid7
from shared.log import get_logger
from shared.vocabulary import WAKE_CHANNEL, Channel

BATCH = 100

# A settlement that marks a message as dead also sets its fallback_at to now. Both are written in one statement, so any
# relay can continue if this one ends directly afterwards.
# A message that was sent falls back if a report about it has set fallback_due_at. Each half uses a separate index.
DUE = """
select id
  from ((select id, fallback_at as due_at
           from outbox_messages
          where fallback_at <= now() and status <> 'sent'
          order by fallback_at
          limit %(limit)s)
        union all
        (select message_id, fallback_due_at
           from delivery_reports
          where fallback_due_at is not null
          order by fallback_due_at
          limit %(limit)s)) as due
 order by due_at
 limit %(limit)s
"""

FIND_FALLBACK = DUE.replace("%(limit)s", "1")

FALL_BACK = "select signpost_fall_back(%(first_id)s, %(next_id)s)"

# Notifies all relays, because perhaps only another relay serves the fallback's channel.
FIND_NEXT = """
select channel, recipient, pg_notify(%(wake_channel)s, '') from outbox_messages where id = %(next_id)s
"""

SPEND = """
insert into fallback_budgets as budget (day, scope, spent)
select (now() at time zone 'UTC')::date, scope, 1
  from unnest(%(names)s::text[]) with ordinality as spending (scope, place)
 order by place
    on conflict (day, scope) do update set spent = budget.spent + 1
returning day, scope, spent
"""

PRUNE = "delete from fallback_budgets where day < (now() at time zone 'UTC')::date - 1"

GIVE_UP = """
with ignored as (update delivery_reports set fallback_due_at = null
                  where message_id = %(first_id)s and fallback_due_at is not null)
update outbox_messages set fallback_at = null where id = %(first_id)s
"""

log = get_logger("relay.fallback")


@dataclass(frozen=True, slots=True)
class FallbackMessage:
    """The message that was enqueued on the user's other channel."""

    id: UUID
    channel: Channel
    recipient: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A budget that is used up. ``name`` distinguishes budgets of the same scope, and contains no phone number."""

    day: date
    scope: Scope
    name: str


class Fallbacks:
    """Enqueues the fallbacks that are due: once for each message, and within the daily budgets."""

    def __init__(self, database: ReconnectingConnection, budgets: Budgets, key: bytes) -> None:
        self._database = database
        self._budgets = budgets
        self._key = key
        self._reported: set[OverBudget] = set()
        self._requested = asyncio.Event()

    def request(self) -> None:
        """Make ``run`` look for due fallbacks soon.

        Call it after a message died, or when the poller has found a due fallback.
        """
        self._requested.set()

    async def run(self, wake: Callable[[], None]) -> None:
        """Look now and whenever requested, until cancelled; ``wake`` is called when a message was enqueued."""
        while True:
            self._requested.clear()
            if await self.take_due():
                wake()
                self.request()  # a look takes a hundred at most
            await self._requested.wait()

    async def take_due(self) -> int:
        """Enqueue the fallbacks that are due, at most a hundred; return how many there were.

        Each fallback has its own transaction, which is committed before the next one begins. Waits while the database
        is unreachable.
        """
        return sum([await self._take_one(first_id) for first_id in await self._database.run(due_ids)])

    async def _take_one(self, first_id: UUID) -> bool:
        async def work(connection: AsyncConnection) -> FallbackMessage | OverBudget | None:
            return await self._take(connection, first_id)

        try:
            result = await self._database.run(work)
        except Exception:
            # A bug that one message triggers must not block the fallbacks of other messages, now or in later rounds.
            log.exception("falling back failed", message_id=str(first_id))
            await self._database.run(lambda connection: drop_fallback(connection, first_id))
            return False
        self._report(first_id, result)
        return isinstance(result, FallbackMessage)

    async def _take(self, connection: AsyncConnection, first_id: UUID) -> FallbackMessage | OverBudget | None:
        """Enqueue one message's fallback and count it, or do neither.

        Returns None if the work is done already, or if another relay is doing it. A repeated call after a lost
        response has no effect, because the first call has cleared ``fallback_at``.
        """
        async with connection.transaction() as whole:
            fallback = await fall_back(connection, first_id)
            over_budget = await self._spend(connection, fallback) if fallback else None
            if over_budget:
                raise Rollback(whole)
        if over_budget:
            await drop_fallback(connection, first_id)
        return over_budget or fallback

    async def _spend(self, connection: AsyncConnection, fallback: FallbackMessage) -> OverBudget | None:
        """Count an SMS. Return the budget that it exceeds, or None. E-mails are not counted."""
        match fallback.channel:
            case Channel.EMAIL:
                return None
            case Channel.SMS:
                return await self._spend_sms(connection, fallback.recipient)

    async def _spend_sms(self, connection: AsyncConnection, number: str) -> OverBudget | None:
        scopes = scopes_by_name(number, self._key)
        cursor = await connection.execute(SPEND, {"names": list(scopes)})
        for day, name, spent in await cursor.fetchall():
            scope = scopes[name]
            if spent > self._budgets[scope]:
                return OverBudget(day, scope, scope.value if scope is Scope.NUMBER else name)
            if scope is Scope.TOTAL and spent == 1:
                await connection.execute(PRUNE)
        return None

    def _report(self, first_id: UUID, result: FallbackMessage | OverBudget | None) -> None:
        match result:
            case FallbackMessage():
                FALLBACKS.labels(result.channel.value).inc()
                log.info(
                    "message fell back",
                    message_id=str(first_id),
                    fallback_id=str(result.id),
                    channel=result.channel.value,
                )
            case OverBudget():
                FALLBACKS_OVER_BUDGET.labels(result.scope.value).inc()
                self._log_once(result)
            case None:
                return

    def _log_once(self, over_budget: OverBudget) -> None:
        """Log once a day that a budget is used up. All phone numbers share one line, because there can be many."""
        if over_budget not in self._reported:
            log.warning("fallback budget used up", scope=over_budget.scope.value, name=over_budget.name)
        self._reported = {one for one in self._reported if one.day == over_budget.day} | {over_budget}


async def due_ids(connection: AsyncConnection) -> list[UUID]:
    """Return the messages whose fallback is due, the longest due first."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(DUE, {"limit": BATCH})
        return await cursor.fetchall()


async def fall_back(connection: AsyncConnection, first_id: UUID) -> FallbackMessage | None:
    """Enqueue the message's fallback in the caller's transaction, if there is still a reason to."""
    ids = {"first_id": first_id, "next_id": uuid7()}
    has_fallen_back = await (await connection.execute(FALL_BACK, ids)).fetchone()
    if has_fallen_back != (True,):
        return None
    row = await (await connection.execute(FIND_NEXT, ids | {"wake_channel": WAKE_CHANNEL})).fetchone()
    if row is None:
        raise psycopg.DataError("the fallback just enqueued is not there")
    return FallbackMessage(ids["next_id"], Channel(row[0]), row[1])


async def drop_fallback(connection: AsyncConnection, first_id: UUID) -> None:
    """Leave the message without a fallback."""
    await connection.execute(GIVE_UP, {"first_id": first_id})
