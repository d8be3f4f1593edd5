"""Claims that are on their way, and waiting for them."""

import asyncio
from contextlib import suppress

LONGEST_CLAIM_SECONDS = 2.0
"""How long stopping waits for a claim that is on its way; without a database it would never end."""


class ClaimsUnderWay:
    """Tells whether a claim is on its way, as it is inside ``with``; what it brings is only known once it is back."""

    def __init__(self) -> None:
        self._is_clear = asyncio.Event()
        self._is_clear.set()

    def __enter__(self) -> None:
        self._is_clear.clear()

    def __exit__(self, *_: object) -> None:
        self._is_clear.set()

    async def clear(self) -> None:
        """Return once nothing is on its way."""
        await self._is_clear.wait()

    async def clear_soon(self) -> None:
        """Likewise, but wait no longer than stopping may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_CLAIM_SECONDS):
                await self.clear()
