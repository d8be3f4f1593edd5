import asyncio
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from uuid import uuid4

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from outbox_relay.bootstrap import assemble
from outbox_relay.maintenance.jobs import PeriodicWork, RunsOn, bring_forward, periodic_work, scheduler_for
from outbox_relay.settings import RelaySettingsSchema
from tests.support.keys import SECRET_KEYS

A_RELAY = {
    "DATABASE_URL": "postgresql+psycopg://relay@db/signpost",
    "SECRET_KEYS": SECRET_KEYS,
    "PUBLIC_URL": "https://signpost.example",
    "EMAIL_PROVIDERS": "console:",
    "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
}
IN_AN_HOUR = timedelta(hours=1)


def next_runs(scheduler: AsyncIOScheduler) -> dict[str, datetime]:
    return {job.name: job.next_run_time for job in scheduler.get_jobs()}


def test_a_clock_set_back_does_not_delay_jobs() -> None:
    async def run() -> None:
        scheduler, has_run = AsyncIOScheduler(timezone=UTC), asyncio.Event()
        scheduler.add_job(has_run.set, "interval", seconds=300, next_run_time=datetime.now(UTC) + IN_AN_HOUR)
        scheduler.start()
        bring_forward(scheduler, datetime.now(UTC))
        async with asyncio.timeout(10):
            await has_run.wait()
        scheduler.shutdown(wait=False)

    asyncio.run(run())


def test_a_job_on_schedule_is_unchanged() -> None:
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


def all_work() -> list[PeriodicWork]:
    settings = RelaySettingsSchema().read(A_RELAY)
    components = assemble(settings)
    return periodic_work(settings, uuid4(), components.poller, components.reports)


def test_all_periodic_work_is_in_one_table_with_the_module_that_does_it() -> None:
    work = all_work()
    assert len({each.name for each in work}) == len(work)
    for each in work:
        assert find_spec(f"outbox_relay.{each.module}")
        assert each.seconds > 0
    assert [each.name for each in work if each.runs_on is RunsOn.LEADER] == ["maintenance", "delivery reports"]


def test_the_scheduler_runs_the_work_that_has_no_loop_of_its_own() -> None:
    settings = RelaySettingsSchema().read(A_RELAY)
    components = assemble(settings)
    jobs = scheduler_for(settings, uuid4(), components.poller, components.reports).get_jobs()
    assert {job.name for job in jobs} == {each.name for each in all_work() if each.run}
    assert {"maintenance", "backlog gauges", "hourly stats"} <= {job.name for job in jobs}
