"""`outbox-relay once`: what is due now, and no longer than that; it waits for no database as the daemon does."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import psycopg

from outbox_relay.bootstrap import DatabaseConnections, RelayComponents, assemble
from outbox_relay.db.connection import connect
from outbox_relay.settings import RelaySettings
from shared.db.errors import describe
from shared.log import get_logger

PATIENCE_SECONDS = 20.0
"""With a lost database. A statement may take 15 seconds: after one that did, this leaves time for another."""

LOOK_SECONDS = 0.2

log = get_logger("relay.once")


async def run_once(settings: RelaySettings) -> bool:
    """Deliver what is due and return; False if the database was lost, some was put off, or it was told to stop."""
    stopping = stop_signal()
    parts = assemble(settings)
    watching = asyncio.create_task(stop_when_lost(parts.lifelines, stopping))
    try:
        await unless_told_to_stop(begin(settings, parts), stopping)
        return not stopping.is_set() and await parts.relay.drain(stopping) and not parts.has_deferred
    except psycopg.Error as error:
        log.error("database lost", **describe(error))  # noqa: TRY400 - the text quotes rows and addresses
        return False
    finally:
        watching.cancel()
        await parts.lookout.write_hours()
        await parts.close()


async def begin(settings: RelaySettings, parts: RelayComponents) -> None:
    """See that the database is there, and enqueue the fallbacks that are due."""
    await (await connect(settings.database_url, "try")).close()
    await parts.fallbacks.take_due()


async def unless_told_to_stop(work: Coroutine[Any, Any, None], stopping: asyncio.Event) -> None:
    """Do the work, but break it off once ``stopping`` is set: it may wait for the database for ever."""
    working, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait((working, stop), return_when="FIRST_COMPLETED")
    stop.cancel()
    if stopping.is_set():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def stop_when_lost(lifelines: DatabaseConnections, stopping: asyncio.Event) -> None:
    """Set ``stopping`` once the database was away, or refused what is asked for, for longer than our patience."""
    clock, since = asyncio.get_running_loop().time, None
    while since is None or clock() - since < PATIENCE_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        is_lost = lifelines.claiming.is_lost or lifelines.settling.is_lost or lifelines.falling_back.is_lost
        since = (since or clock()) if is_lost else None
    log.error("given up", reason="the database is away, or refuses", seconds=PATIENCE_SECONDS)
    stopping.set()


def stop_signal() -> asyncio.Event:
    """Return the event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping
