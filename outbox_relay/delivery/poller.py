"""Polls for due messages, suspects, fallbacks, provider states, pauses and the schema, in one statement for all queues.

So an idle relay needs one round trip per poll for any number of queues. Notifications usually wake a relay
earlier; the poll is the fallback. It also writes the relay's heartbeat and sets the gauges of the lag.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from math import ceil
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import namedtuple_row

from migrations.revisions import REVISIONS
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.delivery.fallback import FIND_FALLBACK, Fallbacks
from outbox_relay.delivery.poison_isolation import PoisonIsolation
from outbox_relay.delivery.queue_consumer import QueueConsumer
from outbox_relay.delivery.suppressions import HAS_SUPPRESSIONS, Suppressions
from outbox_relay.metrics import BACKLOG, BACKLOG_LAG
from outbox_relay.model import LateQueue, QueueKey
from outbox_relay.outbox.claim import FIND_SUSPECT, LATENESS_SECONDS, rest_after, suspect_parameters
from outbox_relay.outbox.heartbeat import INSERT_HEARTBEAT, UPDATE_HEARTBEAT, Heartbeat
from outbox_relay.outbox.hourly_stats import HOURLY_STATS
from outbox_relay.pauses import READ_PAUSES
from outbox_relay.providers.pool import ProviderState
from outbox_relay.providers.state_sync import MARK_SEEN, ProviderStateSync
from shared.db.errors import UNDEFINED
from shared.db.preflight import SCHEMA_REVISION, is_schema_behind
from shared.vocabulary import CHANNELS, AnyChannel, Priority

LONGEST_POLL_SECONDS = 5.0
"""The longest interval between polls for suspects, fallbacks and provider states. RELAY_POLL_SECONDS may be longer."""

BACKLOG_GAUGES_SECONDS = 15.0

# The count includes messages that relays have leased. To exclude them, PostgreSQL would have to read the rows and not
# only the due index. Leased messages are few compared with a backlog. Channels without waiting messages are not
# counted.
COUNT = """
select (select count(*)
          from outbox_messages
         where channel = queue.channel and priority = queue.priority and status = 'pending' and due_at <= now())
  from unnest(%(queue_channels)s::text[], %(queue_priorities)s::text[]) with ordinality
       as queue (channel, priority, number)
 order by number
"""

# - A scalar subquery keeps ORDER BY and LIMIT, so PostgreSQL uses the index. In an "exists", PostgreSQL drops both.
# - The search for due messages starts at the beginning of the due index. So it is skipped for a while after a slow run,
#   like a full scan.
POLL = f"""
with seen as ({MARK_SEEN}),
updated as ({UPDATE_HEARTBEAT}),
inserted as ({INSERT_HEARTBEAT})
select found.*, name, consecutive_opens as consecutive_opens,
       coalesce(extract(epoch from open_until - now()), 0)::float8 as open_for
  from (select array(select array[queue.number, case when %(is_full_scan)s then extract(epoch from now() - (
                     select due_at
                       from outbox_messages
                      where channel = queue.channel and priority = queue.priority and status = 'pending'
                        and due_at <= now() and (leased_until is null or leased_until <= now())
                      order by due_at, id
                      limit 1)) end]::float8[]
               from unnest(%(queue_channels)s::text[], %(queue_priorities)s::text[]) with ordinality
                    as queue (channel, priority, number)) as lags,
       ({FIND_SUSPECT}) is not null as has_suspects,
       ({FIND_FALLBACK}) is not null as has_fallbacks,
       array(select array[kind, name] from ({READ_PAUSES}) as pause) as pauses,
       {HAS_SUPPRESSIONS} as has_suppressions,
       ({SCHEMA_REVISION}) as revision) as found
  left join providers on name = any(%(names)s)
