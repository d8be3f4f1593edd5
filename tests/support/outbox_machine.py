"""Everything that can happen to messages, in any order, on the real outbox and on its model at once.

Two relays with a connection each claim and settle through the relay's own code, under its role; operators act
through the console's, under theirs. After each step every row must stand as the model says.
"""

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from operator_console.actions.audit import AuditContext
from operator_console.actions.requeue import requeue
from operator_console.errors import NotDeadError
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import (
    ClaimedMessage,
    Dead,
    Deferred,
    Failure,
    FailureClass,
    Outcome,
    QueueKey,
    Retry,
    Sent,
    Settlement,
)
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementStore
from shared.db.engine import create_database_engine
from shared.enqueue import enqueue
from shared.vocabulary import Channel, DeadReason, Priority, Status
from tests.support.conservation import a_new_message
from tests.support.databases import Database
from tests.support.outbox import A_DAY, EXPIRED
from tests.support.outbox_model import Model, ModelMessage

CODES = QueueKey(Channel.EMAIL, Priority.HIGH)

MOST_LOST_LEASES = 1
"""A message that has lost more of them is suspected of killing its relay, which is another story."""

MOST_MESSAGES = 4
"""Few, so that the relays meet over the same ones."""

REFUSED = Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user")
GREYLISTED = Failure(FailureClass.TRANSIENT, "smtp:mx:25", "450 4.2.0 try later")
OUTCOMES: list[Outcome] = [
    Sent("smtp:mx:25", "queued-1"),
    Retry(A_DAY, GREYLISTED),
    Deferred(timedelta(0)),
    Dead(DeadReason.REJECTED, REFUSED),
    Dead(DeadReason.EXPIRED),
]
LATE_OUTCOMES = [OUTCOMES[0], OUTCOMES[3]]
"""A fact and a belief; more of them would only make each pair rarer."""

ACT = AuditContext("ada", "a test")
DISCARD = text("update outbox_messages set dead_reason = 'discarded' where id = :id and status = 'dead'")
STANDING = "select id, status, dead_reason, attempt, lost_leases, lease_token from outbox_messages"

picks = st.integers(min_value=0, max_value=7)
"""Which of several, counted back from the newest, and round."""


class Hand:
    """One relay: its two connections, and what it remembers of its claims."""

    def __init__(self, url: str) -> None:
        self._lifelines = [ReconnectingConnection(url, purpose) for purpose in ("claim", "settle")]
        claiming, settling = self._lifelines
        self.claims = {lease: ClaimStore(claiming, lease) for lease in (EXPIRED, A_DAY)}
        self.settles = SettlementStore(settling)
        self.held: list[ClaimedMessage] = []

    async def close(self) -> None:
        for database in self._lifelines:
            await database.close()


