"""Apply any sequence of operations to the real outbox and to its model, and compare them.

Two relays claim and settle through the relay's code under its role, each with its own connections. Operators act
through the console's code under its role. After each step every row must match the model.
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
"""After more lost leases a message is a suspect, which other tests cover."""

MOST_MESSAGES = 4
"""Few messages, so that both relays claim the same ones."""

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
"""An outcome that ignores the lease and an outcome that needs it. More outcomes would make each pair rarer."""

CONTEXT = AuditContext("ada", "a test")
DISCARD = text("update outbox_messages set dead_reason = 'discarded' where id = :id and status = 'dead'")
ROWS = "select id, status, dead_reason, attempt, lost_leases, lease_token from outbox_messages"

picks = st.integers(min_value=0, max_value=7)
"""An index into several messages, counted back from the newest, modulo their number."""


class SimulatedRelay:
    """One relay: its two connections, and the messages it has claimed."""

    def __init__(self, url: str) -> None:
        self._connections = [ReconnectingConnection(url, purpose) for purpose in ("claim", "settle")]
        claiming, settling = self._connections
        self.claims = {lease: ClaimStore(claiming, lease) for lease in (EXPIRED, A_DAY)}
        self.settlements = SettlementStore(settling)
        self.held: list[ClaimedMessage] = []

    async def close(self) -> None:
        for database in self._connections:
            await database.close()


class OutboxMachine(RuleBasedStateMachine):
    """The rules. The caller sets ``database`` and ``engines`` (of the API and the console)."""

    database: ClassVar[Database]
    engines: ClassVar[dict[str, Engine]]

    @initialize(first=st.sampled_from(OUTCOMES), late=st.sampled_from(LATE_OUTCOMES))
    def begin(self, first: Outcome, late: Outcome) -> None:
        """Start with a late relay: random steps would hardly ever produce a late `sent` after a wrong death."""
        self.model = Model()
        self.runner = asyncio.Runner()
        self.ending = ExitStack()
        self.owner = self.ending.enter_context(self.database.connect())
        self.owner.execute("delete from outbox_messages")
        self.relays = [SimulatedRelay(self.database.relay_url) for _ in range(2)]
        self.enqueue(1, is_committed=True)
        self.overtake(0, first, late)

    def teardown(self) -> None:
        for relay in self.relays:
            self.runner.run(relay.close())
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

    @rule(relay=st.integers(0, 1), limit=st.integers(1, 4), expires_at_once=st.booleans())
    def claim(self, relay: int, limit: int, *, expires_at_once: bool) -> None:
        claimable = self.model.claimable()
        is_lost = expires_at_once and all(
            self.model.messages[one].lost_once_claimed < MOST_LOST_LEASES for one in claimable
        )
        lease = EXPIRED if is_lost else A_DAY
        claims = self.relays[relay].claims[lease]
        # The cursor passes messages that the other relay holds. A claim finds them again only in its next full scan.
        claims.request_full_scan(CODES)
        claimed = self.runner.run(claims.claim(CODES, limit))
        assert {message.id for message in claimed} <= claimable
        assert len(claimed) == min(limit, len(claimable))
        for message in claimed:
            self.model.messages[message.id].claim(message.lease_token, expires_at_once=lease is EXPIRED)
        self.relays[relay].held += claimed

    @precondition(lambda self: self.model.claimable())
    @rule(relay=st.integers(0, 1), first=st.sampled_from(OUTCOMES), late=st.sampled_from(LATE_OUTCOMES))
    def overtake(self, relay: int, first: Outcome, late: Outcome) -> None:
        """Let one relay be late: the other claims and settles the same messages first."""
        self.claim(relay, MOST_MESSAGES, expires_at_once=True)
        self.claim(1 - relay, MOST_MESSAGES, expires_at_once=False)
        self.settle(1 - relay, 0, first, first)
        self.settle(relay, 0, late, late)

    @precondition(lambda self: self.relays[0].held or self.relays[1].held)
    @rule(relay=st.integers(0, 1), pick=picks, outcome=st.sampled_from(OUTCOMES), other=st.sampled_from(OUTCOMES))
    def settle(self, relay: int, pick: int, outcome: Outcome, other: Outcome) -> None:
        """Settle up to two messages together. They stay in ``held``: after a lost reply, a relay settles again."""
        held = self.relays[relay].held
        if not held:
            return
        picked = {message.id: message for message in (held[-1 - pick % len(held)], held[-1 - (pick + 1) % len(held)])}
        settlements = [Settlement(*pair) for pair in zip(picked.values(), (outcome, other), strict=False)]
        late = self.runner.run(self.relays[relay].settlements.settle(settlements))
        expected = [
            one
            for one in settlements
            if self.model.messages[one.message.id].settle(one.message.lease_token, one.outcome)
        ]
        assert late == {one.message.id for one in settlements if one not in expected}

    @rule()
    def expire(self) -> None:
        """Expire all leases of messages that may lose one."""
        for message_id, message in self.model.messages.items():
            if message.lease_token and message.lost_once_claimed < MOST_LOST_LEASES:
                self.owner.execute(
                    "update outbox_messages set due_at = now(), leased_until = now() where id = %s", [message_id]
                )
                message.expire()

    @rule(relay=st.integers(0, 1))
    def kill(self, relay: int) -> None:
        """Replace a relay with a new one. The old leases remain."""
        self.runner.run(self.relays[relay].close())
        self.relays[relay] = SimulatedRelay(self.database.relay_url)

    @precondition(lambda self: self.model.messages)
    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        message_id = self._picked(pick)
        was_dead = self.model.messages[message_id].status == Status.DEAD
        with Session(self.engines["console"]) as session:
            try:
                requeue(session, message_id, CONTEXT)
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
    def every_row_matches_the_model(self) -> None:
        rows = {message_id: tuple(columns) for message_id, *columns in self.owner.execute(ROWS)}
        assert rows == {message_id: message.columns for message_id, message in self.model.messages.items()}

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
