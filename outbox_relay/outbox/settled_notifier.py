"""Telling the API which messages have settled, for requests that wait for one: after the commit, and seldom."""

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import psycopg

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.db.prepared import text_array
from outbox_relay.model import Dead, Sent, Settlement
from outbox_relay.outbox.settle import SettlementStore
from shared.vocabulary import SETTLED_CHANNEL

COALESCING_SECONDS = 0.1
PATIENCE_SECONDS = 2.0
PAUSE_SECONDS = 1.0
"""After news that nobody could be told; the next one then has to make a new connection."""

IDS_A_NOTIFICATION = 200
"""A payload has fewer than 8,000 bytes; an id and its comma are 33."""

# Nobody waits for the disk here: a notification that a crash swallows is made up for by a look.
NOTIFY = """
select set_config('synchronous_commit', 'off', true), pg_notify(%(channel)s, payload)
  from unnest(%(payloads)s::text[]) as payload
"""


class SettledNotifier:
    """Notifies on a connection of its own, at most ten times a second, so that no settle waits for it.

    What cannot be told is dropped: those who wait look for themselves every now and then.
    """

    def __init__(self, url: str) -> None:
        self._lifeline = ReconnectingConnection(url, "tell")
        self._ids: list[UUID] = []
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def tell(self, ids: Sequence[UUID]) -> None:
        """Have it told that these have settled; returns at once."""
        self._ids += ids
        if self._ids and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run(), name="teller")

    async def get_ready(self) -> None:
        """Connect: done only once a message has settled, it would keep those waiting that come next."""
        await self._lifeline.try_quietly(partial(notify, []))

    async def close(self) -> None:
        """Tell what is left, and close the connection."""
        self._is_closing = True
        if self._task:
            await self._task
        await self._lifeline.close()

    async def _run(self) -> None:
        # With the database lost it goes on with nothing to tell, so that it is found again when it is there.
        while self._ids or (self._lifeline.is_lost and not self._is_closing):
            payloads = payloads_with(self._ids)
            self._ids = []
            try:
                await self._lifeline.once(partial(notify, payloads), within=PATIENCE_SECONDS)
            except psycopg.Error:
                await asyncio.sleep(PAUSE_SECONDS)
                self._ids.clear()
            else:
                await asyncio.sleep(COALESCING_SECONDS)


async def notify(payloads: Sequence[str], connection: RelayConnection) -> None:
    """Notify whoever listens, once for each payload."""
    await connection.ask(NOTIFY, {"channel": SETTLED_CHANNEL, "payloads": text_array(payloads)})


class ToldSettles(SettlementStore):
    """SettlementStore, and has it told once that is committed."""

    def __init__(self, lifeline: ReconnectingConnection, teller: SettledNotifier) -> None:
        super().__init__(lifeline)
        self._teller = teller

    async def settle(self, settlements: Sequence[Settlement]) -> frozenset[UUID]:
        """Write the outcomes, and have those told that will not change again; what was too late others tell."""
        late = await super().settle(settlements)
        settled = [one.message.id for one in settlements if isinstance(one.outcome, Sent | Dead)]
        self._teller.tell([message_id for message_id in settled if message_id not in late])
        return late


def payloads_with(ids: Sequence[UUID]) -> list[str]:
    """Return what to notify with, so many ids in each."""
    parts = (ids[begin : begin + IDS_A_NOTIFICATION] for begin in range(0, len(ids), IDS_A_NOTIFICATION))
    return [",".join(message_id.hex for message_id in part) for part in parts]
