"""Exchanges the state of providers with the other relays, through one row for each provider, and reads the pauses.

No delivery blocks during an exchange. Before a claim, the relay requests rate permits and probe permits for the whole
batch. Until they come, it claims only as many messages as it has permits. All other state is exchanged once a second.
While no update waits, the poller reads it instead. While the database is unreachable, each relay uses its own
state.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row, namedtuple_row

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.failures.masking import masked_error
from outbox_relay.pauses import READ_PAUSES, Pauses
from outbox_relay.providers.circuit_breaker import BreakerState
from outbox_relay.providers.pool import (
    PROBE_PERMIT_SECONDS,
    RECHECK_SECONDS,
    PooledProvider,
    ProviderPool,
    ProviderState,
    ProviderStateUpdate,
)

LONGEST_EXCHANGE_SECONDS = 2.0
QUIET_SECONDS = 60.0
"""Seconds between exchanges while every provider is up and idle. In this state, the poller reads the rows."""

# All points in time come from the database's clock, and relays receive only durations. So differences between the
# hosts' clocks have no effect.
MARK_SEEN = """
    update providers set seen_at = now()
     where name = any(%(names)s) and seen_at < now() - interval '1 minute'
"""

READ = f"""
with seen as ({MARK_SEEN})
select name, consecutive_opens, coalesce(extract(epoch from open_until - now()), 0)::float8 as open_for
  from providers where name = any(%(names)s)
"""  # noqa: S608 - contains only constants

REGISTER = """
insert into providers (name, channel, rate)
select name, channel, rate
  from unnest(%(names)s::text[], %(channels)s::text[], %(rates)s::text[]) as registered (name, channel, rate)
on conflict (name) do update set channel = excluded.channel, rate = excluded.rate
      where (providers.channel, providers.rate) is distinct from (excluded.channel, excluded.rate)
"""

# - The row is locked first. All values are computed from its state after the lock.
# - If a relay reports an open breaker while the row is already open, the pause is not doubled again, because it is the
#   same outage.
# - A bucket that no relay has drawn from is full.
EXCHANGE = """
with before as materialized (
    select name, consecutive_opens, probe_by, probe_until, open_until, clock_timestamp() as moment,
           consecutive_opens > 0 and open_until > clock_timestamp() as is_open,
           case when refilled_at is null then %(burst)s
                else least(tokens + %(returned)s + %(per_second)s
                           * greatest(extract(epoch from clock_timestamp() - refilled_at), 0), %(burst)s)
           end::float8 as tokens
      from providers where name = %(name)s for update),
decided as (
    select *, least(%(wanted)s, floor(tokens)) as granted,
           case when %(is_closing)s then 0
                when %(is_opening)s and is_open then consecutive_opens
                when %(is_opening)s then greatest(consecutive_opens + 1, %(consecutive_opens)s)
                else consecutive_opens end as openings_now,
           %(wants_probe_permit)s and consecutive_opens > 0 and not is_open
           and not %(is_opening)s and not %(is_closing)s
           and (probe_by = %(relay)s or probe_until is null or probe_until <= moment) as has_probe_permit
      from before)
update providers
   set consecutive_opens = openings_now,
       open_until = case when %(is_closing)s then null
                         when %(is_opening)s then greatest(case when decided.is_open then decided.open_until end,
                                                           moment + make_interval(secs => %(open_for)s))
                         else decided.open_until end,
       since = case when (decided.consecutive_opens = 0) = (openings_now = 0) then since else moment end,
       probe_by = case when has_probe_permit then %(relay)s
                       when openings_now = decided.consecutive_opens then decided.probe_by end,
       probe_until = case when has_probe_permit then moment + make_interval(secs => %(probe_permit_seconds)s)
                          when openings_now = decided.consecutive_opens then decided.probe_until end,
       tokens = decided.tokens - granted,
       refilled_at = moment,
       last_failure_class = coalesce(%(failure_class)s, last_failure_class),
       last_error = coalesce(%(error)s, last_error),
       last_failed_at = case when %(is_opening)s then moment else last_failed_at end,
       seen_at = moment
  from decided
 where providers.name = decided.name
returning providers.consecutive_opens as consecutive_opens, has_probe_permit, granted::integer,
          coalesce(extract(epoch from providers.open_until - moment), 0)::float8 as open_for,
          (greatest(1 - providers.tokens, 0) / nullif(%(per_second)s, 0))::float8 as token_in
