"""What the relay holds of an SMTP server: a connection, opened when needed and kept warm in between."""

import asyncio
from dataclasses import dataclass

from outbox_relay.channels.base import Session, Tray
from outbox_relay.channels.smtp.connection import Connection
from outbox_relay.channels.smtp.delivery import Delivery, Terms
from outbox_relay.channels.smtp.dialogue import Dialogue, Server

LONGEST_IDLE_SECONDS = 30.0
"""Servers hang up on those that only listen, and a hang-up may cross with our next letter."""


@dataclass(frozen=True)
class SmtpProvider:
    """A mail server; letters leave from ``sender``, the envelope's address, where bounces go."""

    server: Server
    sender: str

    @property
    def name(self) -> str:
        """``smtp:host:port``."""
        return self.server.name

    def session(self) -> Session:
        """Make a session; nothing is connected yet."""
        return SmtpSession(self)


class SmtpSession:
    """One connection at a time; see ``channels.base.Session``.

    A letter may take the server's timeout from its turn on. With PIPELINING it is taken one letter
    ahead, so that it is in hand for at most twice that.
    """

    def __init__(self, provider: SmtpProvider) -> None:
        self._provider = provider
        self._connection: Connection | None = None
        self._has_pipelining = False
        self._idle_since = 0.0

    async def carry(self, tray: Tray) -> None:
        """Hand over what is on the tray, on a connection that is open and fresh."""
        connection = await self._warm_connection()
        try:
            await Delivery(connection, tray, self._terms()).run()
        finally:
            self._idle_since = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Say good-bye and close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.say_good_bye()

    async def _warm_connection(self) -> Connection:
        if self._connection is not None and self._connection.is_open and not self._is_stale():
            return self._connection
        await self.close()
        dialogue = Dialogue(self._provider.server)
        self._connection = await dialogue.open()
        self._has_pipelining = "PIPELINING" in dialogue.offers
        return self._connection

    def _is_stale(self) -> bool:
        return asyncio.get_running_loop().time() - self._idle_since > LONGEST_IDLE_SECONDS

    def _terms(self) -> Terms:
        provider = self._provider
        return Terms(provider.name, provider.sender, provider.server.timeout, self._has_pipelining)
