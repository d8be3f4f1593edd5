"""Claiming: lease the longest due messages of a lane, or one suspect, in one short statement."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from psycopg.errors import QueryCanceled

from outbox_relay.claim_statements import (
    CLAIM,
    CLAIM_AGAIN,
    CLAIM_SUSPECT,
    CLAIM_SUSPECT_AGAIN,
    CLAIM_TRACED,
    FIND_SUSPECT,
    claim_parameters,
    suspect_parameters,
)
from outbox_relay.claimed_rows import Lease, claimed_messages, traced
from outbox_relay.database import Lifeline, RelayConnection
from outbox_relay.floor import Place, ScanFloor, seen_until
from outbox_relay.grasp import Grasp
from outbox_relay.messages import ClaimedMessage, LaneKey
from outbox_relay.spans import record_claims
from shared.tracing import recorder
from shared.vocabulary import CHANNELS, AnyChannel, Urgency

Ask = Callable[[RelayConnection], Awaitable[list[ClaimedMessage]]]


class Claims:
    """The relay's hand in the outbox, one scan floor per lane."""

    def __init__(self, lifeline: Lifeline, lease: timedelta) -> None:
        self._lifeline = lifeline
        self._lease = lease
        self._floors = {LaneKey(channel, urgency): ScanFloor() for channel in CHANNELS for urgency in Urgency}
        self.has_claimed = False

    async def claim(self, key: LaneKey, limit: int) -> list[ClaimedMessage]:
        """Lease the ``limit`` longest due messages of the lane, skipping suspects and those that others hold.

        One statement, committed when this returns; waits for as long as the database is away. A lease
        not settled in time is free again, so a message can be delivered twice; channels pass its id
        on as idempotency key.
        """
        grasp = Grasp(key, limit)
        return await self._until_answered(grasp, partial(self._claim_from_floor, grasp))

    async def claim_suspect(self, channels: Collection[AnyChannel]) -> ClaimedMessage | None:
        """Lease the longest due of the messages that have lost two leases or more, if there is any."""
        parameters = suspect_parameters(channels) | self._leasing(uuid4())

        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            again = await self._leased(connection, CLAIM_SUSPECT_AGAIN, parameters)
            return again or await self._leased(connection, CLAIM_SUSPECT, parameters)

        return next(iter(await self._lifeline.run(work)), None)

    async def has_suspects(self, channels: Collection[AnyChannel]) -> bool:
        """Tell whether any such message is due."""
        parameters = suspect_parameters(channels)

        async def work(connection: RelayConnection) -> bool:
            return bool((await connection.ask(FIND_SUSPECT, parameters)).rows)

        return await self._lifeline.run(work)

    def sweep_soon(self, key: LaneKey) -> None:
        """Have the lane's next claim begin before everything: something was put back below its floor."""
        self._floors[key].sweep_soon()

    async def _until_answered(self, grasp: Grasp, ask: Ask) -> list[ClaimedMessage]:
        async def work(connection: RelayConnection) -> list[ClaimedMessage]:
            try:
                return await self._claim_again(connection, grasp) or await ask(connection)
            except QueryCanceled:
                grasp.forget()
                raise

        messages = await self._lifeline.run(work)
        self.has_claimed = True
        return messages

    async def _claim_again(self, connection: RelayConnection, grasp: Grasp) -> list[ClaimedMessage]:
        if grasp.lost_from is None:
            return []
        parameters = claim_parameters(grasp.key, grasp.lost_from, grasp.limit) | self._leasing(grasp.token)
        return await self._leased(connection, CLAIM_AGAIN, parameters)

    async def _claim_from_floor(self, grasp: Grasp, connection: RelayConnection) -> list[ClaimedMessage]:
        floor, clock = self._floors[grasp.key], asyncio.get_running_loop().time
        began = clock()
        began_at = floor.next(began)
        grasp.reaches(began_at)
        try:
            messages, claimed_at = await self._claim_due(connection, grasp, began_at)
        except QueryCanceled:
            floor.took(began_at, began, clock())
            raise
        floor.took(began_at, began, clock())
        if claimed_at:
            floor.reached(seen_until(messages, grasp.limit, claimed_at), began_at)
        return messages

    async def _claim_due(
        self, connection: RelayConnection, grasp: Grasp, begin_at: Place
    ) -> tuple[list[ClaimedMessage], datetime | None]:
        """Lease what is due from there; return it, and when that was by the server's clock, if anything was due."""
        statement = CLAIM_TRACED if recorder() else CLAIM
        parameters = claim_parameters(grasp.key, begin_at, grasp.limit) | self._leasing(grasp.token)
        lease, rows = await self._run(connection, statement, parameters)
        messages = claimed_messages(lease, rows)
        if taker := recorder():
            messages = traced(messages, rows)
            record_claims(taker, messages, asyncio.get_running_loop().time() - lease.began)
        return messages, rows[0].claimed_at if rows else None

    def _leasing(self, token: UUID) -> dict[str, Any]:
        return {"lease": self._lease, "lease_token": token}

    async def _leased(
        self, connection: RelayConnection, statement: str, parameters: dict[str, Any]
    ) -> list[ClaimedMessage]:
        """Run a statement that leases, and return what it has leased."""
        return claimed_messages(*await self._run(connection, statement, parameters))

    async def _run(
        self, connection: RelayConnection, statement: str, parameters: dict[str, Any]
    ) -> tuple[Lease, list[Any]]:
        began = asyncio.get_running_loop().time()
        lease = Lease(parameters["lease_token"], began, began + self._lease.total_seconds())
        answer = await connection.ask(statement, parameters)
        return lease, answer.rows
