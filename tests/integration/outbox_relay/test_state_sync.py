"""Two relays and their shared provider rows. The relays' clocks differ widely."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest

from outbox_relay.channels.base import CappedProvider, Session
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.model import WITHOUT_CAPS, Caps, Failure, FailureClass, Rate
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.providers.state_sync import ProviderStateSync
from shared.vocabulary import Channel
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
    """One relay's view of a provider."""

    sync: ProviderStateSync
    pool: ProviderPool

    def take(self) -> int:
        """Submit as many messages as may be submitted now, and return how many."""
        allowed = self.pool.allowance(500)
        for _ in range(allowed):
            self.pool.providers[0].submitting(uuid4())
        return allowed

    async def request_permits(self) -> int:
        """Request permits, apply the reply, and return the number granted."""
        self.pool.allowance(500)
        await self.sync.exchange()
        return self.pool.allowance(500)

    async def request_until_granted(self) -> None:
        async with asyncio.timeout(30):
            while not await self.request_permits():
                continue

    async def probe_successfully(self) -> None:
        self.pool.providers[0].succeeded()
        await self.sync.exchange()


@asynccontextmanager
async def relays(database: Database, count: int = 2, *, caps: Caps = WITHOUT_CAPS) -> AsyncIterator[list[Relay]]:
    """Yield relays that have synchronized once, as a relay does at startup."""
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


def test_no_relay_tries_a_provider_that_another_found_down(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database) as (one, other):
            assert await other.request_permits() == 500
            one.pool.providers[0].failed(ASKED_FOR_AN_HOUR)
            await one.sync.exchange()
            assert await other.request_permits() == 0
            assert other.pool.remaining() > timedelta(minutes=59)
        async with relays(outbox.database, 1) as (newcomer,):
            assert not newcomer.pool.is_usable()

    asyncio.run(scenario())
    assert outbox.execute(ROW) == [(1, True, False, "provider")]


def test_an_account_that_is_refused_leaves_the_other_one_at_its_host_usable(outbox: Outbox) -> None:
    urls = "sendgrid://SG.wrong@api.sendgrid.com,sendgrid://SG.right@api.sendgrid.com"
    accounts = providers_from(urls, Channel.EMAIL, DeliveryContext("no-reply@example.org", timedelta(seconds=20)))

    async def scenario() -> None:
        pool = ProviderPool(accounts, time.monotonic, connections=8)
        sync = ProviderStateSync(outbox.database.relay_url, [pool], asyncio.Event())
        await sync.exchange()
        pool.providers[0].failed(ASKED_FOR_AN_HOUR)
        for _ in range(2):
            await sync.exchange()
        assert [provider.is_usable() for provider in pool.providers] == [False, True]
        await sync.close()

    asyncio.run(scenario())
    assert outbox.execute("select consecutive_opens from providers order by 1") == [(0,), (1,)]


def test_the_error_that_opened_a_breaker_is_stored_without_the_recipient(outbox: Outbox) -> None:
    refused = Failure(FailureClass.PROVIDER, NAME, "RCPT: 554 5.7.1 <ada@example.org>: Relay access denied")

    async def scenario() -> None:
        async with relays(outbox.database, 1) as (relay,):
            relay.pool.providers[0].failed(refused)
            await relay.sync.exchange()

    asyncio.run(scenario())
    assert outbox.execute("select last_error from providers") == [("RCPT: 554 5.7.1 … Relay access denied",)]


def test_one_relay_probes_and_its_success_closes_the_breaker_for_all(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database) as (one, other):
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            let_the_pause_end(outbox)
            await one.sync.exchange()
            await other.sync.exchange()
            assert [await one.request_permits(), await other.request_permits()] == [1, 0]
            await one.probe_successfully()
            assert await other.request_permits() == 500

    asyncio.run(scenario())
    assert outbox.execute(ROW) == [(0, None, False, "provider")]


