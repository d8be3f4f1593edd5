import asyncio
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from outbox_relay.maintenance.jobs import bring_forward

IN_AN_HOUR = timedelta(hours=1)


def next_runs(scheduler: AsyncIOScheduler) -> dict[str, datetime]:
    return {job.name: job.next_run_time for job in scheduler.get_jobs()}


def test_a_clock_that_is_set_back_delays_nothing_until_it_is_that_late_again() -> None:
    async def run() -> None:
        scheduler, has_run = AsyncIOScheduler(timezone=UTC), asyncio.Event()
        scheduler.add_job(has_run.set, "interval", seconds=300, next_run_time=datetime.now(UTC) + IN_AN_HOUR)
        scheduler.start()
        bring_forward(scheduler, datetime.now(UTC))
        async with asyncio.timeout(10):
            await has_run.wait()
        scheduler.shutdown(wait=False)

    asyncio.run(run())


def test_what_is_due_in_its_time_is_left_alone() -> None:
    async def run() -> None:
        scheduler, now = AsyncIOScheduler(timezone=UTC), datetime.now(UTC)
        scheduler.add_job(print, "interval", seconds=5, name="soon", next_run_time=now + timedelta(seconds=5))
        scheduler.add_job(print, "interval", seconds=300, name="late", next_run_time=now + timedelta(seconds=299))
        scheduler.start(paused=True)
        before = next_runs(scheduler)
        bring_forward(scheduler, now)
        assert next_runs(scheduler) == before
        scheduler.shutdown(wait=False)

    asyncio.run(run())
