"""Listens for notifications of the API, and wakes the relay at once; polling is the fallback."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg import sql

from outbox_relay.db.connection import RelayConnection, connect, database_timeout
from shared.db.errors import Outage
from shared.log import get_logger
from shared.vocabulary import WAKE_CHANNEL

SESSION_CHECK_SECONDS = 30.0
"""How often to check that the session still responds. A broken session cannot be distinguished from one without
notifications."""

LISTEN = sql.SQL("listen {}").format(sql.Identifier(WAKE_CHANNEL))

log = get_logger("relay.listener")


async def listen(url: str, wake: Callable[[], None]) -> None:
    """Call ``wake`` at every notification, until cancelled. Reconnects after a lost connection.

    If there is a pooler, which drops all notifications, it logs a warning and returns.
    """
    outage = Outage(log, "listen")
    while True:
        try:
            async with await connect(url, "listen") as connection:
                if not connection.has_own_session:
                    outage.end()
                    log.warning("relay polls only", reason="a pooler passes no notifications on")
                    return
                async with database_timeout():
                    await connection.execute(LISTEN)
                outage.end()
                await _forward(connection, wake)
        except psycopg.Error as error:
            await asyncio.sleep(outage.failed(error))


async def _forward(connection: RelayConnection, wake: Callable[[], None]) -> None:
    # Notifications that arrive with the response to `select 1` come here, all later ones to _wait_for_notifications.
    connection.add_notify_handler(lambda _notification: wake())
    # Wake once, because notifications are lost while there is no connection.
    wake()
    while True:
        await _wait_for_notifications(connection, wake)
        async with database_timeout():
            await connection.execute("select 1")


async def _wait_for_notifications(connection: RelayConnection, wake: Callable[[], None]) -> None:
    """Call ``wake`` from a callback of the event loop, for SESSION_CHECK_SECONDS; raises if the connection is lost.

    psycopg's own wait polls ten times a second, and a notification takes longer through it.
    """
    loop, socket = asyncio.get_running_loop(), connection.fileno()
    lost: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        try:
            connection.pgconn.consume_input()
        except psycopg.Error as error:
            loop.remove_reader(socket)
            if not lost.done():  # the timeout may have cancelled ``lost`` in this iteration of the event loop
                lost.set_exception(error)
        if has_notifications(connection):
            wake()

    loop.add_reader(socket, read)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(SESSION_CHECK_SECONDS):
                await lost
    finally:
        loop.remove_reader(socket)


def has_notifications(connection: RelayConnection) -> bool:
    """Take all notifications that were read; return whether there were any."""
    return bool(list(iter(connection.pgconn.notifies, None)))