def test_a_failed_probe_opens_the_breaker_for_all_relays(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database) as (one, other):
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            let_the_pause_end(outbox)
            await one.sync.exchange()
            assert await one.request_permits() == 1
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            assert outbox.execute(ROW) == [(2, True, False, "provider")]
            let_the_pause_end(outbox)
            await other.sync.exchange()
            assert await other.request_permits() == 1

    asyncio.run(scenario())


def test_a_relay_that_dies_during_a_probe_delays_others_by_seconds_only(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database) as (one, other):
            one.pool.providers[0].failed(DOWN)
            await one.sync.exchange()
            let_the_pause_end(outbox)
            await one.sync.exchange()
            assert await one.request_permits() == 1
            assert outbox.number("select count(*) from providers where probe_until <= now() + interval '5 s'") == 1
            outbox.execute("update providers set probe_until = now()")
            await other.sync.exchange()
            assert await other.request_permits() == 1

    asyncio.run(scenario())


def test_relays_that_find_the_same_outage_count_it_once(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database) as both:
            for relay in both:
                relay.pool.providers[0].failed(DOWN)
            for relay in both:
                await relay.sync.exchange()

    asyncio.run(scenario())
    assert outbox.number("select consecutive_opens from providers") == 1


def test_two_relays_share_one_rate(outbox: Outbox) -> None:
    async def scenario() -> tuple[int, float]:
        async with relays(outbox.database, caps=TWENTY) as both:
            began, taken = time.monotonic(), 0
            while taken < 60:
                await asyncio.gather(*(relay.request_permits() for relay in both))
                taken += sum(relay.take() for relay in both)
            return taken, time.monotonic() - began

    taken, seconds = asyncio.run(scenario())
    # The bucket held the tokens of one second.
    assert taken <= 20 + 20 * seconds


def test_unused_tokens_go_to_the_other_relays(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database, caps=Caps(Rate(3600, "h"))) as (one, other):
            assert await one.request_permits() == 1
            assert await other.request_permits() == 0
            report = one.pool.providers[0].take_update()
            assert report is None  # the relay keeps them for a second
            outbox.execute("update providers set tokens = 0, refilled_at = now() + interval '1 hour'")
            await eventually_returned(one, outbox)

    asyncio.run(scenario())


async def eventually_returned(relay: Relay, outbox: Outbox) -> None:
    async with asyncio.timeout(30):
        while outbox.number("select floor(tokens) from providers") == 0:
            await relay.sync.exchange()


@pytest.mark.parametrize("failure", ["revoke all on providers from signpost_relay", "drop table providers"])
def test_without_the_shared_rows_a_relay_continues_alone(outbox: Outbox, failure: str) -> None:
    async def scenario() -> None:
        async with relays(outbox.database, 1, caps=TWENTY) as (relay,):
            outbox.execute(failure)
            await relay.request_until_granted()
            relay.pool.providers[0].failed(DOWN)
            await relay.sync.exchange()
            assert not relay.pool.is_usable()

    asyncio.run(scenario())


def test_a_locked_provider_row_delays_no_relay(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database, 1, caps=TWENTY) as (relay,):
            with outbox.database.connect() as somebody, somebody.transaction():
                somebody.execute("select * from providers for update")
                await relay.request_until_granted()
            await relay.sync.exchange()
            relay.pool.providers[0].failed(ASKED_FOR_AN_HOUR)
            await relay.sync.exchange()

    asyncio.run(scenario())
    assert outbox.number("select consecutive_opens from providers") == 1


def test_a_deleted_provider_row_is_created_again(outbox: Outbox) -> None:
    async def scenario() -> None:
        async with relays(outbox.database, 1) as (relay,):
            outbox.execute("delete from providers")
            await relay.sync.exchange()

    asyncio.run(scenario())
    assert outbox.number("select count(*) from providers") == 1


def test_a_healthy_provider_causes_no_row_change(outbox: Outbox) -> None:
    async def scenario() -> list[tuple[object, ...]]:
        async with relays(outbox.database, 1) as (relay,):
            before = outbox.execute("select xmin::text, * from providers")
            for _ in range(3):
                assert await relay.request_permits() == 500
            return before

    assert asyncio.run(scenario()) == outbox.execute("select xmin::text, * from providers")
