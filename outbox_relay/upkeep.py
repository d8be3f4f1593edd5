"""What the relay does by the clock: the fallback poll, a turn of upkeep, gauges."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psycopg
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from psycopg import AsyncConnection

from outbox_relay.database import connect, under_settings
from outbox_relay.keeper import Keeper
from outbox_relay.metrics import BACKLOG, BACKLOG_LAG
from outbox_relay.relay import Relay
from outbox_relay.settings import RelaySettings
from shared.log import get_logger
from shared.outage import Outage
from shared.vocabulary import Channel

GAUGES_EVERY_SECONDS = 15

log = get_logger("relay.upkeep")


def schedule_upkeep(relay: Relay, settings: RelaySettings) -> AsyncIOScheduler:
    """Return a scheduler, not started yet, with all that the relay does by the clock."""
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    at_once = {"next_run_time": datetime.now(UTC)}
    scheduler.add_job(poll, "interval", [relay], seconds=settings.poll_seconds)
    scheduler.add_job(Keeper(settings).turn, "interval", name="upkeep", seconds=settings.upkeep_seconds, **at_once)
    gauges = [settings.database_url, measure_backlog, Outage(log, "gauges")]
    scheduler.add_job(try_once, "interval", gauges, name="gauges", seconds=GAUGES_EVERY_SECONDS, **at_once)
    return scheduler


async def poll(relay: Relay) -> None:
    """Wake the relay: a coroutine, since a mere function would be run in a thread."""
    relay.wake()


async def try_once(database_url: str, work: Callable[[AsyncConnection], Awaitable[None]], outage: Outage) -> None:
    """Do the work on a connection of its own; if that fails, the next time is soon enough.

    So nothing of this can hold up a claim or a settle.
    """
    try:
        async with await connect(database_url, "upkeep") as connection, under_settings(connection):
            await work(connection)
    except psycopg.Error as error:
        outage.failed(error)
    else:
        outage.end()


async def measure_backlog(connection: AsyncConnection) -> None:
    """Set the gauges of what is due, for each channel."""
    cursor = await connection.execute("select channel, due, lag_seconds from outbox_backlog")
    backlog = {channel: (due, lag) for channel, due, lag in await cursor.fetchall()}
    for channel in Channel:
        due, lag = backlog.get(channel.value, (0, 0.0))
        BACKLOG.labels(channel.value).set(due)
        BACKLOG_LAG.labels(channel.value).set(lag)
