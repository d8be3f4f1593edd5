"""What the relay does by the clock: turns of upkeep, and looking after organizations' databases."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from outbox_relay.maintenance.leader import Maintenance
from outbox_relay.organizations.health_check import ROUND_SECONDS
from outbox_relay.organizations.service import ProvisioningService
from outbox_relay.settings import RelaySettings

LOOK_SECONDS = 30.0

# A turn that is not over when the next is due is no fault, and each time it would be said in words about jobs.
logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

Turn = Callable[[], Awaitable[object]]


def scheduler_for(
    settings: RelaySettings, holder: UUID, provisioning: ProvisioningService | None = None
) -> AsyncIOScheduler:
    """Return a scheduler, not started yet, with all that the relay does by the clock, as that holder of the lease."""
    # However late: by default, what is a second late is left out, and that is said each time.
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
    now = datetime.now(UTC)

    def add(turn: Turn, name: str, seconds: float) -> None:
        scheduler.add_job(_may_end_early(turn), "interval", name=name, seconds=seconds, next_run_time=now)

    add(Maintenance(settings, holder).turn, "upkeep", settings.upkeep_seconds)
    if provisioning:
        add(provisioning.prepare_template, "tenant template", settings.upkeep_seconds)
        add(provisioning.orphan_cleanup.run_round, "orphan cleanup", settings.upkeep_seconds)
        add(provisioning.health_checker.run_round, "health check", ROUND_SECONDS)
    return scheduler


def _may_end_early(turn: Turn) -> Callable[[], Awaitable[None]]:
    """Return the turn for the scheduler, which would log it as a fault that the relay's end cuts one short."""

    async def take_turn() -> None:
        try:
            await turn()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not (task and task.cancelling()):
                raise  # it was something that it waited for

    return take_turn


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
