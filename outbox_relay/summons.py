"""Why a lane is to look for messages: something was committed just now, or anything else."""

import asyncio
from datetime import timedelta

ALARM_MARGIN_SECONDS = 0.01


class Summons:
    """Gathers calls until they are taken; one that comes while their claim is on its way stands for the next."""

    def __init__(self) -> None:
        self._has_come = asyncio.Event()
        self._is_for_any = False

    def for_fresh(self) -> None:
        """Have it look for what was committed just now, of which a notification tells."""
        self._has_come.set()

    def for_any(self) -> None:
        """Have it look for whatever is due, as what is tried again is, or was told of too long ago."""
        self._is_for_any = True
        self._has_come.set()

    def for_any_after(self, delay: timedelta) -> asyncio.TimerHandle:
        """Call likewise, a little after that; the alarm keeps no more than this, least of all a lane that is over."""
        return asyncio.get_running_loop().call_later(delay.total_seconds() + ALARM_MARGIN_SECONDS, self.for_any)

    async def come(self) -> None:
        """Return once there is a call to be taken."""
        await self._has_come.wait()

    def take(self) -> bool:
        """Take all calls; return whether they were for what is fresh alone, as they are not where there were none."""
        is_fresh_alone = self._has_come.is_set() and not self._is_for_any
        self._has_come.clear()
        self._is_for_any = False
        return is_fresh_alone
