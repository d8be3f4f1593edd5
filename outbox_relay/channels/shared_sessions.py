"""The sessions of one provider, shared by all couriers who go there."""

from outbox_relay.channels.base import Provider, Session, Tray


class SharedSession:
    """A courier's way to a provider's sessions: it takes the one used last, since that is the warmest.

    ``idle`` holds those that nobody uses; there are never more in all than couriers there at a time.
    """

    def __init__(self, idle: list[Session], provider: Provider) -> None:
        self._idle = idle
        self._provider = provider

    async def carry(self, tray: Tray) -> None:
        """Hand over what is on the tray through a session that nobody uses, or else a new one."""
        session = self._idle.pop() if self._idle else self._provider.session()
        try:
            await session.carry(tray)
        finally:
            self._idle.append(session)

    async def close(self) -> None:
        """Close the sessions that nobody uses."""
        while self._idle:
            await self._idle.pop().close()
