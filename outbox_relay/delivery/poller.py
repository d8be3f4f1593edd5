"""Looking for whatever there is to do, in one statement; those whom it concerns then ask for themselves.

So a relay without work costs one round trip a turn, however many lanes it has. What is committed meanwhile is told by
notifications; this is the net below them.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import product
from math import ceil
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import namedtuple_row

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.delivery.fallback import FIND_FALLBACK, Fallbacks
from outbox_relay.delivery.poison_isolation import PoisonIsolation
from outbox_relay.delivery.queue_consumer import QueueConsumer
from outbox_relay.maintenance.heartbeat import INSERT_HEARTBEAT, UPDATE_HEARTBEAT, Heartbeat
from outbox_relay.metrics import BACKLOG, BACKLOG_LAG
from outbox_relay.model import LateQueue, QueueKey
from outbox_relay.outbox.claim_sql import FIND_SUSPECT, suspect_parameters
from outbox_relay.outbox.hourly_stats import HOURLY_STATS
from outbox_relay.outbox.scan_cursor import LATENESS_SECONDS, rest_after
from outbox_relay.providers.provider import ProviderState
from outbox_relay.providers.state_sync import SEE, ProviderStateSync
from shared.vocabulary import CHANNELS, AnyChannel, Urgency

# Also what relays have in hand: to leave it out, all rows would have to be read, and not the due index alone. It is
# little beside what waits; a channel of which nothing waits is not counted.
COUNT = """
select (select count(*)
          from outbox_messages
         where channel = lane.channel and urgency = lane.urgency and status = 'pending' and due_at <= now())
  from unnest(%(lane_channels)s::text[], %(lane_urgencies)s::text[]) with ordinality as lane (channel, urgency, number)
 order by number
"""


def lanes_of(channels: Iterable[AnyChannel]) -> list[QueueKey]:
    """Return all lanes of these channels."""
    return [QueueKey(channel, urgency) for channel, urgency in product(channels, Urgency)]


def lane_parameters(keys: Collection[QueueKey]) -> dict[str, list[str]]:
    """Return what a statement needs that asks about these lanes, one by one."""
    return {
        "lane_channels": [key.channel.value for key in keys],
        "lane_urgencies": [key.urgency.value for key in keys],
    }


async def backlog(channels: Iterable[AnyChannel], connection: AsyncConnection) -> Counter[AnyChannel]:
    """Return how many messages are due in each of these channels, in hand or not."""
    keys = lanes_of(channels)
    cursor = await connection.execute(COUNT, lane_parameters(keys))
    found: Counter[AnyChannel] = Counter()
    for key, (due,) in zip(keys, await cursor.fetchall(), strict=True):
        found[key.channel] += due
    return found


def tell_backlog(found: Mapping[AnyChannel, int]) -> None:
    """Tell how many are due, for each of these channels."""
    for channel, due in found.items():
        BACKLOG.labels(channel.value).set(due)


def tell_lag(lags: Mapping[QueueKey, float]) -> None:
    """Tell for how many seconds the oldest has been due that no relay has in hand, for each channel."""
    for channel in CHANNELS:
        ages = [lag for key, lag in lags.items() if key.channel == channel]
        BACKLOG_LAG.labels(channel.value).set(max(ages, default=0.0))


LONGEST_PAUSE = timedelta(seconds=5)
"""For suspects, fallbacks and the fleet's news, also where lanes are polled less often."""

GAUGES_SECONDS = 15.0
HOURLY_STATS_SECONDS = 10.0
PATIENCE_SECONDS = 2.0
"""For counts that operators look at: they keep no relay from ending."""

ALL_LANES = lanes_of(CHANNELS)

# - A scalar subquery keeps its order and limit, and so its index; an "exists" would lose both.
# - Looking for what is due begins before everything, and so has to be left out sometimes, as claims' sweeps are.
LOOK = f"""
with seen as ({SEE}),
present as ({UPDATE_HEARTBEAT}),
entered as ({INSERT_HEARTBEAT})
select found.*, name, openings, greatest(extract(epoch from open_until - now()), 0)::float8 as open_for
  from (select array(select array[lane.number, case when %(is_full_scan)s then extract(epoch from now() - (
                     select due_at
                       from outbox_messages
                      where channel = lane.channel and urgency = lane.urgency and status = 'pending'
                        and due_at <= now() and (leased_until is null or leased_until <= now())
                      order by due_at, id
                      limit 1)) end]::float8[]
               from unnest(%(lane_channels)s::text[], %(lane_urgencies)s::text[]) with ordinality
                    as lane (channel, urgency, number)) as lags,
       ({FIND_SUSPECT}) is not null as has_suspects,
       ({FIND_FALLBACK}) is not null as has_fallbacks) as found
  left join providers on name = any(%(names)s)
"""  # noqa: S608 - put together from our own


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a look has found; ``due`` are the lanes that may have something, ``standings`` those of known providers.

    ``lags`` are the ages of the oldest due message of each lane that has one, in seconds, or None if it was not asked.
    """

    due: frozenset[QueueKey]
    lags: dict[QueueKey, float] | None
    has_suspects: bool
    has_fallbacks: bool
    standings: dict[str, ProviderState]


EVERYTHING = PollResult(frozenset(ALL_LANES), None, has_suspects=True, has_fallbacks=True, standings={})


@dataclass(frozen=True)
class Concerned:
    """Those whom a look may have news for."""

    lanes: Sequence[QueueConsumer]
    quarantine: PoisonIsolation
    fleet: ProviderStateSync
    fallbacks: Fallbacks


@dataclass(frozen=True)
class Eyes:
    """The lookout's connections: one to look, one to count; a count that fails must not spoil a look."""

    looking: ReconnectingConnection
    counting: ReconnectingConnection


