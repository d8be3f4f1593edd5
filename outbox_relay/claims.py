"""Claiming: lease the longest due messages of a lane, or one suspect, in one short statement."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from psycopg.errors import Error, InsufficientPrivilege, QueryCanceled, UndefinedTable

from outbox_relay.claim_statements import (
    CLAIM_AGAIN,
    CLAIM_SUSPECT,
    CLAIM_SUSPECT_AGAIN,
    FIND_SUSPECT,
    Search,
    claim_of,
    claim_parameters,
    claim_suspect_parameters,
    suspect_parameters,
)
from outbox_relay.claimed_rows import Lease, claimed_messages, traced
from outbox_relay.database import Lifeline, RelayConnection
from outbox_relay.floor import ANY_ID, Place, ScanFloor, seen_until
from outbox_relay.grasp import Grasp
from outbox_relay.messages import ClaimedMessage, LaneKey
from outbox_relay.prepared import Draft
from outbox_relay.spans import record_claims
from outbox_relay.today import Today
from shared.database import describe
from shared.log import get_logger
from shared.tracing import recorder
from shared.vocabulary import CHANNELS, AnyChannel, Urgency

Ask = Callable[[RelayConnection], Awaitable[list[ClaimedMessage]]]

log = get_logger("relay.claims")


class Question(NamedTuple):
    """A claim as the database is asked for it; drawn up, it may have a draft, which is ready to be sent."""

    grasp: Grasp
    search: Search
    statement: str
    parameters: dict[str, Any]
    draft: Draft | None = None


class Claims:
    """The relay's hand in the outbox, one scan floor per lane."""

    def __init__(self, lifeline: Lifeline, lease: timedelta) -> None:
        self._lifeline = lifeline
        self._lease = lease
        self._floors = {LaneKey(channel, urgency): ScanFloor() for channel in CHANNELS for urgency in Urgency}
        self._today = Today()
        self._drawn_up: dict[LaneKey, Question] = {}
        self.has_claimed = False

    async def claim(self, key: LaneKey, limit: int) -> list[ClaimedMessage]:
        """Lease the ``limit`` longest due messages of the lane, skipping suspects and those that others hold.

        One statement, committed when this returns; waits for as long as the database is away. A lease
        not settled in time is free again, so a message can be delivered twice; channels pass its id
        on as idempotency key.
        """
        grasp = Grasp(key, limit)
        return await self._until_answered(grasp, partial(self._claim_from_floor, grasp))

    async def claim_fresh(self, key: LaneKey, limit: int) -> list[ClaimedMessage]:
        """Lease likewise what was committed just now; what this misses is left to ``claim``."""
        partition = self._today.partition(datetime.now(UTC))
        if partition is None:
            return await self.claim(key, limit)
        question = self._drawn_up.pop(key, None)
        if question is None or (question.grasp.limit, question.search.table) != (limit, partition):
            question = self._fresh(key, limit, partition)
        messages = await self._until_answered(question.grasp, partial(self._claim_from_today, question))
        if not messages:
            self.draw_up(key, limit)
        return messages

    def draw_up(self, key: LaneKey, limit: int) -> None:
        """Have the next claim of what is fresh ready to be sent: for what is done now, no message waits."""
        if partition := self._today.partition(datetime.now(UTC)):
            question = self._fresh(key, limit, partition)
            self._drawn_up[key] = question._replace(draft=self._lifeline.draft(question.statement, question.parameters))

    async def claim_suspect(self, channels: Collection[AnyChannel]) -> ClaimedMessage | None:
        """Lease the longest due of the messages that have lost two leases or more, if there is any."""
        parameters = claim_suspect_parameters(channels) | self._leasing(uuid4())

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

    def is_sweep_due(self, key: LaneKey) -> bool:
        """Tell whether the lane's next claim of whatever is due would begin before everything."""
        return self._floors[key].is_sweep_due(asyncio.get_running_loop().time())

    def sweep_soon(self, key: LaneKey) -> None:
        """Have the lane's next claim begin before everything: something was put back below its floor."""
        self._floors[key].sweep_soon()

    def expect_far(self, key: LaneKey) -> None:
        """Have the lane's next claims ask for what was made long ago, too: some of it may be due."""
        self._floors[key].expect_far()

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
        search = self._near(grasp.key, grasp.lost_from)
        parameters = claim_parameters(grasp.key, search, grasp.limit) | self._leasing(grasp.token)
        return await self._leased(connection, CLAIM_AGAIN, parameters)

    async def _claim_from_floor(self, grasp: Grasp, connection: RelayConnection) -> list[ClaimedMessage]:
        floor, clock = self._floors[grasp.key], asyncio.get_running_loop().time
        began = clock()
        began_at = floor.next(began)
        try:
            question = self._question(grasp, self._near(grasp.key, began_at))
            messages, claimed_at = await self._asked(connection, question)
        except QueryCanceled:
            floor.took(began_at, began, clock())
            raise
        floor.took(began_at, began, clock())
        floor.found(messages, began_at, datetime.now(UTC))
        if claimed_at:
            floor.reached(seen_until(messages, grasp.limit, claimed_at), began_at, claimed_at)
        else:
            floor.found_nothing(began)
        return messages

    async def _claim_from_today(self, question: Question, connection: RelayConnection) -> list[ClaimedMessage]:
        grasp, table = question.grasp, question.search.table
        if not connection.has_own_session or self._today.partition(datetime.now(UTC)) != table:
            return await self._claim_from_floor(grasp, connection)
        try:
            messages, claimed_at = await self._asked(connection, question)
        except (UndefinedTable, InsufficientPrivilege) as error:
            self._leave_partition(table, error)
            return await self._claim_from_floor(grasp, connection)
        except QueryCanceled as error:
            self._leave_partition(table, error)
            raise
        if claimed_at:
            seen = seen_until(messages, grasp.limit, claimed_at)
            self._floors[grasp.key].reached_today(seen, claimed_at, asyncio.get_running_loop().time())
        return messages

    def _leave_partition(self, table: str, error: Error) -> None:
        log.warning("partition not asked by itself", partition=table, **describe(error))
        self._today.leave_for_a_while(datetime.now(UTC))

    def _near(self, key: LaneKey, begin_at: Place) -> Search:
        return Search(begin_at, self._floors[key].ids(begin_at, datetime.now(UTC)))

    def _fresh(self, key: LaneKey, limit: int, partition: str) -> Question:
        return self._question(Grasp(key, limit), Search(self._floors[key].fresh, ANY_ID, partition))

    def _question(self, grasp: Grasp, search: Search) -> Question:
        statement = claim_of(search.table, is_traced=recorder() is not None)
        parameters = claim_parameters(grasp.key, search, grasp.limit) | self._leasing(grasp.token)
        return Question(grasp, search, statement, parameters)

    def _leasing(self, token: UUID) -> dict[str, Any]:
        return {"lease": self._lease, "lease_token": token}

    async def _asked(
        self, connection: RelayConnection, question: Question
    ) -> tuple[list[ClaimedMessage], datetime | None]:
        """Lease what is due there; return it, and when that was by the server's clock, if anything was due."""
        question.grasp.reaches(question.search.begin_at)
        lease, rows = await self._run(connection, question.statement, question.parameters, question.draft)
        messages = claimed_messages(lease, rows)
        if taker := recorder():
            messages = traced(messages, rows)
            record_claims(taker, messages, asyncio.get_running_loop().time() - lease.began)
        return messages, rows[0].claimed_at if rows else None

    async def _leased(
        self, connection: RelayConnection, statement: str, parameters: dict[str, Any]
    ) -> list[ClaimedMessage]:
        """Run a statement that leases, and return what it has leased."""
        return claimed_messages(*await self._run(connection, statement, parameters))

    async def _run(
        self, connection: RelayConnection, statement: str, parameters: dict[str, Any], draft: Draft | None = None
    ) -> tuple[Lease, list[Any]]:
        began = asyncio.get_running_loop().time()
        lease = Lease(parameters["lease_token"], began, began + self._lease.total_seconds())
        answer = await connection.ask(statement, parameters, draft)
        return lease, answer.rows
