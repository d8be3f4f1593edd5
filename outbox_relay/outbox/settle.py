"""Settlements: write the outcomes of many messages in one statement."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.model import ClaimedMessage, Deferred, Outcome, Sent, Settlement
from outbox_relay.outbox.settle_sql import (
    IS_SETTLED_AS_REPORTED,
    MESSAGES,
    NONE_SENT,
    SettleStatements,
    reported_parameters,
    sent_parameters,
    sent_without_lease_parameters,
    unsent_parameters,
)

Outcomes = Sequence[tuple[ClaimedMessage, Outcome]]

NO_IDS = frozenset[UUID]()
BY_ID = attrgetter("message.id.int")


class SettlementStore:
    """Writes outcomes with the pair of statements of one channel.

    ``has_deferred`` is whether any message was deferred, for want of a provider, a key or the like.
    """

    def __init__(self, database: ReconnectingConnection, statements: SettleStatements = MESSAGES) -> None:
        self._database = database
        self._statements = statements
        self.has_deferred = False

    @property
    def is_sent_final(self) -> bool:
        """Whether a *sent* outcome is valid even after the lease was lost."""
        return self._statements.sent_without_lease is not None

    async def settle(self, settlements: Sequence[Settlement]) -> frozenset[UUID]:
        """Write the outcomes, each message at most once among them; return the messages whose outcome is stale.

        One statement for those that were sent and one for the rest. Each is committed when this returns, which waits
        for as long as the database is away. An outcome is stale once the lease was lost: another relay decides.
        """
        # In the order of ids, so that two relays that settle the same messages cannot deadlock.
        ordered = sorted(settlements, key=BY_ID)
        sent = [(message, outcome) for message, outcome in ordered if isinstance(outcome, Sent)]
        unsent = [(message, outcome) for message, outcome in ordered if not isinstance(outcome, Sent)]
        stale = NO_IDS
        if sent:
            stale = await self._write(
                sent, self._statements.sent, sent_parameters(sent) | self._statements.next_ids(len(sent))
            )
        if stale and self._statements.sent_without_lease:
            lost = [(message, outcome) for message, outcome in sent if message.id in stale]
            stale = await self._write(lost, self._statements.sent_without_lease, sent_without_lease_parameters(lost))
        if unsent:
            self.has_deferred |= any(isinstance(outcome, Deferred) and outcome.delay for _, outcome in unsent)
            stale |= await self._write(
                unsent, self._statements.unsent, unsent_parameters(unsent) | self._statements.next_ids(len(unsent))
            )
        return stale

    async def warm_up(self) -> None:
        """Connect and prepare the statement for sent messages, so that the first message waits for neither."""

        async def work(connection: RelayConnection) -> None:
            await connection.fetch(self._statements.sent, NONE_SENT)

        await self._database.try_quietly(work)

    async def _write(self, outcomes: Outcomes, statement: str, parameters: dict[str, Any]) -> frozenset[UUID]:
        """Run a statement that returns the ids it has written, in the first column; return the ids it has not.

        Messages that an earlier try has written, but whose answer was lost, count as written.
        """
        is_again = False

        async def work(connection: RelayConnection) -> frozenset[UUID]:
            nonlocal is_again
            is_first, is_again = not is_again, True
            written = {row[0] for row in await connection.fetch(statement, parameters)}
            if len(written) < len(outcomes) and not is_first:
                rows = await connection.fetch(IS_SETTLED_AS_REPORTED, reported_parameters(outcomes))
                written |= {row[0] for row in rows}
            return frozenset(message.id for message, _ in outcomes) - written

        return await self._database.run(work)