def look_parameters(names: Sequence[str], presence: Heartbeat, *, is_full_scan: bool) -> dict[str, Any]:
    """Return what LOOK needs."""
    of_lanes = lane_parameters(ALL_LANES) | {"names": list(names), "is_full_scan": is_full_scan}
    return suspect_parameters(CHANNELS) | presence.parameters | of_lanes


class Interval:
    """Something to do every so many seconds; a turn that came a little late does not put off the next."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be done at that moment of the loop's clock."""
        return now >= self._next

    def done(self, began: float, *, rest_until: float = 0.0) -> None:
        """Note that it was done, beginning then; it is due in its time, but not before its rest is over."""
        self._next = max(began + self._seconds - LATENESS_SECONDS, rest_until)


class Poller:
    """Looks every few seconds, and tells the lanes as often as they are to be polled."""

    def __init__(self, eyes: Eyes, presence: Heartbeat, concerned: Concerned, poll: timedelta) -> None:
        self._eyes = eyes
        self._presence = presence
        self._concerned = concerned
        self._poll = poll.total_seconds()
        self._polls = Interval(self._poll)
        self._sweeps = Interval(0.0)  # at each poll, but for their rests
        self._gauges = Interval(GAUGES_SECONDS)
        self._hours = Interval(HOURLY_STATS_SECONDS)
        self._was_blind = False
        self._lags: dict[QueueKey, float] = {}

    def late(self, limit: timedelta) -> list[LateQueue]:
        """Tell which of this relay's lanes had a message due for longer than that when all was last looked through."""
        return [
            LateQueue(str(lane.key), lag, lane.blocked_by)
            for lane in self._concerned.lanes
            if (lag := self._lags.get(lane.key, 0.0)) > limit.total_seconds()
        ]

    async def run(self) -> None:
        """Look until cancelled."""
        pause = self._poll / ceil(self._poll / LONGEST_PAUSE.total_seconds())
        while True:
            await self.look()
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Look once; where that fails, have all look for themselves, as if there were something for each.

        Once more after that, so that each of them knows that the database is back.
        """
        now = asyncio.get_running_loop().time()
        is_poll = self._polls.is_due(now)
        sight = await self._seen(is_full_scan=is_poll and self._sweeps.is_due(now))
        self._tell(sight, is_poll=is_poll)
        if is_poll:
            self._polls.done(now)
        if self._hours.is_due(now):
            await self.write_hours()
            self._hours.done(now)
        if sight.lags is not None:
            await self._set_gauges(sight.lags)

    async def write_hours(self) -> None:
        """Write down what was sent and died since the last time, if anything; what cannot be written waits."""
        await HOURLY_STATS.write(self._eyes.counting)

    async def _seen(self, *, is_full_scan: bool) -> PollResult:
        try:
            sight = await self._eyes.looking.once(lambda connection: self._sight(connection, is_full_scan=is_full_scan))
        except psycopg.Error:
            self._was_blind = True
            return EVERYTHING
        was_blind, self._was_blind = self._was_blind, False
        return replace(EVERYTHING, lags=sight.lags, standings=sight.standings) if was_blind else sight

    async def _sight(self, connection: AsyncConnection, *, is_full_scan: bool) -> PollResult:
        clock, names = asyncio.get_running_loop().time, self._concerned.fleet.names
        began = clock()
        try:
            async with connection.cursor(row_factory=namedtuple_row) as cursor:
                await cursor.execute(LOOK, look_parameters(names, self._presence, is_full_scan=is_full_scan))
                rows: list[Any] = await cursor.fetchall()
        finally:
            if is_full_scan:
                self._sweeps.done(began, rest_until=clock() + rest_after(clock() - began))
        standings = {row.name: ProviderState(row.openings, row.open_for) for row in rows if row.name}
        lags = {ALL_LANES[int(number) - 1]: lag for number, lag in rows[0].lags if lag is not None}
        due = frozenset(lags if is_full_scan else ALL_LANES)
        return PollResult(due, lags if is_full_scan else None, rows[0].has_suspects, rows[0].has_fallbacks, standings)

    async def _set_gauges(self, lags: Mapping[QueueKey, float]) -> None:
        """Count what is due every 15 seconds, if anything is; a count that fails rests as a look does."""
        clock = asyncio.get_running_loop().time
        began = clock()
        waiting = {key.channel for key in lags}
        tell_lag(lags)
        tell_backlog(dict.fromkeys(set(CHANNELS) - waiting, 0))
        if waiting and self._gauges.is_due(began):
            with suppress(psycopg.Error):
                tell_backlog(await self._eyes.counting.once(partial(backlog, waiting)))
            self._gauges.done(began, rest_until=clock() + rest_after(clock() - began))

    def _tell(self, sight: PollResult, *, is_poll: bool) -> None:
        concerned = self._concerned
        self._lags = self._lags if sight.lags is None else sight.lags
        concerned.fleet.hear(sight.standings)
        if sight.has_suspects:
            concerned.quarantine.soon()
        if sight.has_fallbacks:
            concerned.fallbacks.soon()
        for lane in concerned.lanes if is_poll else ():
            lane.polled(is_due=lane.key in sight.due)
