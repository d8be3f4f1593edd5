"""Wake-ups on their way to the relay."""

import asyncio
import select
import socket

import pytest

from outbox_relay.db.connection import connect
from outbox_relay.outbox import listener
from outbox_relay.outbox.listener import _wait_for_notifications, listen
from shared.vocabulary import WAKE_CHANNEL
from tests.support.eventually import eventually
from tests.support.forwarding import TcpProxy, forwarding
from tests.support.outbox import Outbox


def test_a_notification_that_comes_in_one_piece_with_an_answer_wakes(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listen_over(road: TcpProxy) -> None:
        woken = asyncio.Event()
        listening = asyncio.create_task(listen(url_over(road, outbox), woken.set))
        async with asyncio.timeout(30):
            await woken.wait()  # it wakes whenever it has begun to listen
            road.hold_answers()
            await asyncio.to_thread(eventually, lambda: road.held_bytes)
            monkeypatch.setattr(listener, "SESSION_CHECK_SECONDS", 3600)
            woken.clear()
            held = road.held_bytes
            await asyncio.to_thread(outbox.execute, f"notify {WAKE_CHANNEL}")
            await asyncio.to_thread(eventually, lambda: road.held_bytes > held)
            road.release()
            await woken.wait()
        listening.cancel()
        await asyncio.wait([listening])

    monkeypatch.setattr(listener, "SESSION_CHECK_SECONDS", 0.1)
    with forwarding(0, to=outbox.database.cluster.port) as road:
        asyncio.run(listen_over(road))


def test_a_connection_that_is_lost_while_listening_is_cancelled_raises_nothing_in_the_event_loop(
    outbox: Outbox,
) -> None:
    raised: list[object] = []

    async def lose_and_cancel(road: TcpProxy) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: raised.append(context))
        async with await connect(url_over(road, outbox), "listen") as connection:
            listening = asyncio.create_task(_wait_for_notifications(connection, lambda: None))
            await asyncio.sleep(0)
            # The event loop stands still until the loss is there to be read, so that both come in its next turn.
            road.pairs[0][0].shutdown(socket.SHUT_RDWR)
            select.select([connection.fileno()], [], [])
            loop.call_soon(listening.cancel)
            await asyncio.wait([listening])

    with forwarding(0, to=outbox.database.cluster.port) as road:
        asyncio.run(lose_and_cancel(road))
    assert raised == []


def url_over(road: TcpProxy, outbox: Outbox) -> str:
    return outbox.database.cluster.tcp_url(outbox.database.name, user="relay", port=road.port)
