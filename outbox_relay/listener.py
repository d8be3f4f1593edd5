"""Waking at once when the API has committed something; the poll is the net below it."""

import asyncio
from collections.abc import Callable

import psycopg
from psycopg import sql

from outbox_relay.database import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, connect
from shared.database import describe
from shared.log import get_logger
from shared.vocabulary import WAKE_CHANNEL

LISTEN = sql.SQL("listen {}").format(sql.Identifier(WAKE_CHANNEL))

log = get_logger("relay.listener")


async def listen(url: str, wake: Callable[[], None]) -> None:
    """Call ``wake`` at every notification, until cancelled; a lost connection is made again.

    Notifications that come while there is no connection are lost, and so the first thing a new one
    does is to wake.
    """
    pause = FIRST_PAUSE_SECONDS
    is_lost = False
    while True:
        try:
            async with await connect(url, "listen") as connection:
                await connection.execute(LISTEN)
                pause, is_lost = FIRST_PAUSE_SECONDS, False
                wake()
                async for _ in connection.notifies():
                    wake()
        except psycopg.Error as error:
            if not is_lost:
                log.warning("listening lost", **describe(error))
            is_lost = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
