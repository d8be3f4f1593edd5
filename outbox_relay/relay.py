"""The relay: a lane for each channel that has a provider, woken together."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from outbox_relay.fleet import Fleet
from outbox_relay.lane import Lane
from shared.log import get_logger

log = get_logger("relay")


class Relay:
    """Runs the lanes until told to stop, or once until nothing is due."""

    def __init__(self, lanes: Sequence[Lane], fleet: Fleet, stopping_time: timedelta) -> None:
        self._lanes = lanes
        self._fleet = fleet
        self._stopping_time = stopping_time

    def wake(self) -> None:
        """Let every lane look for due messages soon."""
        for lane in self._lanes:
            lane.wake()

    @property
    def may_claim(self) -> bool:
        """Tell whether any lane has a provider that may be tried."""
        return any(lane.is_healthy for lane in self._lanes)

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until ``stopping`` is set, then finish what is in flight.

        What cannot be finished within the stopping time is left to its lease. A fault of ours in any
        part ends the whole, so that whoever supervises the process can start it anew.
        """
        async with asyncio.TaskGroup() as group:
            workers = self._begin_work(group)
            await self._fleet.known()
            pumps = [group.create_task(lane.pump()) for lane in self._lanes]
            log.info("relay claiming", channels=[lane.channel.value for lane in self._lanes])
            await stopping.wait()
            log.info("relay stopping")
            await self._stop()
            for task in (*pumps, *workers):
                task.cancel()

    async def drain(self, stopping: asyncio.Event) -> bool:
        """Deliver what is due now; return whether all of it was tried, with every provider up."""
        async with asyncio.TaskGroup() as group:
            workers = self._begin_work(group)
            await self._fleet.known()
            drains = [group.create_task(lane.drain()) for lane in self._lanes]
            stop = group.create_task(stopping.wait())
            await asyncio.wait([stop, asyncio.ensure_future(asyncio.wait(drains))], return_when="FIRST_COMPLETED")
            if stopping.is_set():
                await self._stop()
            for task in (stop, *drains, *workers):
                task.cancel()
        return not stopping.is_set() and all(lane.is_healthy for lane in self._lanes)

    def _begin_work(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        workers = (worker for lane in self._lanes for worker in lane.workers())
        return [group.create_task(work) for work in (self._fleet.run(), *workers)]

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(self._stopping_time.total_seconds()):
                await asyncio.gather(*(lane.stop() for lane in self._lanes))
        except TimeoutError:
            log.warning("relay stopped with messages unsettled")
