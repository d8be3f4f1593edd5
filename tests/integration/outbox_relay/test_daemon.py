"""One generation after another, in one process."""

import asyncio
import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from outbox_relay import daemon
from outbox_relay.bootstrap import RelayComponents, assemble
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.settings import RelaySettings, RelaySettingsSchema
from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relays import relay_environment

HOLDER = "select holder from leader_lease where leased_until > now()"
IS_RENEWED = "select count(*) from leader_lease where leased_until < now() + interval '1 day'"


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Iterator[list["weakref.ref[ClaimStore]"]]:
    """The claim stores of all generations that still exist. Only their consumers refer to them."""
    made = []

    def noted(settings: RelaySettings, relay_id: UUID) -> RelayComponents:
        parts = assemble(settings, relay_id)
        made.append(weakref.ref(parts.claims))
        return parts

    monkeypatch.setattr(daemon, "assemble", noted)
    thresholds = gc.get_threshold()
    yield made
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_an_ended_generation_is_freed_and_passes_on_its_leader_lease(
    outbox: Outbox, claims: list["weakref.ref[ClaimStore]"]
) -> None:
    settings = RelaySettingsSchema().read(
        relay_environment(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none", RELAY_MAINTENANCE_SECONDS="1")
    )

    async def reload_twice() -> None:
        await seen(lambda: outbox.execute(HOLDER))
        held_by = outbox.execute(HOLDER)
        for number in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await seen(lambda number=number: claims[number]() is None)
            outbox.execute("update leader_lease set leased_until = now() + interval '2 days'")
            await seen(lambda: outbox.number(IS_RENEWED))
            assert outbox.execute(HOLDER) == held_by

    async def relay() -> None:
        relaying = asyncio.create_task(daemon.run_daemon(settings, lambda: settings))
        try:
            await reload_twice()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await relaying

    outbox.put(count=3)  # the relay sets timers for their retries
    asyncio.run(relay())


async def seen(look: Callable[[], object]) -> None:
    await asyncio.to_thread(eventually, look)


def test_a_reload_builds_the_next_generation_outside_the_event_loop(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, claims: list["weakref.ref[ClaimStore]"]
) -> None:
    settings = RelaySettingsSchema().read(relay_environment(outbox.database, EMAIL_PROVIDERS="console:"))
    noted, building, may_go_on = daemon.assemble, threading.Event(), threading.Event()

    def slow(settings: RelaySettings, relay_id: UUID) -> RelayComponents:
        if claims:  # the first generation is built before the loop runs
            building.set()
            assert may_go_on.wait(60)
        return noted(settings, relay_id)

    async def relay() -> None:
        relaying = asyncio.create_task(daemon.run_daemon(settings, lambda: settings))
        try:
            await seen(lambda: outbox.execute(HOLDER))
            os.kill(os.getpid(), signal.SIGHUP)
            await seen(building.is_set)
            outbox.put()
            await seen(outbox.is_all_sent)
            may_go_on.set()
            await seen(lambda: len(claims) == 2)
        finally:
            may_go_on.set()
            os.kill(os.getpid(), signal.SIGTERM)
            await relaying

    monkeypatch.setattr(daemon, "assemble", slow)
    asyncio.run(relay())
