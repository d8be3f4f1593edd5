"""What the relay does by the clock: the fallback poll, partitions made ahead, gauges."""

from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from psycopg import AsyncConnection

from outbox_relay.database import Lifeline
from outbox_relay.metrics import BACKLOG, BACKLOG_LAG
from outbox_relay.relay import Relay
from shared.log import get_logger
from shared.vocabulary import Channel

DAYS_AHEAD = 7
PARTITIONS_EVERY_SECONDS = 3600
GAUGES_EVERY_SECONDS = 15

log = get_logger("relay.upkeep")


def schedule_upkeep(relay: Relay, lifeline: Lifeline, poll_seconds: float) -> AsyncIOScheduler:
    """Return a scheduler, not started yet, with all that the relay does by the clock."""
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    at_once = {"next_run_time": datetime.now(UTC)}
    scheduler.add_job(relay.wake, "interval", seconds=poll_seconds)
    scheduler.add_job(make_partitions, "interval", [lifeline], seconds=PARTITIONS_EVERY_SECONDS, **at_once)
    scheduler.add_job(measure_backlog, "interval", [lifeline], seconds=GAUGES_EVERY_SECONDS, **at_once)
    return scheduler


async def make_partitions(lifeline: Lifeline) -> None:
    """Make the partitions of the days to come, where they are missing."""

    async def work(connection: AsyncConnection) -> int:
        cursor = await connection.execute("select signpost_make_partitions(%s)", [DAYS_AHEAD])
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    made = await lifeline.run(work)
    if made:
        log.info("partitions made", count=made)


async def measure_backlog(lifeline: Lifeline) -> None:
    """Set the gauges of what is due, for each channel."""

    async def work(connection: AsyncConnection) -> dict[str, tuple[int, float]]:
        cursor = await connection.execute("select channel, due, lag_seconds from outbox_backlog")
        return {channel: (due, lag) for channel, due, lag in await cursor.fetchall()}

    backlog = await lifeline.run(work)
    for channel in Channel:
        due, lag = backlog.get(channel.value, (0, 0.0))
        BACKLOG.labels(channel.value).set(due)
        BACKLOG_LAG.labels(channel.value).set(lag)
