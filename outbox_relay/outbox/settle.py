"""Settling: write what became of many messages, in one statement."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.model import ClaimedMessage, Dead, Deferred, Sent, Settlement, Unsent
from outbox_relay.outbox.settle_sql import (
    NOTHING_SENT,
    SETTLE_SENT,
    SETTLE_SENT_LATE,
    SETTLE_UNSENT,
    STANDING_AS_TOLD,
    Told,
    late_parameters,
    sent_parameters,
    standing_parameters,
    unsent_parameters,
)

Statement = tuple[str, dict[str, Any]]

NOBODY = frozenset[UUID]()


BY_ID = attrgetter("message.id.int")


class SettlementStore:
    """The relay's pen in the outbox; ``has_deferred`` is whether anything was put off, for want of what it needs.

    ``on_death`` is called once a death is written: it may have a fallback.
    """

    is_sent_a_fact: ClassVar[bool] = True
    """Whether *sent* is true whoever holds the lease by now."""

    def __init__(self, lifeline: ReconnectingConnection) -> None:
        self._lifeline = lifeline
        self.has_deferred = False
        self.on_death: Callable[[], None] = _nobody_to_tell

    async def settle(self, settlements: Sequence[Settlement]) -> frozenset[UUID]:
        """Write the outcomes, each message at most once among them; return the messages that this was too late for.

        One statement for what was sent and one for the rest, each committed when this returns; waits for as long as
        the database is away. It is too late once a lease was lost: what becomes of the message others decide.
        """
        # In the order of ids, so that two relays that settle the same messages cannot deadlock.
        ordered = sorted(settlements, key=BY_ID)
        sent = [(message, outcome) for message, outcome in ordered if isinstance(outcome, Sent)]
        unsent = [(message, outcome) for message, outcome in ordered if not isinstance(outcome, Sent)]
        late = await self._write_sent(sent) if sent else NOBODY
        if unsent:
            late |= await self._write_unsent(unsent)
        if any(isinstance(outcome, Dead) for _, outcome in unsent):
            self.on_death()
        return late

    async def get_ready(self) -> None:
        """Connect, and have the statement planned that writes what was sent: the first message would wait for both."""

        async def work(connection: RelayConnection) -> None:
            await connection.ask(SETTLE_SENT, NOTHING_SENT)

        await self._lifeline.try_quietly(work)

    async def _write_sent(self, sent: Sequence[tuple[ClaimedMessage, Sent]]) -> frozenset[UUID]:
        """Write that these were sent, whoever holds the lease by now.

        Return those of which that cannot be: another relay has done so before, or their content has changed since.
        """
        late = await self.write_fenced(sent, SETTLE_SENT, sent_parameters(sent))
        if not late:
            return NOBODY
        lost = [(message, outcome) for message, outcome in sent if message.id in late]
        return await self.write_fenced(lost, SETTLE_SENT_LATE, late_parameters(lost))

    async def _write_unsent(self, unsent: Sequence[tuple[ClaimedMessage, Unsent]]) -> frozenset[UUID]:
        """Write what else became of these; return those that this was too late for."""
        self.has_deferred |= any(isinstance(outcome, Deferred) and outcome.delay for _, outcome in unsent)
        return await self.write_fenced(unsent, *self.statement_of_unsent(unsent))

    def statement_of_unsent(self, unsent: Sequence[tuple[ClaimedMessage, Unsent]]) -> Statement:
        """Return what writes these; the first column of its rows is the id of a message that it has written."""
        return SETTLE_UNSENT, unsent_parameters(unsent)

    async def write_fenced(self, told: Told, statement: str, parameters: dict[str, Any]) -> frozenset[UUID]:
        """Write outcomes that hold only under their lease; return the messages whose lease was lost.

        What an earlier try has written whose answer got lost is not among them.
        """
        is_again = False

        async def work(connection: RelayConnection) -> frozenset[UUID]:
            nonlocal is_again
            is_first, is_again = not is_again, True
            answer = await connection.ask(statement, parameters)
            if answer.rowcount == len(told):
                return NOBODY
            written = {row[0] for row in answer.rows}
            if not is_first:
                standing = await connection.ask(STANDING_AS_TOLD, standing_parameters(told))
                written |= {row[0] for row in standing.rows}
            return frozenset(message.id for message, _ in told) - written

        return await self._lifeline.run(work)


def _nobody_to_tell() -> None:
    """Do nothing: whoever settles has no fallbacks to look for."""
