"""The daemon: signals, reloads, the health server, the scheduler, and the relay between them."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from prometheus_client import generate_latest

from outbox_relay.bootstrap import RelayComponents, assemble
from outbox_relay.maintenance.jobs import correct_schedule, scheduler_for
from outbox_relay.metrics import RELAY_READY, forget_providers
from outbox_relay.outbox.listener import listen
from outbox_relay.settings import RelaySettings
from outbox_relay.supervision.stall_detector import Phase, Readiness, readiness, stall_limits
from outbox_relay.supervision.watchdog import Watchdog, reloading
from shared.health_server import Probes, health_server
from shared.host import STOPPING, ServiceManager
from shared.log import get_logger
from shared.settings import SettingsError
from shared.urls import host_and_port

log = get_logger("relay.daemon")

ReadSettings = Callable[[], RelaySettings]


@dataclass
class Generation:
    """A relay that was built from one configuration, from its first claim to its last settlement.

    A reload builds the next generation.
    """

    settings: RelaySettings
    holder: UUID
    components: RelayComponents
    watchdog: Watchdog
    ending: asyncio.Event

    async def work(self, leaving: asyncio.Event) -> None:
        """Deliver until ``ending`` is set, then finish the deliveries in flight.

        Once ``leaving`` is set, finish within the stopping time.
        """
        components, url = self.components, self.settings.database_url
        relay = components.relay
        scheduler = scheduler_for(
            self.settings, self.holder, components.poller, components.reports, components.provisioning
        )
        scheduler.start()
        try:
            async with asyncio.TaskGroup() as group:
                others = [
                    group.create_task(listen(self.settings.listen_database_url or url, relay.wake)),
                    group.create_task(components.fallbacks.run(relay.wake)),
                    group.create_task(components.warm_up()),
                    group.create_task(self.watchdog.run()),
                    group.create_task(self.watchdog.announce()),
                    group.create_task(correct_schedule(scheduler)),
                ]
                await relay.run(self.ending, leaving)
                for task in others:
                    task.cancel()
        finally:
            # The jobs refer to this generation, and the scheduler lives a little longer than it.
            scheduler.remove_all_jobs()
            scheduler.shutdown(wait=False)
            await components.poller.write_hourly_stats()
            await components.close()

    def readiness(self) -> Readiness:
        """Return the reasons why the relay cannot claim, or makes no progress."""
        components = self.components
        # If all providers are known to be down, the relay makes no claims. It still counts as started.
        has_started = components.claims.has_claimed or not components.relay.may_claim
        is_away = components.connections.is_lost or not has_started
        return readiness(
            components.poller.late_queues(self.settings.latest),
            is_away=is_away,
            is_schema_behind=components.poller.is_schema_behind,
        )


class Daemon:
    """Runs one generation after another: SIGHUP loads the next, SIGTERM and SIGINT end the last."""

    def __init__(self, settings: RelaySettings, read: ReadSettings) -> None:
        self._id = uuid4()
        self._read = read
        self._manager = ServiceManager(os.environ)
        self._leaving = asyncio.Event()
        self._generation = self._generation_of(settings, assemble(settings, self._id))
        self._next: Generation | None = None
        self._reload: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Relay until a signal ends it, then finish the deliveries in flight and return."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._start_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # blocked since the first line of the command
        bind = self._generation.settings.bind
        RELAY_READY.set_function(lambda: not self._readiness().missing)
        probes = Probes(is_alive=lambda: True, readiness=self._readiness, metrics=generate_latest)
        with health_server(bind, probes) as port:
            log.info("relay started", bind=host_and_port(bind[0], port))
            await self._generation.work(self._leaving)
            while self._next and not self._leaving.is_set():
                forget_providers(self._generation.components.providers - self._next.components.providers)
                self._generation, self._next = self._next, None
                free_last_generation()
                log.info("relay reloaded")
                await self._generation.work(self._leaving)
        if self._reload:
            await self._reload
        log.info("relay stopped")

    def _readiness(self) -> Readiness:
        """Return the readiness of the present generation; called from the health server's thread."""
        return self._generation.readiness()

    def _generation_of(self, settings: RelaySettings, components: RelayComponents) -> Generation:
        watchdog = Watchdog(
            self._manager,
            components.relay,
            limits=stall_limits(settings.poll, settings.longest_hold),
            failures=lambda: components.connections.failures,
            lost_since=lambda: components.connections.lost_since,
        )
        return Generation(settings, self._id, components, watchdog, asyncio.Event())

    def _stop(self) -> None:
        self._leaving.set()
        self._generation.watchdog.phase = Phase.STOPPING
        self._generation.watchdog.notify(STOPPING)
        self._generation.ending.set()

    def _start_reload(self) -> None:
        """Reload in a task. A signal that comes during a reload starts another one after it."""
        if not self._leaving.is_set():
            self._reload = asyncio.get_running_loop().create_task(self._load_next(after=self._reload), name="reload")

    async def _load_next(self, after: asyncio.Task[None] | None) -> None:
        """Build the next generation before the present one ends.

        If the settings are wrong, the present generation continues. Compiling the templates takes a second, so it runs
        in a thread: deliveries continue.
        """
        if after:
            await after
        if self._leaving.is_set():
            return
        self._generation.watchdog.notify(reloading())
        loaded = await self._loaded()
        if self._leaving.is_set():
            return
        self._next = loaded or self._next
        if self._next:
            self._generation.watchdog.phase = Phase.RELOADING
            self._generation.ending.set()
        else:
            self._generation.watchdog.reload_failed()

    async def _loaded(self) -> Generation | None:
        try:
            settings = self._read()
            return self._generation_of(settings, await asyncio.to_thread(assemble, settings, self._id))
        except SettingsError as error:
            for violation in error.errors:
                log.error("settings refused", error=violation)  # noqa: TRY400 - it needs no trace
        except Exception:
            log.exception("reload failed")
        return None


async def run_daemon(settings: RelaySettings, read: ReadSettings) -> None:
    """Relay until SIGTERM or SIGINT; ``read`` reads the settings again at SIGHUP."""
    daemon = Daemon(settings, read)
    tune_garbage_collector()
    await daemon.run()


def tune_garbage_collector() -> None:
    """Exclude the objects created at the start from garbage collection, and collect later objects rarely.

    A message makes hundreds of objects and no cycles: reference counts free them all. With Python's default thresholds,
    the collector took a sixth of the CPU of a drain.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def free_last_generation() -> None:
    """Free the generation that has ended.

    Its objects are in reference cycles, and ``gc.freeze`` has excluded them from collection.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
