"""The table of all periodic work of a relay, and the scheduler for the jobs that tolerate a delay of a second."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from outbox_relay.delivery.poller import BACKLOG_GAUGES_SECONDS, LONGEST_POLL_SECONDS, Poller
from outbox_relay.delivery.reports import REPORTS_SECONDS, DeliveryReports
from outbox_relay.maintenance.leader import Maintenance
from outbox_relay.metrics import REPORTS_UNMATCHED
from outbox_relay.outbox.claim import FULL_SCAN_SECONDS
from outbox_relay.outbox.heartbeat import HEARTBEAT_SECONDS
from outbox_relay.outbox.hourly_stats import HOURLY_STATS_SECONDS
from outbox_relay.outbox.listener import SESSION_CHECK_SECONDS
from outbox_relay.providers.pool import RECHECK_SECONDS
from outbox_relay.settings import RelaySettings

if TYPE_CHECKING:
    from outbox_relay.organizations.service import ProvisioningService

CLOCK_CHECK_SECONDS = 30.0

# A round may last until after the next one is due. This is not an error, but APScheduler would log a warning each time.
logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

Round = Callable[[], Awaitable[object]]


class RunsOn(StrEnum):
    """Which relays do a piece of periodic work. The scheduler runs on every relay: the work itself takes the lease."""

    LEADER = "the relay that holds the leader lease"
    EVERY_RELAY = "every relay"


@dataclass(frozen=True)
class PeriodicWork:
    """Work that a relay repeats every ``seconds``. If ``run`` is None, the named module has its own loop for it."""

    name: str
    seconds: float
    runs_on: RunsOn
    module: str
    run: Round | None = None


def periodic_work(
    settings: RelaySettings,
    holder: UUID,
    poller: Poller,
    reports: DeliveryReports,
    provisioning: "ProvisioningService | None" = None,
) -> list[PeriodicWork]:
    """Return all periodic work of a relay. ``holder`` identifies this relay as a holder of the leader lease."""
    leader, every = RunsOn.LEADER, RunsOn.EVERY_RELAY
    maintenance, poll = settings.maintenance_seconds, settings.poll.total_seconds()
    leadership = Maintenance(settings, holder)

    async def apply_reports() -> None:
        if leadership.is_leader:
            await reports.run_round()
        else:
            REPORTS_UNMATCHED.set(0)

    work = [
        # Partitions, retention and operator digests. Every relay tries to become the leader.
        PeriodicWork("maintenance", maintenance, leader, "maintenance.leader", leadership.run_round),
        PeriodicWork("delivery reports", REPORTS_SECONDS, leader, "delivery.reports", apply_reports),
        PeriodicWork("poll for due messages", poll, every, "delivery.poller"),
        PeriodicWork("poll for the rest", min(poll, LONGEST_POLL_SECONDS), every, "delivery.poller"),
        PeriodicWork("heartbeat", HEARTBEAT_SECONDS, every, "delivery.poller"),
        PeriodicWork("backlog gauges", BACKLOG_GAUGES_SECONDS, every, "delivery.poller", poller.count_backlog),
        PeriodicWork("hourly stats", HOURLY_STATS_SECONDS, every, "delivery.poller", poller.write_hourly_stats),
        PeriodicWork("full scan", FULL_SCAN_SECONDS, every, "outbox.claim"),
        PeriodicWork("rounds for suspects", FULL_SCAN_SECONDS, every, "delivery.poison_isolation"),
        PeriodicWork("provider states", RECHECK_SECONDS, every, "providers.state_sync"),
        PeriodicWork("check of the listener's session", SESSION_CHECK_SECONDS, every, "outbox.listener"),
        PeriodicWork("check of the scheduler's clock", CLOCK_CHECK_SECONDS, every, "maintenance.jobs"),
    ]
    if provisioning:
        # Rows are claimed, so that no two relays work on the same organization.
        cleanup, checker = provisioning.orphan_cleanup, provisioning.health_checker
        module = "organizations.service"
        work += [
            PeriodicWork("tenant template", maintenance, every, module, provisioning.prepare_template),
            PeriodicWork("orphan cleanup", maintenance, every, "organizations.orphan_cleanup", cleanup.run_round),
            PeriodicWork("health check", checker.round_seconds, every, "organizations.health_check", checker.run_round),
        ]
    return work


def scheduler_for(
    settings: RelaySettings,
    holder: UUID,
    poller: Poller,
    reports: DeliveryReports,
    provisioning: "ProvisioningService | None" = None,
) -> AsyncIOScheduler:
    """Return a scheduler, not started yet, for the periodic work that has a ``run``."""
    # No misfire limit: by default, APScheduler skips a job that is a second late, and logs that.
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
    now = datetime.now(UTC)
    for work in periodic_work(settings, holder, poller, reports, provisioning):
        if work.run:
            job = _may_be_cancelled(work.run)
            scheduler.add_job(job, "interval", name=work.name, seconds=work.seconds, next_run_time=now)
    return scheduler


def _may_be_cancelled(run: Round) -> Callable[[], Awaitable[None]]:
    """Wrap a round for the scheduler.

    Without the wrapper, the scheduler would log an error when the round is cancelled at the end of the relay.
    """

    async def run_round() -> None:
        try:
            await run()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not (task and task.cancelling()):
                raise  # something that it waited for was cancelled

    return run_round


async def correct_schedule(scheduler: AsyncIOScheduler) -> None:
    """Until cancelled, correct the jobs' times if the machine's clock is set back.

    The scheduler uses that clock. Without this, it would run no job until the clock reaches the old time again.
    """
    while True:
        await asyncio.sleep(CLOCK_CHECK_SECONDS)
        bring_forward(scheduler, datetime.now(UTC))


def bring_forward(scheduler: AsyncIOScheduler, now: datetime) -> None:
    """Make a job due at once if its next run is further away than its interval."""
    for job in scheduler.get_jobs():
        if job.next_run_time - now > job.trigger.interval:
            job.modify(next_run_time=now)
