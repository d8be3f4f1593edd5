"""The relay: lanes for each channel that has a provider, woken together, and the quarantine beside them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from outbox_relay.delivery.poison_isolation import PoisonIsolation
from outbox_relay.delivery.poller import Poller
from outbox_relay.delivery.queue_consumer import QueueConsumer
from outbox_relay.model import Progress
from outbox_relay.providers.state_sync import ProviderStateSync
from shared.log import get_logger
from shared.vocabulary import Urgency

NOTICES_LATER_SECONDS = 0.25
"""However fast wake-ups come, looking for notices then takes up less than a hundredth of the claims' connection."""

log = get_logger("relay")


@dataclass(frozen=True)
class Beside:
    """What runs beside the lanes: trying suspects, keeping in step with the other relays, and looking out for all."""

    quarantine: PoisonIsolation
    fleet: ProviderStateSync
    lookout: Poller


class Relay:
    """Runs the lanes until told to stop, or once until nothing is due."""

    def __init__(self, lanes: Sequence[QueueConsumer], beside: Beside, stopping_time: timedelta) -> None:
        self._lanes = lanes
        self._quarantine = beside.quarantine
        self._fleet = beside.fleet
        self._lookout = beside.lookout
        self._stopping_time = stopping_time
        self._waking_notices: asyncio.TimerHandle | None = None

    @property
    def pulses(self) -> list[Progress]:
        """The pulse of each lane."""
        return [lane.pulse for lane in self._lanes]

    async def begun(self) -> None:
        """Return once every lane has looked for due messages."""
        for lane in self._lanes:
            await lane.has_looked.wait()

    def wake(self) -> None:
        """Let the lanes of codes look for due messages at once, and those of notices a little later.

        They share a connection and a core: looking for a notice held up the code that was just claimed.
        """
        self._wake_lanes(Urgency.CODE)
        if self._waking_notices is None:
            later = asyncio.get_running_loop().call_later
            self._waking_notices = later(NOTICES_LATER_SECONDS, self._wake_notices)

    def _wake_notices(self) -> None:
        self._waking_notices = None
        self._wake_lanes(Urgency.NOTICE)

    def _wake_lanes(self, urgency: Urgency) -> None:
        for lane in self._lanes:
            if lane.key.urgency is urgency:
                lane.wake()

    @property
    def may_claim(self) -> bool:
        """Tell whether any lane has a provider that may be tried."""
        return any(lane.is_healthy for lane in self._lanes)

    async def run(self, ending: asyncio.Event, leaving: asyncio.Event) -> None:
        """Deliver until ``ending`` is set, then finish what is in flight.

        Once ``leaving`` is set as well, the process is to end: what cannot be finished within the
        stopping time is left to its lease. A fault of ours in any
        part ends the whole, so that whoever supervises the process can start it anew.
        """
        async with asyncio.TaskGroup() as group:
            workers = self._begin_work(group)
            await self._fleet.known()
            pumps = [group.create_task(lane.pump()) for lane in self._lanes]
            aside = [group.create_task(work) for work in (self._quarantine.run(), self._lookout.run())]
            log.info("relay claiming", channels=sorted({lane.key.channel.value for lane in self._lanes}))
            await ending.wait()
            log.info("relay stopping")
            await self._stop(leaving)
            for task in (*aside, *pumps, *workers):
                task.cancel()
        if self._waking_notices:
            self._waking_notices.cancel()

    async def drain(self, stopping: asyncio.Event) -> bool:
        """Deliver what is due now; return whether all of it was tried, with every provider up."""
        async with asyncio.TaskGroup() as group:
            workers = self._begin_work(group)
            await self._fleet.known()
            draining = group.create_task(self._drain())
            stop = group.create_task(stopping.wait())
            await asyncio.wait([stop, draining], return_when="FIRST_COMPLETED")
            if stopping.is_set():
                await self._stop(stopping)
            for task in (stop, draining, *workers):
                task.cancel()
        return not stopping.is_set() and all(lane.is_healthy for lane in self._lanes)

    async def _drain(self) -> None:
        # What one lane settles may be followed by a message for another, which had run dry by then.
        while any(await asyncio.gather(*(lane.drain() for lane in self._lanes))):
            pass
        await self._quarantine.drain()

    def _begin_work(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        workers = (worker for lane in self._lanes for worker in lane.workers())
        return [group.create_task(work) for work in (self._fleet.run(), *workers)]

    async def _stop(self, leaving: asyncio.Event) -> None:
        drying = asyncio.ensure_future(self._run_dry())
        haste = asyncio.ensure_future(leaving.wait())
        await asyncio.wait((drying, haste), return_when="FIRST_COMPLETED")
        haste.cancel()
        try:
            async with asyncio.timeout(self._stopping_time.total_seconds()):
                await drying
        except TimeoutError:
            log.warning("relay stopped with messages unsettled")

    async def _run_dry(self) -> None:
        await self._quarantine.stop()
        await asyncio.gather(*(lane.stop() for lane in self._lanes))