"""  # noqa: S608 - contains only constants


def queues_of(channels: Iterable[AnyChannel]) -> list[QueueKey]:
    """Return all queues of these channels."""
    return [QueueKey(channel, priority) for channel, priority in product(channels, Priority)]


def queue_parameters(keys: Collection[QueueKey]) -> dict[str, list[str]]:
    """Return the parameters of a statement about these queues, one by one."""
    return {
        "queue_channels": [key.channel.value for key in keys],
        "queue_priorities": [key.priority.value for key in keys],
    }


ALL_QUEUES = queues_of(CHANNELS)


@dataclass(frozen=True, slots=True)
class PollResult:
    """The result of a poll: queues that may have due messages, the states of known providers, and pauses.

    ``lags`` maps each queue that has a due message to the age of the oldest one, in seconds. It is None if the poll
    made no full scan. ``pauses`` is None if the poll failed.
    """

    due: frozenset[QueueKey]
    lags: dict[QueueKey, float] | None
    has_suspects: bool
    has_fallbacks: bool
    states: dict[str, ProviderState]
    pauses: list[list[str]] | None = None
    has_suppressions: bool = True


EVERYTHING = PollResult(frozenset(ALL_QUEUES), None, has_suspects=True, has_fallbacks=True, states={})
"""The result of a failed poll: every part then searches for work itself."""


def poll_parameters(names: Sequence[str], heartbeat: Heartbeat, *, is_full_scan: bool) -> dict[str, Any]:
    """Return the parameters of POLL."""
    own = queue_parameters(ALL_QUEUES) | {"names": list(names), "is_full_scan": is_full_scan}
    return suspect_parameters(CHANNELS) | heartbeat.parameters | own


class Poller:
    """Polls every few seconds, and wakes the consumers every RELAY_POLL_SECONDS.

    Counts use a separate connection, so that a failed count does not break a poll.
    """

    def __init__(
        self,
        database: ReconnectingConnection,
        counting: ReconnectingConnection,
        *,
        heartbeat: Heartbeat,
        consumers: Sequence[QueueConsumer],
        poison_isolation: PoisonIsolation,
        state_sync: ProviderStateSync,
        fallbacks: Fallbacks,
        suppressions: Suppressions,
        interval: timedelta,
    ) -> None:
        self._database = database
        self._counting = counting
        self._heartbeat = heartbeat
        self._consumers = consumers
        self._poison_isolation = poison_isolation
        self._state_sync = state_sync
        self._fallbacks = fallbacks
        self._suppressions = suppressions
        self._seconds = interval.total_seconds()
        self._next_wake_up = 0.0
        self._next_full_scan = 0.0
        self._count_after = 0.0
        self._has_failed = False
        self.is_schema_behind = False
        """Whether the schema is older than this release, as of the last poll."""
        self._lags: dict[QueueKey, float] = {}

    def late_queues(self, limit: timedelta) -> list[LateQueue]:
        """Return this relay's queues whose oldest message was overdue by more than ``limit`` at the last full scan."""
        return [
            LateQueue(str(consumer.key), lag, consumer.blocked_by)
            for consumer in self._consumers
            if (lag := self._lags.get(consumer.key, 0.0)) > limit.total_seconds()
        ]

    async def run(self) -> None:
        """Poll until cancelled. Suspects, fallbacks and provider states are polled at least every five seconds."""
        pause = self._seconds / ceil(self._seconds / LONGEST_POLL_SECONDS)
        while True:
            await self.poll()
            await asyncio.sleep(pause)

    async def poll(self) -> None:
        """Poll once.

        If the poll fails, make every part search for work itself. After the first poll that succeeds again, every part
        searches once more. So each part notices that the database is reachable again.
        """
        now = asyncio.get_running_loop().time()
        is_wake_up = now >= self._next_wake_up
        result = await self._poll(is_full_scan=is_wake_up and now >= self._next_full_scan)
        self._distribute(result, is_wake_up=is_wake_up)
        if is_wake_up:
            self._next_wake_up = now + self._seconds - LATENESS_SECONDS

    async def count_backlog(self) -> None:
        """Set the backlog gauges of the channels that had waiting messages at the last full scan.

        The scheduler calls this. After a long count, the next one is delayed, as after a full scan.
        """
        clock, waiting = asyncio.get_running_loop().time, {key.channel for key in self._lags}
        started = clock()
        if waiting and started >= self._count_after:
            with suppress(psycopg.Error):
                set_backlog_gauges(await self._counting.once(lambda connection: backlog(waiting, connection)))
            self._count_after = clock() + rest_after(clock() - started)

    async def write_hourly_stats(self) -> None:
        """Write the counts of sent and dead messages since the last time, if there are any. A job of the scheduler."""
        await HOURLY_STATS.write(self._counting)

    async def _poll(self, *, is_full_scan: bool) -> PollResult:
        try:
            result = await self._database.once(lambda connection: self._run(connection, is_full_scan=is_full_scan))
        except psycopg.Error as error:
            self._has_failed = True
            self.is_schema_behind = error.sqlstate in UNDEFINED
            return EVERYTHING
        had_failed, self._has_failed = self._has_failed, False
        return replace(result, due=EVERYTHING.due, has_suspects=True, has_fallbacks=True) if had_failed else result

    async def _run(self, connection: AsyncConnection, *, is_full_scan: bool) -> PollResult:
        clock = asyncio.get_running_loop().time
        started = clock()
        parameters = poll_parameters(self._state_sync.names, self._heartbeat, is_full_scan=is_full_scan)
        try:
            async with connection.cursor(row_factory=namedtuple_row) as cursor:
                await cursor.execute(POLL, parameters)
                rows: list[Any] = await cursor.fetchall()
        finally:
            if is_full_scan:
                self._next_full_scan = clock() + rest_after(clock() - started)
        states = {row.name: ProviderState(row.consecutive_opens, row.open_for) for row in rows if row.name}
        lags = {ALL_QUEUES[int(number) - 1]: lag for number, lag in rows[0].lags if lag is not None}
        due = frozenset(lags if is_full_scan else ALL_QUEUES)
        found = rows[0]
        self.is_schema_behind = is_schema_behind(found.revision, REVISIONS)
        seen = lags if is_full_scan else None
        return PollResult(
            due, seen, found.has_suspects, found.has_fallbacks, states, found.pauses, found.has_suppressions
        )

    def _distribute(self, result: PollResult, *, is_wake_up: bool) -> None:
        if result.lags is not None:
            self._lags = result.lags
            set_lag_gauges(self._lags)
            set_backlog_gauges(dict.fromkeys(set(CHANNELS) - {key.channel for key in self._lags}, 0))
        self._state_sync.polled(result.states, result.pauses)
        self._suppressions.polled(are_any=result.has_suppressions)
        if result.has_suspects:
            self._poison_isolation.request()
        if result.has_fallbacks:
            self._fallbacks.request()
        for consumer in self._consumers if is_wake_up else ():
            consumer.polled(is_due=consumer.key in result.due)


async def backlog(channels: Iterable[AnyChannel], connection: AsyncConnection) -> Counter[AnyChannel]:
    """Return how many messages are due in each of these channels, held by a relay or not."""
    keys = queues_of(channels)
    cursor = await connection.execute(COUNT, queue_parameters(keys))
    found: Counter[AnyChannel] = Counter()
    for key, (due,) in zip(keys, await cursor.fetchall(), strict=True):
        found[key.channel] += due
    return found


def set_backlog_gauges(found: Mapping[AnyChannel, int]) -> None:
    """Set the number of due messages of each of these channels."""
    for channel, due in found.items():
        BACKLOG.labels(channel.value).set(due)


def set_lag_gauges(lags: Mapping[QueueKey, float]) -> None:
    """Set the age of the oldest due message that no relay holds, for each channel."""
    for channel in CHANNELS:
        ages = [lag for key, lag in lags.items() if key.channel == channel]
        BACKLOG_LAG.labels(channel.value).set(max(ages, default=0.0))
