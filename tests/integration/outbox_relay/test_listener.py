"""Wake-ups on their way to the relay."""

import asyncio

import pytest

from outbox_relay import listener
from outbox_relay.listener import listen
from shared.vocabulary import OLD_IS_DUE, WAKE_CHANNEL
from tests.support.eventually import eventually
from tests.support.forwarding import Road, forwarding
from tests.support.outbox import Outbox


def test_a_notification_that_comes_in_one_piece_with_an_answer_wakes(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listen_over(road: Road) -> None:
        woken, told = asyncio.Event(), []

        def wake(*, is_far_due: bool) -> None:
            told.append(is_far_due)
            woken.set()

        listening = asyncio.create_task(listen(url_over(road, outbox), wake))
        async with asyncio.timeout(30):
            await woken.wait()  # it wakes whenever it has begun to listen
            road.hold_answers()
            await asyncio.to_thread(eventually, lambda: road.held_bytes)
            monkeypatch.setattr(listener, "QUIET_SECONDS", 3600)
            woken.clear()
            held = road.held_bytes
            await asyncio.to_thread(outbox.execute, f"notify {WAKE_CHANNEL}, '{OLD_IS_DUE}'")
            await asyncio.to_thread(eventually, lambda: road.held_bytes > held)
            road.release()
            await woken.wait()
            assert told[-1]
        listening.cancel()

    monkeypatch.setattr(listener, "QUIET_SECONDS", 0.1)
    with forwarding(0, to=outbox.database.cluster.port) as road:
        asyncio.run(listen_over(road))


def url_over(road: Road, outbox: Outbox) -> str:
    return outbox.database.cluster.tcp_url(outbox.database.name, user="relay", port=road.port)
