"""Keeps what this relay knows of its providers in step with the other relays': a row for each provider.

Nothing waits for it. A rate's tokens and the leave to probe are asked for before claiming, once a batch; all
else is looked at once a second or, when there is nothing to do, told by the lookout. When the rows cannot be
reached, each relay goes on by what it knows itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row, namedtuple_row

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.providers.circuit_breaker import BreakerState
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.providers.provider import (
    LOOK_AGAIN_SECONDS,
    PROBE_PERMIT_SECONDS,
    PooledProvider,
    ProviderState,
    ProviderStateUpdate,
)

LONGEST_EXCHANGE_SECONDS = 2.0
QUIET_SECONDS = 60.0
"""Between looks of its own while every provider is up and nothing goes there from here: the lookout looks, too."""

# All moments are the database's, and what leaves it is intervals: the hosts' clocks do not matter.
SEE = """
    update providers set seen_at = now()
     where name = any(%(names)s) and seen_at < now() - interval '1 minute'
"""

LOOK = f"""
with seen as ({SEE})
select name, openings, greatest(extract(epoch from open_until - now()), 0)::float8 as open_for
  from providers where name = any(%(names)s)
"""  # noqa: S608 - put together from our own

JOIN = """
insert into providers (name, rate)
select name, rate from unnest(%(names)s::text[], %(rates)s::text[]) as told (name, rate)
on conflict (name) do update set rate = excluded.rate where providers.rate is distinct from excluded.rate
"""

# - The row is locked first, and all that follows is worked out from it as it is by then.
# - A relay that opens while the row stands open adds no doubling: it is the same outage.
# - A bucket never drawn from is full.
TELL = """
with before as materialized (
    select name, openings, probe_by, probe_until, open_until, clock_timestamp() as moment,
           openings > 0 and open_until > clock_timestamp() as is_open,
           case when refilled_at is null then %(burst)s
                else least(tokens + %(returned)s + %(per_second)s
                           * greatest(extract(epoch from clock_timestamp() - refilled_at), 0), %(burst)s)
           end::float8 as tokens
      from providers where name = %(name)s for update),
decided as (
    select *, least(%(wanted)s, floor(tokens)) as granted,
           case when %(is_closing)s then 0
                when %(is_opening)s and is_open then openings
                when %(is_opening)s then greatest(openings + 1, %(openings)s)
                else openings end as openings_now,
           %(wants_probe_permit)s and openings > 0 and not is_open and not %(is_opening)s and not %(is_closing)s
           and (probe_by = %(relay)s or probe_until is null or probe_until <= moment) as has_probe_permit
      from before)
update providers
   set openings = openings_now,
       open_until = case when %(is_closing)s then null
                         when %(is_opening)s then greatest(case when decided.is_open then decided.open_until end,
                                                           moment + make_interval(secs => %(open_for)s))
                         else decided.open_until end,
       since = case when (decided.openings = 0) = (openings_now = 0) then since else moment end,
       probe_by = case when has_probe_permit then %(relay)s
                       when openings_now = decided.openings then decided.probe_by end,
       probe_until = case when has_probe_permit then moment + make_interval(secs => %(leave)s)
                          when openings_now = decided.openings then decided.probe_until end,
       tokens = decided.tokens - granted,
       refilled_at = moment,
       last_failure_class = coalesce(%(failure_class)s, last_failure_class),
       last_failed_at = case when %(is_opening)s then moment else last_failed_at end,
       seen_at = moment
  from decided
 where providers.name = decided.name
returning providers.openings, has_probe_permit, granted::integer,
          greatest(extract(epoch from providers.open_until - moment), 0)::float8 as open_for,
          (greatest(1 - providers.tokens, 0) / nullif(%(per_second)s, 0))::float8 as token_in
