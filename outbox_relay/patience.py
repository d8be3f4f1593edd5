"""Waiting for the database to answer, for no longer than it may take; see ``shared.db.timeouts``.

Cancelling may take CANCEL_SECONDS more; where psycopg itself cancels, ten seconds. Before its issue 1371 was fixed,
that could wait for ever.
"""

import asyncio
from types import TracebackType

from psycopg.errors import ConnectionTimeout

from shared.db.timeouts import RESPONSE_TIMEOUT_SECONDS


class AnsweredInTime:
    """Raises psycopg's ConnectionTimeout where what is done inside gets no answer within so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            error = late
        if isinstance(error, TimeoutError):
            raise ConnectionTimeout("no answer") from error


def answered_in_time(seconds: float | None = None) -> AnsweredInTime:
    """Have what is done inside answered within RESPONSE_TIMEOUT_SECONDS, or as told; raises ConnectionTimeout."""
    return AnsweredInTime(RESPONSE_TIMEOUT_SECONDS if seconds is None else seconds)
