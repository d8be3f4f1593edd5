"""The relay's parts, as the daemon puts them together, within a test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outbox_relay.bootstrap import Parts, assemble
from outbox_relay.settings import RelaySettingsSchema
from tests.support.outbox import Outbox
from tests.support.relays import relay_environment
from tests.support.smtp_server import SmtpServer

PATIENCE_SECONDS = 60

# What waits for its schedule is made due, so that no test waits along.
HASTEN = "update outbox_messages set due_at = now() where status = 'pending' and lease_token is null"


@asynccontextmanager
async def relaying(outbox: Outbox, server: SmtpServer, *, tls: str = "none", **settings: str) -> AsyncIterator[Parts]:
    """Run the relay's parts as the daemon puts them together, with one connection to that server."""
    provider = f"smtp://127.0.0.1:{server.port}?tls={tls}"
    told = {"EMAIL_PROVIDERS": provider, "RELAY_CONNECTIONS": "1", "RELAY_SEND_SECONDS": "1"} | settings
    parts = assemble(RelaySettingsSchema().read(relay_environment(outbox.database, **told)))
    stopping = asyncio.Event()
    running = asyncio.create_task(parts.relay.run(stopping, stopping))
    try:
        yield parts
    finally:
        stopping.set()
        await running
        await parts.close()


async def until(outbox: Outbox, parts: Parts, query: str, *, hasten: bool = False) -> None:
    """Wake the relay again and again until the query finds something."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(outbox.execute, query):
            if hasten:
                await asyncio.to_thread(outbox.execute, HASTEN)
            parts.relay.wake()
            await asyncio.sleep(0.05)


async def until_all_are_settled(outbox: Outbox, parts: Parts) -> None:
    settled = "select 1 where not exists (select from outbox_messages where status = 'pending')"
    await until(outbox, parts, settled, hasten=True)