"""


class ProviderStateSync:
    """This relay's part in the fleet of those that share the database."""

    def __init__(self, database_url: str, ladders: Sequence[ProviderPool]) -> None:
        self._lifeline = ReconnectingConnection(database_url, "providers")
        self._ladders = ladders
        self._relay = uuid4()
        self._joined_over: AsyncConnection | None = None
        self._asked = asyncio.Event()
        self._is_known = asyncio.Event()
        for ladder in ladders:
            ladder.ask = self._asked.set

    async def run(self) -> None:
        """Exchange what is known, every second or so and whenever something is to be told or asked; until cancelled."""
        try:
            while True:
                self._asked.clear()
                await self.exchange()
                self._is_known.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._asked.wait()
        finally:
            await self.close()

    @property
    def names(self) -> list[str]:
        """What its providers are called."""
        return [rung.provider.name for rung in self._rungs()]

    def hear(self, standings: Mapping[str, ProviderState]) -> None:
        """Learn what the lookout has seen while there is nothing to tell or to ask here; otherwise exchange soon."""
        is_complete = standings.keys() >= set(self.names)
        if is_complete and self._is_quiet():
            self._pass_on_news({rung: rung.learn(None, standings[rung.provider.name]) for rung in self._rungs()})
        # Asked again: what was just learned, such as that a provider is down, may have ended the quiet.
        if not (is_complete and self._is_quiet()):
            self._asked.set()

    def _rungs(self) -> list[PooledProvider]:
        return list(chain.from_iterable(ladder.rungs for ladder in self._ladders))

    def _is_quiet(self) -> bool:
        return all(rung.is_quiet() for rung in self._rungs())

    def _pause(self) -> float:
        return QUIET_SECONDS if self._is_quiet() else LOOK_AGAIN_SECONDS

    async def known(self) -> None:
        """Wait until the fleet was asked once, so that a new relay leaves alone what is known to be down."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_EXCHANGE_SECONDS):
                await self._is_known.wait()

    async def exchange(self) -> None:
        """Tell and learn; what cannot be told is kept, and the relay goes on by its own knowledge."""
        # By name: behind a pooler all is one transaction, and two relays would wait for each other's rows.
        rungs = sorted(self._rungs(), key=lambda rung: rung.provider.name)
        reports = [(rung, rung.report()) for rung in rungs]

        async def work(connection: AsyncConnection) -> dict[PooledProvider, ProviderState]:
            return await self._standings(connection, reports)

        try:
            standings = await self._lifeline.once(work, within=LONGEST_EXCHANGE_SECONDS)
        except psycopg.Error:
            self._pass_on_news({rung: rung.go_on_alone(report) for rung, report in reports})
        else:
            self._pass_on_news({rung: rung.learn(report, standings[rung]) for rung, report in reports})

    def _pass_on_news(self, has_more: Mapping[PooledProvider, bool]) -> None:
        """Have those look again who wait; ``has_more`` tells where more may be done now."""
        for ladder in self._ladders:
            ladder.wake_couriers()
            if any(has_more[rung] for rung in ladder.rungs):
                ladder.wake_lanes()

    async def _standings(
        self, connection: AsyncConnection, reports: Sequence[tuple[PooledProvider, ProviderStateUpdate | None]]
    ) -> dict[PooledProvider, ProviderState]:
        if connection is not self._joined_over:
            await self._join(connection)
            self._joined_over = connection
        standings = {rung: await self._tell(connection, rung, report) for rung, report in reports if report}
        quiet = [rung for rung, report in reports if not report]
        found = await self._look(connection, [rung.provider.name for rung in quiet]) if quiet else {}
        return standings | {rung: found[rung.provider.name] for rung in quiet}

    async def _join(self, connection: AsyncConnection) -> None:
        rates = {rung.provider.name: rung.rate for rung in self._rungs()}
        texts = [str(rate) if rate else None for rate in rates.values()]
        await connection.execute(JOIN, {"names": list(rates), "rates": texts})

    async def _look(self, connection: AsyncConnection, names: list[str]) -> dict[str, ProviderState]:
        async with connection.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(LOOK, {"names": names})
            rows: list[Any] = await cursor.fetchall()
        found = {row.name: ProviderState(row.openings, row.open_for) for row in rows}
        if len(found) < len(set(names)):
            await self._join(connection)
        return dict.fromkeys(names, ProviderState(0, 0.0)) | found

    async def _tell(
        self, connection: AsyncConnection, rung: PooledProvider, report: ProviderStateUpdate
    ) -> ProviderState:
        async with connection.cursor(row_factory=class_row(ProviderState)) as cursor:
            await cursor.execute(TELL, told_parameters(rung, report) | {"relay": self._relay})
            standing = await cursor.fetchone()
        return standing or ProviderState(report.openings, report.open_for)

    async def close(self) -> None:
        """Close the connection, if there is one; the next exchange opens another."""
        await self._lifeline.close()


def told_parameters(rung: PooledProvider, report: ProviderStateUpdate) -> dict[str, Any]:
    """Return the parameters of TELL, but for the relay's own id."""
    return {
        "name": rung.provider.name,
        "per_second": rung.rate.per_second if rung.rate else 0.0,
        "burst": rung.rate.burst if rung.rate else 0.0,
        "wanted": report.wanted,
        "returned": report.returned,
        "is_opening": report.news is BreakerState.OPEN,
        "is_closing": report.news is BreakerState.CLOSED,
        "openings": report.openings,
        "open_for": report.open_for,
        "failure_class": report.failure_class,
        "wants_probe_permit": report.wants_probe_permit,
        "leave": PROBE_PERMIT_SECONDS,
    }
