"""Notifies the API of settled messages, for requests that wait for one.

Notifications follow the commit, at most ten times a second.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import psycopg

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.db.prepared import text_array
from shared.vocabulary import SETTLED_CHANNEL

COALESCING_SECONDS = 0.1
TIMEOUT_SECONDS = 2.0
PAUSE_SECONDS = 1.0
"""After a notification that failed; the next one then has to open a new connection."""

IDS_A_NOTIFICATION = 200
"""A payload has fewer than 8,000 bytes; an id and its comma are 33."""

# Not durable: requests that wait also poll, which makes up for a notification lost in a crash.
NOTIFY = """
select set_config('synchronous_commit', 'off', true), pg_notify(%(channel)s, payload)
  from unnest(%(payloads)s::text[]) as payload
"""


class SettledNotifier:
    """Notifies on a connection of its own, so that no settlement waits for it.

    A notification that fails is dropped: requests that wait also poll.
    """

    def __init__(self, url: str) -> None:
        self._database = ReconnectingConnection(url, "tell")
        self._ids: list[UUID] = []
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def notify(self, ids: Sequence[UUID]) -> None:
        """Schedule a notification that these messages have settled; returns at once."""
        self._ids += ids
        if self._ids and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run(), name="settled notifier")

    async def warm_up(self) -> None:
        """Connect. Connecting after the first settlement would delay the messages that follow."""
        await self._database.try_quietly(partial(send_notifications, []))

    async def close(self) -> None:
        """Send the notifications that are left, and close the connection."""
        self._is_closing = True
        if self._task:
            await self._task
        await self._database.close()

    async def _run(self) -> None:
        # While the database is away this keeps trying without ids, so that it notices when it is back.
        while self._ids or (self._database.is_lost and not self._is_closing):
            payloads = payloads_with(self._ids)
            self._ids = []
            try:
                await self._database.once(partial(send_notifications, payloads), within=TIMEOUT_SECONDS)
            except psycopg.Error:
                await asyncio.sleep(PAUSE_SECONDS)
                self._ids.clear()
            else:
                await asyncio.sleep(COALESCING_SECONDS)


async def send_notifications(payloads: Sequence[str], connection: RelayConnection) -> None:
    """Notify once for each payload."""
    parameters = {"channel": SETTLED_CHANNEL, "payloads": text_array(payloads)}
    await connection.execute_prepared(NOTIFY, parameters)


def payloads_with(ids: Sequence[UUID]) -> list[str]:
    """Return notification payloads with so many ids in each."""
    parts = (ids[begin : begin + IDS_A_NOTIFICATION] for begin in range(0, len(ids), IDS_A_NOTIFICATION))
    return [",".join(message_id.hex for message_id in part) for part in parts]
