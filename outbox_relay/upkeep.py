"""What the relay does by the clock: the fallback poll, partitions made ahead, gauges."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psycopg
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from psycopg import AsyncConnection

from outbox_relay.database import connect, under_settings
from outbox_relay.metrics import BACKLOG, BACKLOG_LAG
from outbox_relay.relay import Relay
from shared.log import get_logger
from shared.outage import Outage
from shared.vocabulary import Channel

DAYS_AHEAD = 7
PARTITIONS_EVERY_SECONDS = 600
GAUGES_EVERY_SECONDS = 15

log = get_logger("relay.upkeep")


def schedule_upkeep(relay: Relay, database_url: str, poll_seconds: float) -> AsyncIOScheduler:
    """Return a scheduler, not started yet, with all that the relay does by the clock."""
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    at_once = {"next_run_time": datetime.now(UTC)}
    scheduler.add_job(relay.wake, "interval", seconds=poll_seconds)
    for work, seconds in ((make_partitions, PARTITIONS_EVERY_SECONDS), (measure_backlog, GAUGES_EVERY_SECONDS)):
        told = [database_url, work, Outage(log, work.__name__)]
        scheduler.add_job(try_once, "interval", told, name=work.__name__, seconds=seconds, **at_once)
    return scheduler


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


async def make_partitions(connection: AsyncConnection) -> None:
    """Make the partitions of the days to come, where they are missing."""
    connection.add_notice_handler(lambda notice: log.warning("partition not made", sqlstate=notice.sqlstate))
    cursor = await connection.execute("select signpost_make_partitions(%s)", [DAYS_AHEAD])
    row = await cursor.fetchone()
    if row and row[0]:
        log.info("partitions made", count=row[0])


async def measure_backlog(connection: AsyncConnection) -> None:
    """Set the gauges of what is due, for each channel."""
    cursor = await connection.execute("select channel, due, lag_seconds from outbox_backlog")
    backlog = {channel: (due, lag) for channel, due, lag in await cursor.fetchall()}
    for channel in Channel:
        due, lag = backlog.get(channel.value, (0, 0.0))
        BACKLOG.labels(channel.value).set(due)
        BACKLOG_LAG.labels(channel.value).set(lag)
