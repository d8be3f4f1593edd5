"""The daemon: signals, the clock, the listener, and the relay between them."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from outbox_relay.bootstrap import RelayComponents, assemble
from outbox_relay.maintenance.jobs import keep_in_time, scheduler_for
from outbox_relay.metrics import RELAY_READY, forget_providers
from outbox_relay.outbox.listener import listen
from outbox_relay.settings import RelaySettings
from outbox_relay.supervision.health_server import health_listener
from outbox_relay.supervision.stall_detector import Phase, Readiness, readiness
from outbox_relay.supervision.watchdog import STOPPING, ServiceManager, Watchdog, reloading
from shared.log import get_logger
from shared.settings import SettingsError
from shared.urls import host_and_port

log = get_logger("relay.daemon")

ReadSettings = Callable[[], RelaySettings]


@dataclass
class Generation:
    """The relay as one reading of its settings made it, from its first claim to its last settle."""

    settings: RelaySettings
    holder: UUID
    parts: RelayComponents
    watchman: Watchdog
    ending: asyncio.Event

    async def work(self, leaving: asyncio.Event) -> None:
        """Relay until ``ending`` is set, then finish what is in flight: in haste once ``leaving`` is set."""
        relay, url = self.parts.relay, self.settings.database_url
        scheduler = scheduler_for(self.settings, self.holder, self.parts.provisioning)
        scheduler.start()
        try:
            async with asyncio.TaskGroup() as group:
                aside = [
                    group.create_task(listen(self.settings.listen_database_url or url, relay.wake)),
                    group.create_task(self.parts.fallbacks.run(relay.wake)),
                    group.create_task(self.parts.warm_up()),
                    group.create_task(self.watchman.run()),
                    group.create_task(self.watchman.announce()),
                    group.create_task(keep_in_time(scheduler)),
                ]
                await relay.run(self.ending, leaving)
                for task in aside:
                    task.cancel()
        finally:
            scheduler.shutdown(wait=False)
            await self.parts.lookout.write_hours()
            await self.parts.close()

    def readiness(self) -> Readiness:
        """Name what keeps the relay from claiming, or from getting on with it."""
        parts = self.parts
        # With all providers known to be down nothing is claimed, and that is no fault of this relay.
        has_begun = parts.outbox.claims.has_claimed or not parts.relay.may_claim
        is_away = parts.lifelines.claiming.is_lost or parts.lifelines.settling.is_lost or not has_begun
        return readiness(parts.lookout.late(self.settings.latest), is_away=is_away)


class Daemon:
    """One shift after another: SIGHUP brings the next, SIGTERM and SIGINT end the last."""

    def __init__(self, settings: RelaySettings, read: ReadSettings) -> None:
        self._id = uuid4()
        self._read = read
        self._manager = ServiceManager(os.environ)
        self._leaving = asyncio.Event()
        self._shift = self._assembled(settings)
        self._next: Generation | None = None

    async def run(self) -> None:
        """Relay until told to stop, then finish what is in flight and return."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # held since the first line of the command
        bind = self._shift.settings.bind
        RELAY_READY.set_function(lambda: not self._readiness().missing)
        with health_listener(bind, self._readiness) as port:
            log.info("relay started", bind=host_and_port(bind[0], port))
            await self._shift.work(self._leaving)
            while self._next and not self._leaving.is_set():
                forget_providers(self._shift.parts.providers - self._next.parts.providers)
                self._shift, self._next = self._next, None
                forget_the_last_shift()
                log.info("relay reloaded")
                await self._shift.work(self._leaving)
        log.info("relay stopped")

    def _readiness(self) -> Readiness:
        """Name what keeps the present shift from its work; asked from the health listener's thread."""
        return self._shift.readiness()

    def _assembled(self, settings: RelaySettings) -> Generation:
        parts = assemble(settings, self._id)
        return Generation(settings, self._id, parts, Watchdog(self._manager, parts, settings), asyncio.Event())

    def _stop(self) -> None:
        self._leaving.set()
        self._shift.watchman.phase = Phase.STOPPING
        self._shift.watchman.tell(STOPPING)
        self._shift.ending.set()

    def _reload(self) -> None:
        """Put the next shift together before the present one ends, so that wrong settings end nothing."""
        if self._leaving.is_set():
            return
        self._shift.watchman.tell(reloading())
        try:
            self._next = self._assembled(self._read())
        except SettingsError as error:
            for fault in error.faults:
                log.error("settings refused", fault=fault)  # noqa: TRY400 - the fault says it all
        except Exception:
            log.exception("reload failed")
        if self._next:
            self._shift.watchman.phase = Phase.RELOADING
            self._shift.ending.set()
        else:
            self._shift.watchman.go_on()


async def run_daemon(settings: RelaySettings, read: ReadSettings) -> None:
    """Relay until SIGTERM or SIGINT; ``read`` gives the settings anew at SIGHUP."""
    daemon = Daemon(settings, read)
    spare_the_collector()
    await daemon.run()


def spare_the_collector() -> None:
    """Have the garbage collector leave alone what was made at the start, and look seldom at the rest.

    A message makes hundreds of objects and no cycles: counting references frees them all. With
    Python's own thresholds the collector took a sixth of the CPU of a drain.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def forget_the_last_shift() -> None:
    """Free the shift that is over: its parts know each other, and the collector was told to spare them."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
