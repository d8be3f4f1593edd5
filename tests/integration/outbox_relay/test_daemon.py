"""One shift after another, in one process."""

import asyncio
import gc
import os
import signal
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

HOLDER = "select holder from upkeep_lease where leased_until > now()"
IS_RENEWED = "select count(*) from upkeep_lease where leased_until < now() + interval '1 day'"


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Iterator[list["weakref.ref[ClaimStore]"]]:
    """The claims of each shift, which its lanes hold and nobody else, if they are still there."""
    made = []

    def noted(settings: RelaySettings, relay_id: UUID) -> RelayComponents:
        parts = assemble(settings, relay_id)
        made.append(weakref.ref(parts.outbox.claims))
        return parts

    monkeypatch.setattr(daemon, "assemble", noted)
    thresholds = gc.get_threshold()
    yield made
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_a_shift_that_is_over_leaves_nothing_behind_and_its_upkeep_lease_to_the_next(
    outbox: Outbox, claims: list["weakref.ref[ClaimStore]"]
) -> None:
    settings = RelaySettingsSchema().read(
        relay_environment(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none", RELAY_UPKEEP_SECONDS="1")
    )

    async def reload_twice() -> None:
        await seen(lambda: outbox.execute(HOLDER))
        held_by = outbox.execute(HOLDER)
        for number in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await seen(lambda number=number: claims[number]() is None)
            outbox.execute("update upkeep_lease set leased_until = now() + interval '2 days'")
            await seen(lambda: outbox.number(IS_RENEWED))
            assert outbox.execute(HOLDER) == held_by

    async def relay() -> None:
        relaying = asyncio.create_task(daemon.run_daemon(settings, lambda: settings))
        try:
            await reload_twice()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await relaying

    outbox.put(count=3)  # which have the relay set alarms for when it may try again
    asyncio.run(relay())


async def seen(look: Callable[[], object]) -> None:
    await asyncio.to_thread(eventually, look)
