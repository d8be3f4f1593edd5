"""The daemon: signals, the clock, the listener, and the relay between them."""

import asyncio
import gc
import signal
from functools import partial

import psycopg

from outbox_relay.bootstrap import Parts, assemble
from outbox_relay.database import connect
from outbox_relay.health import health_listener
from outbox_relay.listener import listen
from outbox_relay.settings import RelaySettings
from outbox_relay.upkeep import schedule_upkeep
from shared.database import describe
from shared.log import get_logger

log = get_logger("relay.daemon")


async def run_daemon(settings: RelaySettings) -> None:
    """Relay until SIGTERM or SIGINT, then finish what is in flight and return."""
    stopping = stop_signal()
    parts = assemble(settings)
    spare_the_collector()
    scheduler = schedule_upkeep(parts.relay, settings.database_url, settings.poll_seconds)
    with health_listener(settings.bind, partial(_unready, parts)) as port:
        log.info("relay started", bind=f"{settings.bind[0]}:{port}")
        listening = asyncio.create_task(listen(settings.database_url, parts.relay.wake))
        scheduler.start()
        try:
            await parts.relay.run(stopping)
        finally:
            scheduler.shutdown(wait=False)
            listening.cancel()
            await parts.close()
    log.info("relay stopped")


async def run_once(settings: RelaySettings) -> bool:
    """Deliver what is due and return; False if the database or a provider was down, or it was told to stop."""
    stopping = stop_signal()
    parts = assemble(settings)
    try:
        await (await connect(settings.database_url, "try")).close()
        return await parts.relay.drain(stopping)
    except psycopg.Error as error:
        log.error("database lost", **describe(error))  # noqa: TRY400 - the text quotes rows and addresses
        return False
    finally:
        await parts.close()


def stop_signal() -> asyncio.Event:
    """Return the event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def spare_the_collector() -> None:
    """Have the garbage collector leave alone what was made at the start, and look seldom at the rest.

    A message makes hundreds of objects and no cycles: counting references frees them all. With
    Python's own thresholds the collector took a sixth of the CPU of a drain.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _unready(parts: Parts) -> list[str]:
    """Name what keeps the relay from claiming; asked from the health listener's thread."""
    # With all providers known to be down nothing is claimed, and that is no fault of this relay.
    has_begun = parts.claims.has_claimed or not parts.relay.may_claim
    is_away = parts.claiming.is_lost or parts.settling.is_lost or not has_begun
    return ["database"] if is_away else []
