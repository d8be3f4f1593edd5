"""Wake signals from the database to the relay."""

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


def test_a_notification_in_one_packet_with_a_reply_wakes_the_relay(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listen_through(proxy: TcpProxy) -> None:
        woken = asyncio.Event()
        listening = asyncio.create_task(listen(url_through(proxy, outbox), woken.set))
        async with asyncio.timeout(30):
            await woken.wait()  # the listener sends a wake signal each time it starts to listen
            proxy.hold_answers()
            await asyncio.to_thread(eventually, lambda: proxy.held_bytes)
            monkeypatch.setattr(listener, "SESSION_CHECK_SECONDS", 3600)
            woken.clear()
            held = proxy.held_bytes
            await asyncio.to_thread(outbox.execute, f"notify {WAKE_CHANNEL}")
            await asyncio.to_thread(eventually, lambda: proxy.held_bytes > held)
            proxy.release()
            await woken.wait()
        listening.cancel()
        await asyncio.wait([listening])

    monkeypatch.setattr(listener, "SESSION_CHECK_SECONDS", 0.1)
    with forwarding(0, to=outbox.database.cluster.port) as proxy:
        asyncio.run(listen_through(proxy))


def test_a_connection_lost_during_cancellation_raises_no_error_in_the_event_loop(
    outbox: Outbox,
) -> None:
    raised: list[object] = []

    async def lose_and_cancel(proxy: TcpProxy) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: raised.append(context))
        async with await connect(url_through(proxy, outbox), "listen") as connection:
            listening = asyncio.create_task(_wait_for_notifications(connection, lambda: None))
            await asyncio.sleep(0)
            # Block the event loop until the loss is readable, so that both arrive in its next iteration.
            proxy.pairs[0][0].shutdown(socket.SHUT_RDWR)
            select.select([connection.fileno()], [], [])
            loop.call_soon(listening.cancel)
            await asyncio.wait([listening])

    with forwarding(0, to=outbox.database.cluster.port) as proxy:
        asyncio.run(lose_and_cancel(proxy))
    assert raised == []


def url_through(proxy: TcpProxy, outbox: Outbox) -> str:
    return outbox.database.cluster.tcp_url(outbox.database.name, user="relay", port=proxy.port)
