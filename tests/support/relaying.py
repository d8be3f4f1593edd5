"""The relay's parts, as the daemon puts them together, within a test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from outbox_relay.bootstrap import RelayComponents, assemble
from outbox_relay.settings import RelaySettingsSchema
from tests.support.outbox import Outbox
from tests.support.relays import relay_environment

PATIENCE_SECONDS = 60
ALL_ARE_SENT = "select 1 where not exists (select from outbox_messages where status <> 'sent')"

# What waits for its schedule is made due, so that no test waits along.
HASTEN = "update outbox_messages set due_at = now() where status = 'pending' and lease_token is null"


class MailServer(Protocol):
    """Whatever takes mail at a port of loopback."""

    @property
    def port(self) -> int:
        """Where it listens."""


@asynccontextmanager
async def relaying(
    outbox: Outbox, server: MailServer, *, tls: str = "none", **settings: str
) -> AsyncIterator[RelayComponents]:
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


async def until(outbox: Outbox, parts: RelayComponents, query: str, *, hasten: bool = False) -> None:
    """Wake the relay again and again until the query finds something."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(outbox.execute, query):
            if hasten:
                await asyncio.to_thread(outbox.execute, HASTEN)
            parts.relay.wake()
            await asyncio.sleep(0.05)


async def until_all_are_settled(outbox: Outbox, parts: RelayComponents) -> None:
    settled = "select 1 where not exists (select from outbox_messages where status = 'pending')"
    await until(outbox, parts, settled, hasten=True)


def deliver_all(outbox: Outbox, server: MailServer, **settings: str) -> None:
    """Run a relay's parts here until all is sent: for what the next relay does, whose process is nobody's matter."""

    async def deliver() -> None:
        async with relaying(outbox, server, **settings) as parts:
            await until(outbox, parts, ALL_ARE_SENT)

    asyncio.run(deliver())
