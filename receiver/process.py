"""The common parts of receiver processes: signals, the admin listener, and notifications to the service manager."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from prometheus_client import generate_latest

from receiver.metrics import RECEIVER_READY
from shared.health_server import Probes, health_server
from shared.host import ALIVE, READY, STOPPING, ServiceManager
from shared.log import get_logger
from shared.urls import host_and_port

Readiness = tuple[Sequence[str], Sequence[str]]
log = get_logger("receiver.process")


@asynccontextmanager
async def receiver_process(
    admin_bind: tuple[str, int], readiness: Callable[[], Readiness], stopping: asyncio.Event
) -> AsyncIterator[None]:
    """Serve probes and metrics, and notify the service manager that the process is ready, while the block runs.

    SIGTERM and SIGINT set ``stopping``. Raises OSError if the port is taken.
    """
    loop, manager = asyncio.get_running_loop(), ServiceManager(os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    RECEIVER_READY.set_function(lambda: not readiness()[0])
    probes = Probes(is_alive=lambda: True, readiness=readiness, metrics=generate_latest)
    with health_server(admin_bind, probes) as port:
        log.info("receiver started", admin_bind=host_and_port(admin_bind[0], port))
        manager.notify(READY)
        watchdog = loop.create_task(_report_alive(manager))
        try:
            yield
        finally:
            manager.notify(STOPPING)
            watchdog.cancel()
    log.info("receiver stopped")


async def _report_alive(manager: ServiceManager) -> None:
    """Notify from the event loop: if it is blocked, the service manager restarts the process."""
    while True:
        manager.notify(ALIVE)
        await asyncio.sleep(manager.watchdog_interval.total_seconds())