class OutboxMachine(RuleBasedStateMachine):
    """The rules. ``database`` and ``engines`` (of the API and the console) are set by whoever runs it."""

    database: ClassVar[Database]
    engines: ClassVar[dict[str, Engine]]

    @initialize(meanwhile=st.sampled_from(OUTCOMES), late=st.sampled_from(LATE_OUTCOMES))
    def begin(self, meanwhile: Outcome, late: Outcome) -> None:
        """Begin with a relay that was late: left to the jitter, a late fact on a wrong death would hardly ever come."""
        self.model = Model()
        self.runner = asyncio.Runner()
        self.ending = ExitStack()
        self.owner = self.ending.enter_context(self.database.connect())
        self.owner.execute("delete from outbox_messages")
        self.hands = [Hand(self.database.relay_url) for _ in range(2)]
        self.enqueue(1, is_committed=True)
        self.overtake(0, meanwhile, late)

    def teardown(self) -> None:
        for hand in self.hands:
            self.runner.run(hand.close())
        self.ending.close()
        self.runner.close()

    @precondition(lambda self: len(self.model.messages) < MOST_MESSAGES)
    @rule(count=st.integers(1, 2), is_committed=st.booleans())
    def enqueue(self, count: int, *, is_committed: bool) -> None:
        with Session(self.engines["api"]) as session:
            added = [enqueue(session, a_new_message()).id for _ in range(count)]
            if is_committed:
                session.commit()
                self.model.messages |= {message_id: ModelMessage() for message_id in added}

    @rule(hand=st.integers(0, 1), limit=st.integers(1, 4), is_over_at_once=st.booleans())
    def claim(self, hand: int, limit: int, *, is_over_at_once: bool) -> None:
        claimable = self.model.claimable()
        is_lost = is_over_at_once and all(
            self.model.messages[one].lost_once_claimed < MOST_LOST_LEASES for one in claimable
        )
        lease = EXPIRED if is_lost else A_DAY
        claims = self.hands[hand].claims[lease]
        claimed = self.runner.run(claims.claim(CODES, limit))
        assert {message.id for message in claimed} <= claimable
        assert len(claimed) == min(limit, len(claimable))
        for message in claimed:
            self.model.messages[message.id].claim(message.lease_token, is_over_at_once=lease is EXPIRED)
        self.hands[hand].held += claimed

    @precondition(lambda self: self.model.claimable())
    @rule(hand=st.integers(0, 1), meanwhile=st.sampled_from(OUTCOMES), late=st.sampled_from(LATE_OUTCOMES))
    def overtake(self, hand: int, meanwhile: Outcome, late: Outcome) -> None:
        """Let one relay be late with what it has claimed: the other claims and settles the same before it does."""
        self.claim(hand, MOST_MESSAGES, is_over_at_once=True)
        self.claim(1 - hand, MOST_MESSAGES, is_over_at_once=False)
        self.settle(1 - hand, 0, meanwhile, meanwhile)
        self.settle(hand, 0, late, late)

    @precondition(lambda self: self.hands[0].held or self.hands[1].held)
    @rule(hand=st.integers(0, 1), pick=picks, outcome=st.sampled_from(OUTCOMES), other=st.sampled_from(OUTCOMES))
    def settle(self, hand: int, pick: int, outcome: Outcome, other: Outcome) -> None:
        """Settle up to two in one go. They are kept: a relay whose answer got lost will settle them again."""
        held = self.hands[hand].held
        if not held:
            return
        picked = {message.id: message for message in (held[-1 - pick % len(held)], held[-1 - (pick + 1) % len(held)])}
        settlements = [Settlement(*pair) for pair in zip(picked.values(), (outcome, other), strict=False)]
        late = self.runner.run(self.hands[hand].settles.settle(settlements))
        expected = [
            one
            for one in settlements
            if self.model.messages[one.message.id].settle(one.message.lease_token, one.outcome)
        ]
        assert late == {one.message.id for one in settlements if one not in expected}

    @rule()
    def expire(self) -> None:
        """Let all leases run out of those messages that may lose one."""
        for message_id, message in self.model.messages.items():
            if message.lease_token and message.lost_once_claimed < MOST_LOST_LEASES:
                self.owner.execute(
                    "update outbox_messages set due_at = now(), leased_until = now() where id = %s", [message_id]
                )
                message.expire()

    @rule(hand=st.integers(0, 1))
    def kill(self, hand: int) -> None:
        """Replace a relay by one that remembers nothing; its leases stay behind."""
        self.runner.run(self.hands[hand].close())
        self.hands[hand] = Hand(self.database.relay_url)

    @precondition(lambda self: self.model.messages)
    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        message_id = self._picked(pick)
        was_dead = self.model.messages[message_id].status == Status.DEAD
        with Session(self.engines["console"]) as session:
            try:
                requeue(session, message_id, ACT)
                session.commit()
            except NotDeadError:
                assert not was_dead
            else:
                assert was_dead
                self.model.messages[message_id].requeue()

    @precondition(lambda self: self.model.dead())
    @rule(pick=picks)
    def discard(self, pick: int) -> None:
        dead = self.model.dead()
        message_id = dead[pick % len(dead)]
        with self.engines["console"].begin() as connection:
            connection.execute(DISCARD, {"id": message_id})
        self.model.messages[message_id].discard()

    @invariant()
    def every_row_stands_as_the_model_says(self) -> None:
        rows = {message_id: tuple(standing) for message_id, *standing in self.owner.execute(STANDING)}
        assert rows == {message_id: message.standing for message_id, message in self.model.messages.items()}

    def _picked(self, pick: int) -> UUID:
        ids = list(self.model.messages)
        return ids[pick % len(ids)]


def machine_on(database: Database) -> type[OutboxMachine]:
    """Return the machine for that database."""
    engines = {
        "api": create_database_engine(database.api_url, application_name="signpost-api", pool_size=1),
        "console": create_database_engine(database.console_url, application_name="outboxctl", pool_size=1),
    }
    return type("OutboxMachine", (OutboxMachine,), {"database": database, "engines": engines})