"""


class ProviderStateSync:
    """Keeps this relay's providers in step with the other relays that share the database.

    An exchange happens soon after ``requested`` is set, and every second or so while providers are in use.
    ``has_responded`` is set once the database has responded, even if the rest of the exchange failed.
    """

    def __init__(
        self,
        database_url: str,
        pools: Sequence[ProviderPool],
        requested: asyncio.Event,
        pauses: Pauses | None = None,
    ) -> None:
        self._database = ReconnectingConnection(database_url, "providers")
        self._pools = pools
        self._providers = [provider for pool in pools for provider in pool.providers]
        self._requested = requested
        self._pauses = pauses or Pauses()
        self._relay = uuid4()
        self._registered_over: AsyncConnection | None = None
        self._has_tried = asyncio.Event()
        self.has_responded = asyncio.Event()

    @property
    def names(self) -> list[str]:
        """The names of this relay's providers."""
        return [provider.name for provider in self._providers]

    async def run(self) -> None:
        """Exchange state until cancelled, and log in to providers that no message probes."""
        for provider in self._providers:
            provider.register_metrics()
        try:
            async with asyncio.TaskGroup() as logins:
                while True:
                    self._requested.clear()
                    self._start_logins(logins)
                    await self.exchange()
                    self._has_tried.set()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(QUIET_SECONDS if self._is_quiet() else RECHECK_SECONDS):
                            await self._requested.wait()
        finally:
            await self.close()

    def _start_logins(self, tasks: asyncio.TaskGroup) -> None:
        # In separate tasks: a server that does not reply must not delay the states of the others.
        for provider in self._providers:
            if provider.needs_login():
                tasks.create_task(self._log_in(provider))
            elif provider.needs_bind():
                tasks.create_task(provider.bind())

    async def _log_in(self, provider: PooledProvider) -> None:
        await provider.log_in()
        self._requested.set()

    async def wait_until_known(self) -> None:
        """Wait for the first exchange, at most two seconds, so that a new relay avoids providers known to be down."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_EXCHANGE_SECONDS):
                await self._has_tried.wait()

    def woken(self) -> None:
        """Exchange soon if no exchanges run every second: an operator may have paused something or ended a pause."""
        if self._is_quiet():
            self._requested.set()

    def polled(self, states: Mapping[str, ProviderState], pauses: Iterable[Collection[str]] | None) -> None:
        """Apply the poller's result while no update waits; otherwise exchange soon.

        ``pauses`` apply in any case, and are None after a poll that failed.
        """
        if pauses is not None:
            self._apply_pauses(pauses)
        is_complete = states.keys() >= set(self.names)
        if is_complete and self._is_quiet():
            self._apply([(provider, None, states[provider.name]) for provider in self._providers])
        # Checked again, because the applied state may have changed the result, for example if a provider is now down.
        if not (is_complete and self._is_quiet()):
            self._requested.set()

    async def exchange(self) -> None:
        """Exchange state once.

        If that fails, the update is kept for the next exchange, and the relay continues with its own state.
        """
        # Sorted by name: behind a pooler, all updates are one transaction, and with different orders two relays could
        # deadlock.
        providers = sorted(self._providers, key=lambda provider: provider.name)
        updates = [(provider, provider.take_update()) for provider in providers]

        async def work(connection: AsyncConnection) -> dict[str, ProviderState]:
            return await self._exchange_over(connection, updates)

        states: dict[str, ProviderState] = {}
        with suppress(psycopg.Error):
            states = await self._database.once(work, within=LONGEST_EXCHANGE_SECONDS)
        self._apply([(provider, update, states.get(provider.name)) for provider, update in updates])

    async def close(self) -> None:
        """Close the connection, if there is one; the next exchange opens another."""
        await self._database.close()

    def _apply_pauses(self, pauses: Iterable[Collection[str]]) -> None:
        self.has_responded.set()
        self._pauses.update(pauses)

    def _is_quiet(self) -> bool:
        return all(provider.is_quiet() for provider in self._providers)

    def _apply(self, news: Sequence[tuple[PooledProvider, ProviderStateUpdate | None, ProviderState | None]]) -> None:
        """Apply the states. Then wake all workers, and the consumers of each pool that may send more now."""
        has_more = {provider for provider, update, state in news if provider.apply(update, state)}
        for pool in self._pools:
            pool.wake_workers()
            if not has_more.isdisjoint(pool.providers):
                pool.notify_capacity()

    async def _exchange_over(
        self, connection: AsyncConnection, updates: Sequence[tuple[PooledProvider, ProviderStateUpdate | None]]
    ) -> dict[str, ProviderState]:
        # First, because the exchange may wait for a row until its time is over.
        self._apply_pauses(await (await connection.execute(READ_PAUSES)).fetchall())
        if connection is not self._registered_over:
            await self._register(connection)
            self._registered_over = connection
        states = {}
        for provider, update in updates:
            if update:
                states[provider.name] = await self._send(connection, provider, update)
        quiet = [provider.name for provider, update in updates if not update]
        return states | (await self._read(connection, quiet) if quiet else {})

    async def _register(self, connection: AsyncConnection) -> None:
        found = {provider.name: (pool.channel, provider.rate) for pool in self._pools for provider in pool.providers}
        channels = [channel for channel, _ in found.values()]
        rates = [str(rate) if rate else None for _, rate in found.values()]
        await connection.execute(REGISTER, {"names": list(found), "channels": channels, "rates": rates})

    async def _read(self, connection: AsyncConnection, names: list[str]) -> dict[str, ProviderState]:
        async with connection.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(READ, {"names": names})
            rows: list[Any] = await cursor.fetchall()
        found = {row.name: ProviderState(row.consecutive_opens, row.open_for) for row in rows}
        if len(found) < len(set(names)):
            await self._register(connection)
        return dict.fromkeys(names, ProviderState(0, 0.0)) | found

    async def _send(
        self, connection: AsyncConnection, provider: PooledProvider, update: ProviderStateUpdate
    ) -> ProviderState:
        parameters = {
            "name": provider.name,
            "relay": self._relay,
            "per_second": provider.rate.per_second if provider.rate else 0.0,
            "burst": provider.rate.burst if provider.rate else 0.0,
            "wanted": update.wanted,
            "returned": update.returned,
            "is_opening": update.change is BreakerState.OPEN,
            "is_closing": update.change is BreakerState.CLOSED,
            "consecutive_opens": update.consecutive_opens,
            "open_for": update.open_for,
            "failure_class": update.failure.kind if update.failure else None,
            "error": masked_error(update.failure.error) if update.failure else None,
            "wants_probe_permit": update.wants_probe_permit,
            "probe_permit_seconds": PROBE_PERMIT_SECONDS,
        }
        async with connection.cursor(row_factory=class_row(ProviderState)) as cursor:
            await cursor.execute(EXCHANGE, parameters)
            state = await cursor.fetchone()
        return state or ProviderState(update.consecutive_opens, update.open_for)
