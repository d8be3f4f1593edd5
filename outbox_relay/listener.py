"""Waking at once when the API has committed something; the poll is the net below it."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from outbox_relay.database import Outage, connect
from shared.vocabulary import WAKE_CHANNEL

LISTEN = sql.SQL("listen {}").format(sql.Identifier(WAKE_CHANNEL))


async def listen(url: str, wake: Callable[[], None]) -> None:
    """Call ``wake`` at every notification, until cancelled; a lost connection is made again.

    Notifications that come while there is no connection are lost, and so the first thing a new one
    does is to wake.
    """
    outage = Outage("listen")
    while True:
        try:
            async with await connect(url, "listen") as connection:
                await connection.execute(LISTEN)
                outage.end()
                wake()
                async for _ in connection.notifies():
                    wake()
        except psycopg.Error as error:
            await outage.wait(error)
