"""What the relay holds of an SMTP server: a connection, opened when needed and kept warm in between."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from outbox_relay.channels.base import ProviderDownError, Session, Tray
from outbox_relay.channels.smtp.connection import Connection
from outbox_relay.channels.smtp.delivery import Delivery, Terms
from outbox_relay.channels.smtp.dialogue import Dialogue, Server
from outbox_relay.channels.smtp.envelope import Envelopes

LONGEST_IDLE_SECONDS = 30.0
"""Servers hang up on those that only listen, and a hang-up may cross with our next letter."""


LOCK_STEP_SECONDS = 3600.0
"""How long a server that could not cope with PIPELINING is spared it; a middlebox is not mended sooner."""


@dataclass
class Manners:
    """How a server wants to be spoken to, as its sessions have found out."""

    lock_step_until: float = float("-inf")

    def bears_pipelining(self, now: float) -> bool:
        """Tell whether several commands may go in one write, at that moment of the loop's clock."""
        return now >= self.lock_step_until

    def spare_pipelining(self, now: float) -> None:
        """Speak in lock-step for a while."""
        self.lock_step_until = now + LOCK_STEP_SECONDS


@dataclass(frozen=True)
class SmtpProvider:
    """A mail server; letters leave from ``sender``, the envelope's address, where bounces go."""

    server: Server
    sender: str
    manners: Manners = field(default_factory=Manners, compare=False)

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

    _terms: Terms

    def __init__(self, provider: SmtpProvider) -> None:
        self._provider = provider
        self._connection: Connection | None = None
        self._has_worked = False
        self._idle_since = 0.0

    async def carry(self, tray: Tray) -> None:
        """Hand over what is on the tray, on a connection that is open and fresh."""
        delivery = Delivery(await self._warm_connection(), tray, self._terms)
        delivery.has_accepted = self._has_worked
        try:
            await delivery.run()
        except ProviderDownError:
            if delivery.is_out_of_step:
                self._provider.manners.spare_pipelining(self._now())
            raise
        finally:
            self._has_worked = delivery.has_accepted
            self._idle_since = self._now()

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
        self._terms = self._agreed(dialogue.offers)
        self._has_worked = False
        return self._connection

    def _agreed(self, offers: Collection[str]) -> Terms:
        provider = self._provider
        return Terms(
            provider.name,
            Envelopes(provider.sender, has_smtputf8="SMTPUTF8" in offers),
            provider.server.timeout,
            has_pipelining="PIPELINING" in offers and provider.manners.bears_pipelining(self._now()),
        )

    def _is_stale(self) -> bool:
        return self._now() - self._idle_since > LONGEST_IDLE_SECONDS

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
