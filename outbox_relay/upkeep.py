"""What the relay does by the clock: the fallback poll, a turn of upkeep, gauges."""

import asyncio
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
LOOK_SECONDS = 5.0

log = get_logger("relay.upkeep")


def schedule_upkeep(relay: Relay, settings: RelaySettings) -> AsyncIOScheduler:
    """Return a scheduler, not started yet, with all that the relay does by the clock."""
    # However late: by default, what is a second late is left out, and that is said each time.
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
    at_once = {"next_run_time": datetime.now(UTC)}
    scheduler.add_job(poll, "interval", [relay], seconds=settings.poll_seconds)
    scheduler.add_job(Keeper(settings).turn, "interval", name="upkeep", seconds=settings.upkeep_seconds, **at_once)
    gauges = [settings.database_url, measure_backlog, Outage(log, "gauges")]
    scheduler.add_job(try_once, "interval", gauges, name="gauges", seconds=GAUGES_EVERY_SECONDS, **at_once)
    return scheduler


async def keep_in_time(scheduler: AsyncIOScheduler) -> None:
    """See to it, until cancelled, that all this runs as often as it should though the machine's clock is set back.

    The scheduler goes by that clock, and would do nothing until it is as late again as it was.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        bring_forward(scheduler, datetime.now(UTC))


def bring_forward(scheduler: AsyncIOScheduler, now: datetime) -> None:
    """Have run at once what is further away than it ever should be."""
    for timer in scheduler.get_jobs():
        if timer.next_run_time - now > timer.trigger.interval:
            timer.modify(next_run_time=now)


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
