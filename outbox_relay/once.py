"""`outbox-relay once`: deliver all due messages. It does not wait long for a lost database."""

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

OUTAGE_SECONDS = 20.0
"""How long to wait for a lost database. A statement may take 15 seconds; this leaves time for another one."""

LOOK_SECONDS = 0.2

log = get_logger("relay.once")


async def run_once(settings: RelaySettings) -> bool:
    """Deliver all due messages; return False if the database was lost, a message was deferred, or a signal came."""
    stopping = stop_signal()
    components = assemble(settings)
    watching = asyncio.create_task(stop_when_lost(components.connections, stopping))
    try:
        await unless_stopped(begin(settings, components), stopping)
        return not stopping.is_set() and await components.relay.drain(stopping) and not components.has_deferred
    except psycopg.Error as error:
        log.error("database lost", **describe(error))  # noqa: TRY400 - the text quotes rows and addresses
        return False
    finally:
        watching.cancel()
        await components.poller.write_hourly_stats()
        await components.close()


async def begin(settings: RelaySettings, components: RelayComponents) -> None:
    """Check that the database is reachable, and enqueue the fallbacks that are due."""
    await (await connect(settings.database_url, "try")).close()
    await components.fallbacks.take_due()


async def unless_stopped(work: Coroutine[Any, Any, None], stopping: asyncio.Event) -> None:
    """Do the work, but cancel it once ``stopping`` is set: it may wait for the database forever."""
    working, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait((working, stop), return_when="FIRST_COMPLETED")
    stop.cancel()
    if stopping.is_set():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def stop_when_lost(connections: DatabaseConnections, stopping: asyncio.Event) -> None:
    """Set ``stopping`` after the database has been unreachable, or has rejected statements, for OUTAGE_SECONDS."""
    clock, since = asyncio.get_running_loop().time, None
    while since is None or clock() - since < OUTAGE_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        is_lost = connections.is_lost or connections.falling_back.is_lost
        since = (since or clock()) if is_lost else None
    log.error("timed out", reason="the database is unreachable or rejects statements", seconds=OUTAGE_SECONDS)
    stopping.set()


def stop_signal() -> asyncio.Event:
    """Return the event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping
