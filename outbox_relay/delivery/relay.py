"""The relay: a consumer for each queue that has a provider, with poison isolation, provider state and poller."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from outbox_relay.delivery.poison_isolation import PoisonIsolation
from outbox_relay.delivery.poller import Poller
from outbox_relay.delivery.queue_consumer import QueueConsumer
from outbox_relay.model import Progress
from outbox_relay.providers.state_sync import ProviderStateSync
from shared.log import get_logger
from shared.vocabulary import Priority

LOW_PRIORITY_WAKE_SECONDS = 0.25
"""Minimum interval between wake-ups of low-priority queues. It limits their claims to less than 1 % of the time of the
claim connection, no matter how often the relay is woken."""

log = get_logger("relay")


class Relay:
    """Runs the consumers until stopped, or once until no message is due."""

    def __init__(
        self,
        consumers: Sequence[QueueConsumer],
        *,
        poison_isolation: PoisonIsolation,
        state_sync: ProviderStateSync,
        poller: Poller,
        stopping_time: timedelta,
    ) -> None:
        self._consumers = consumers
        self._poison_isolation = poison_isolation
        self._state_sync = state_sync
        self._poller = poller
        self._stopping_time = stopping_time
        self._low_priority_timer: asyncio.TimerHandle | None = None

    @property
    def progress(self) -> list[Progress]:
        """The progress of each consumer."""
        return [consumer.progress for consumer in self._consumers]

    @property
    def may_claim(self) -> bool:
        """Whether any consumer has a provider that may be tried."""
        return any(consumer.is_usable for consumer in self._consumers)

    async def wait_until_started(self) -> None:
        """Return once every consumer has looked for due messages, and the database has responded.

        Both are needed: a consumer that has no room for messages makes no query.
        """
        await self._state_sync.has_responded.wait()
        for consumer in self._consumers:
            await consumer.has_looked.wait()

    def wake(self) -> None:
        """Make the consumers of high priority look for due messages at once, and those of low priority a little later.

        All consumers share a database connection and a CPU core. A low-priority claim would delay a high-priority
        message that was just claimed.
        """
        self._state_sync.woken()
        self._wake_consumers(Priority.HIGH)
        if self._low_priority_timer is None:
            later = asyncio.get_running_loop().call_later
            self._low_priority_timer = later(LOW_PRIORITY_WAKE_SECONDS, self._wake_low_priority)

    async def run(self, ending: asyncio.Event, leaving: asyncio.Event) -> None:
        """Deliver until ``ending`` is set, then finish the messages in flight.

        Once ``leaving`` is set as well, the process is about to end: messages that cannot be finished within the
        stopping time are left to their lease. A bug in any part ends the relay, and the service manager restarts the
        process.
        """
        async with asyncio.TaskGroup() as group:
            workers = self._start_workers(group)
            await self._state_sync.wait_until_known()
            fetching = [group.create_task(consumer.fetch()) for consumer in self._consumers]
            works = (self._poison_isolation.run(), self._poller.run(), self._report_start())
            others = [group.create_task(work) for work in works]
            await ending.wait()
            log.info("relay stopping" if leaving.is_set() else "relay reloading")
            await self._stop(leaving)
            for task in (*others, *fetching, *workers):
                task.cancel()
        if self._low_priority_timer:
            self._low_priority_timer.cancel()

    async def _report_start(self) -> None:
        await self.wait_until_started()
        log.info("relay claiming", channels=sorted({consumer.key.channel.value for consumer in self._consumers}))

    async def drain(self, stopping: asyncio.Event) -> bool:
        """Deliver the messages that are due now. Return whether all were tried and every provider pool was usable."""
        async with asyncio.TaskGroup() as group:
            workers = self._start_workers(group)
            await self._state_sync.wait_until_known()
            draining = group.create_task(self._drain())
            stop = group.create_task(stopping.wait())
            await asyncio.wait([stop, draining], return_when="FIRST_COMPLETED")
            if stopping.is_set():
                await self._stop(stopping)
            for task in (stop, draining, *workers):
                task.cancel()
        return not stopping.is_set() and all(consumer.is_usable for consumer in self._consumers)

    async def _drain(self) -> None:
        # A settlement of one consumer may enqueue a message for another consumer that has already found its queue
        # empty. So drain again until no consumer claims anything.
        while any(await asyncio.gather(*(consumer.drain() for consumer in self._consumers))):
            pass
        await self._poison_isolation.drain()

    def _start_workers(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        workers = (worker for consumer in self._consumers for worker in consumer.workers())
        return [group.create_task(work) for work in (self._state_sync.run(), *workers)]

    async def _stop(self, leaving: asyncio.Event) -> None:
        finishing = asyncio.ensure_future(self._finish())
        left = asyncio.ensure_future(leaving.wait())
        await asyncio.wait((finishing, left), return_when="FIRST_COMPLETED")
        left.cancel()
        try:
            async with asyncio.timeout(self._stopping_time.total_seconds()):
                await finishing
        except TimeoutError:
            log.warning("relay stopped with messages unsettled")

    async def _finish(self) -> None:
        await self._poison_isolation.stop()
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))

    def _wake_low_priority(self) -> None:
        self._low_priority_timer = None
        self._wake_consumers(Priority.LOW)

    def _wake_consumers(self, priority: Priority) -> None:
        for consumer in self._consumers:
            if consumer.key.priority is priority:
                consumer.wake()
