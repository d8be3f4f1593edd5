"""Two relays and the rows that they share; each has a clock of its own, and they are far apart."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest

from outbox_relay.channels.base import CappedProvider, Session
from outbox_relay.model import WITHOUT_CAPS, Caps, Failure, FailureClass, Rate
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.providers.state_sync import ProviderStateSync
from tests.support.databases import Database
from tests.support.outbox import Outbox

NAME = "smtp:mail.example.org:587"
DOWN = Failure(FailureClass.PROVIDER, NAME, "connection refused")
ASKED_FOR_AN_HOUR = Failure(FailureClass.PROVIDER, NAME, "429", retry_after=timedelta(hours=1))
TWENTY = Caps(Rate(20, "s"))
ROW = "select consecutive_opens, open_until > now(), probe_by is not null, last_failure_class from providers"


@dataclass(frozen=True)
class NamedProvider:
    name: str

    def session(self) -> Session:
        raise NotImplementedError


@dataclass(frozen=True)
class Relay:
    """What a relay has of one provider."""

    sync: ProviderStateSync
    pool: ProviderPool

    def take(self) -> int:
        """Submit as many messages as may be submitted now, and return how many."""
        allowed = self.pool.allowance(500)
        for _ in range(allowed):
            self.pool.providers[0].submitting(uuid4())
        return allowed

    async def ask(self) -> int:
        """Ask for room, hear the answer, and return how much there is."""
        self.pool.allowance(500)
        await self.sync.exchange()
        return self.pool.allowance(500)

    async def ask_until_allowed(self) -> None:
        async with asyncio.timeout(30):
            while not await self.ask():
                continue

    async def probe_successfully(self, times: int = 2) -> None:
        for _ in range(times):
            self.pool.providers[0].succeeded()
        await self.sync.exchange()


@asynccontextmanager
async def relays(database: Database, count: int = 2, *, caps: Caps = WITHOUT_CAPS) -> AsyncIterator[list[Relay]]:
    """Yield relays that have asked the sync once, as a relay does when it starts."""
    made = []
    for number in range(count):
        pool = ProviderPool([CappedProvider(NamedProvider(NAME), caps)], clock_ahead(number * 86_400.0), connections=8)
        made.append(Relay(ProviderStateSync(database.relay_url, [pool], asyncio.Event()), pool))
    for relay in made:
        await relay.sync.exchange()
    try:
        yield made
    finally:
        for relay in made:
            await relay.sync.close()


def clock_ahead(seconds: float) -> Callable[[], float]:
    return lambda: time.monotonic() + seconds


def let_the_pause_end(outbox: Outbox) -> None:
    outbox.execute("update providers set open_until = now() where consecutive_opens > 0")


def test_what_one_relay_finds_down_no_other_tries(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database) as (one, other):
            assert await other.ask() == 500
            one.pool.providers[0].failed(ASKED_FOR_AN_HOUR)
            await one.sync.exchange()
            assert await other.ask() == 0
            assert other.pool.remaining() > timedelta(minutes=59)
        async with relays(outbox.database, 1) as (newcomer,):
            assert not newcomer.pool.is_usable()

    asyncio.run(story())
    assert outbox.execute(ROW) == [(1, True, False, "provider")]


def test_one_relay_probes_for_all_and_its_success_frees_all(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database) as (one, other):
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            let_the_pause_end(outbox)
            await one.sync.exchange()
            await other.sync.exchange()
            assert [await one.ask(), await other.ask()] == [1, 0]
            await one.probe_successfully()
            assert await other.ask() == 500

    asyncio.run(story())
    assert outbox.execute(ROW) == [(0, None, False, "provider")]


def test_a_probe_that_fails_opens_it_for_all_and_the_next_may_be_anothers(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database) as (one, other):
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            let_the_pause_end(outbox)
            await one.sync.exchange()
            assert await one.ask() == 1
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            assert outbox.execute(ROW) == [(2, True, False, "provider")]
            let_the_pause_end(outbox)
            await other.sync.exchange()
            assert await other.ask() == 1

    asyncio.run(story())


def test_a_relay_that_dies_while_it_probes_keeps_the_others_waiting_for_seconds_only(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database) as (one, other):
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            let_the_pause_end(outbox)
            await one.sync.exchange()
            assert await one.ask() == 1
            assert outbox.number("select count(*) from providers where probe_until <= now() + interval '5 s'") == 1
            outbox.execute("update providers set probe_until = now()")
            await other.sync.exchange()
            assert await other.ask() == 1

    asyncio.run(story())


def test_relays_that_find_the_same_outage_count_it_once(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database) as both:
            for relay in both:
                relay.pool.providers[0].failed(DOWN)
            for relay in both:
                await relay.sync.exchange()

    asyncio.run(story())
    assert outbox.number("select consecutive_opens from providers") == 1


def test_two_relays_together_keep_to_one_rate(outbox: Outbox) -> None:
    async def story() -> tuple[int, float]:
        async with relays(outbox.database, caps=TWENTY) as both:
            began, taken = time.monotonic(), 0
            while taken < 60:
                await asyncio.gather(*(relay.ask() for relay in both))
                taken += sum(relay.take() for relay in both)
            return taken, time.monotonic() - began

    taken, seconds = asyncio.run(story())
    # A second's worth had been saved up.
    assert taken <= 20 + 20 * seconds


def test_tokens_that_one_relay_did_not_use_are_the_others(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database, caps=Caps(Rate(3600, "h"))) as (one, other):
            assert await one.ask() == 1
            assert await other.ask() == 0
            report = one.pool.providers[0].take_update()
            assert report is None  # it keeps them for a second
            outbox.execute("update providers set tokens = 0, refilled_at = now() + interval '1 hour'")
            await eventually_given_back(one, outbox)

    asyncio.run(story())


async def eventually_given_back(relay: Relay, outbox: Outbox) -> None:
    async with asyncio.timeout(30):
        while outbox.number("select floor(tokens) from providers") == 0:
            await relay.sync.exchange()


@pytest.mark.parametrize("trouble", ["revoke all on providers from signpost_relay", "drop table providers"])
def test_without_the_rows_a_relay_goes_on_by_itself(outbox: Outbox, trouble: str) -> None:
    async def story() -> None:
        async with relays(outbox.database, 1, caps=TWENTY) as (relay,):
            outbox.execute(trouble)
            await relay.ask_until_allowed()
            relay.pool.providers[0].failed(DOWN)
            await relay.sync.exchange()
            assert not relay.pool.is_usable()

    asyncio.run(story())


def test_a_row_that_somebody_holds_keeps_no_relay_waiting(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database, 1, caps=TWENTY) as (relay,):
            with outbox.database.connect() as somebody, somebody.transaction():
                somebody.execute("select * from providers for update")
                await relay.ask_until_allowed()
            await relay.sync.exchange()
            relay.pool.providers[0].failed(ASKED_FOR_AN_HOUR)
            await relay.sync.exchange()

    asyncio.run(story())
    assert outbox.number("select consecutive_opens from providers") == 1


def test_a_row_that_was_deleted_is_made_again(outbox: Outbox) -> None:
    async def story() -> None:
        async with relays(outbox.database, 1) as (relay,):
            outbox.execute("delete from providers")
            await relay.sync.exchange()

    asyncio.run(story())
    assert outbox.number("select count(*) from providers") == 1


def test_a_provider_in_order_costs_no_row_a_change(outbox: Outbox) -> None:
    async def story() -> list[tuple[object, ...]]:
        async with relays(outbox.database, 1) as (relay,):
            before = outbox.execute("select xmin::text, * from providers")
            for _ in range(3):
                assert await relay.ask() == 500
            return before

    assert asyncio.run(story()) == outbox.execute("select xmin::text, * from providers")
