"""Waking at once when the API has committed something; the poll is the net below it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg import sql

from outbox_relay.db.connection import RelayConnection, connect, database_timeout
from shared.db.outage import Outage
from shared.log import get_logger
from shared.vocabulary import WAKE_CHANNEL

QUIET_SECONDS = 30.0
"""How often to ask whether the session still answers: a silent one looks like one with nothing to tell."""

LISTEN = sql.SQL("listen {}").format(sql.Identifier(WAKE_CHANNEL))

log = get_logger("relay.listener")


async def listen(url: str, wake: Callable[[], None]) -> None:
    """Call ``wake`` at every notification, until cancelled; a lost connection is made again.

    Returns, and says so, if a pooler is in between, which would swallow every notification.
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
                await _pass_on(connection, wake)
        except psycopg.Error as error:
            await asyncio.sleep(outage.failed(error))


async def _pass_on(connection: RelayConnection, wake: Callable[[], None]) -> None:
    # psycopg reads notifications that arrive with an answer to `select 1`; these come here, the others to `_hear`.
    connection.add_notify_handler(lambda _notification: wake())
    # Notifications that came while there was no connection are lost.
    wake()
    while True:
        await _hear(connection, wake)
        async with database_timeout():
            await connection.execute("select 1")


async def _hear(connection: RelayConnection, wake: Callable[[], None]) -> None:
    """Wake from within the event loop's own callback, for QUIET_SECONDS; raises once the connection is lost.

    psycopg's own waiting looks up ten times a second, and a notification takes longer through it.
    """
    loop, socket = asyncio.get_running_loop(), connection.fileno()
    lost: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        try:
            connection.pgconn.consume_input()
        except psycopg.Error as error:
            loop.remove_reader(socket)
            if not lost.done():  # the timeout may have cancelled it in this turn of the event loop
                lost.set_exception(error)
        if has_notifications(connection):
            wake()

    loop.add_reader(socket, read)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS):
                await lost
    finally:
        loop.remove_reader(socket)


def has_notifications(connection: RelayConnection) -> bool:
    """Take all notifications that were read; tell whether there were any."""
    return bool(list(iter(connection.pgconn.notifies, None)))
