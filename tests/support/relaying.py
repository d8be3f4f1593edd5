"""The relay's components, assembled as in the daemon, within a test's event loop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol
from unittest.mock import patch
from uuid import UUID

from outbox_relay.bootstrap import RelayComponents, assemble
from outbox_relay.settings import RelaySettingsSchema
from tests.support.outbox import Outbox
from tests.support.relays import relay_environment
from tests.support.rendering import shared_renderer

TIMEOUT_SECONDS = 60
ALL_ARE_SENT = "select 1 where not exists (select from outbox_messages where status <> 'sent')"

# Scheduled messages become due at once, so that tests need not wait.
HASTEN = "update outbox_messages set due_at = now() where status = 'pending' and lease_token is null"


class MailServer(Protocol):
    """A mail server on a loopback port."""

    @property
    def port(self) -> int:
        """The port it listens on."""


def assembled(environment: Mapping[str, str], relay_id: UUID | None = None) -> RelayComponents:
    """Assemble a relay with those settings. Relays of this process share renderers, which take long to create."""
    with patch("outbox_relay.bootstrap.Renderer", shared_renderer):
        return assemble(RelaySettingsSchema().read(environment), relay_id)


@asynccontextmanager
async def relaying(
    outbox: Outbox, server: MailServer, *, tls: str = "none", **settings: str
) -> AsyncIterator[RelayComponents]:
    """Run the relay's components with one connection to that server."""
    provider = f"smtp://127.0.0.1:{server.port}?tls={tls}"
    environment = {"EMAIL_PROVIDERS": provider, "RELAY_CONNECTIONS": "1", "RELAY_SEND_SECONDS": "1"} | settings
    parts = assembled(relay_environment(outbox.database, **environment))
    stopping = asyncio.Event()
    running = asyncio.create_task(parts.relay.run(stopping, stopping))
    try:
        yield parts
    finally:
        stopping.set()
        await running
        await parts.close()


async def until(outbox: Outbox, parts: RelayComponents, query: str, *, hasten: bool = False) -> None:
    """Wake the relay repeatedly until the query finds a row."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await asyncio.to_thread(outbox.execute, query):
            if hasten:
                await asyncio.to_thread(outbox.execute, HASTEN)
            parts.relay.wake()
            await asyncio.sleep(0.05)


async def until_all_are_settled(outbox: Outbox, parts: RelayComponents) -> None:
    settled = "select 1 where not exists (select from outbox_messages where status = 'pending')"
    await until(outbox, parts, settled, hasten=True)


def deliver_all(outbox: Outbox, server: MailServer, **settings: str) -> None:
    """Run a relay in this process until all messages are sent. For tests where its process does not matter."""

    async def deliver() -> None:
        async with relaying(outbox, server, **settings) as parts:
            await until(outbox, parts, ALL_ARE_SENT)

    asyncio.run(deliver())
