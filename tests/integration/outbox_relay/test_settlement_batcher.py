"""Which outcomes one statement writes, and which claimed messages are not sent again."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import ClaimedMessage, Dead, Deferred, Failure, FailureClass, Outcome, QueueKey, Retry, Sent
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementBatcher, SettlementStore
from shared.vocabulary import Channel, DeadReason, Priority
from tests.support.claimed import a_claimed_message
from tests.support.outbox import A_DAY, Outbox

KEY = QueueKey(Channel.EMAIL, Priority.HIGH)
SENT = Sent("smtp:mx:25", "queued-1")
RETRY = Retry(timedelta(hours=1), Failure(FailureClass.TRANSIENT, "smtp:mx:25", "450 4.2.0 try later"))
DEFERRED = Deferred(timedelta(minutes=1))
DEAD = Dead(DeadReason.EXPIRED)


class Written:
    """A batcher, and its reports."""

    def __init__(self, database: ReconnectingConnection) -> None:
        self.delays: list[timedelta | None] = []
        self.deaths = 0
        self.store = SettlementStore(database)
        self.batcher = SettlementBatcher(self.store, on_settled=self.delays.append, on_dead=self.count_death)

    def count_death(self) -> None:
        self.deaths += 1


def unconnected() -> SettlementBatcher:
    return Written(ReconnectingConnection("postgresql://unused.invalid/", "test")).batcher


@pytest.mark.parametrize(
    ("outcomes", "delay", "deaths"),
    [
        ([SENT, SENT], None, 0),
        ([SENT, RETRY, DEFERRED, DEAD], timedelta(minutes=1), 1),
        ([DEAD, DEAD], None, 1),
        ([Deferred(timedelta(0))], timedelta(0), 0),
    ],
    ids=["sent", "one of each", "dead", "released"],
)
def test_a_batch_reports_its_shortest_delay_and_that_a_message_died(
    outbox: Outbox, outcomes: list[Outcome], delay: timedelta | None, deaths: int
) -> None:
    outbox.put(count=len(outcomes))

    async def settle(database: ReconnectingConnection) -> Written:
        written = Written(database)
        claimed = written.batcher.hold(await ClaimStore(database, A_DAY).claim(KEY, 10))
        for message, outcome in zip(claimed, outcomes, strict=True):
            written.batcher.put(message, outcome)
        await written.batcher.flush()
        return written

    written = outbox.with_database(settle)
    assert (written.delays, written.deaths) == ([delay], deaths)
    assert (written.batcher.held, written.batcher.settled) == (0, len(outcomes))
    assert written.store.has_deferred is (DEFERRED in outcomes)


def test_a_second_outcome_of_a_message_waits_for_the_next_statement(outbox: Outbox) -> None:
    [message_id] = outbox.put()

    async def settle(database: ReconnectingConnection) -> list[tuple[str, int]]:
        batcher, rows = Written(database).batcher, []
        [message] = await ClaimStore(database, A_DAY).claim(KEY, 1)
        for outcome in (RETRY, SENT):
            batcher.put(message, outcome)
        for _ in range(2):
            await batcher.flush()
            row = outbox.row(message_id)
            rows.append((row.status, row.attempt))
        return rows

    assert outbox.with_database(settle) == [("pending", 1), ("sent", 2)]


def test_a_sent_message_that_is_claimed_again_is_not_held() -> None:
    batcher, sent, other = unconnected(), a_claimed_message(), a_claimed_message(id=UUID(int=7))
    batcher.put(sent, SENT)
    assert batcher.hold([sent, other]) == [other]
    assert batcher.held == 1


@pytest.mark.parametrize("outcome", [RETRY, DEFERRED], ids=["retry", "deferred"])
def test_a_message_that_was_not_sent_and_is_claimed_again_is_held(outcome: Outcome) -> None:
    batcher, message = unconnected(), a_claimed_message()
    batcher.put(message, outcome)
    assert batcher.hold([message]) == [message]


@pytest.mark.parametrize(
    "corrected", [a_claimed_message(recipient="grace@example.org"), a_claimed_message(token_id=uuid4())]
)
def test_a_sent_message_that_was_corrected_since_is_held(corrected: ClaimedMessage) -> None:
    batcher = unconnected()
    batcher.put(a_claimed_message(), SENT)
    assert batcher.hold([corrected]) == [corrected]


def test_an_outcome_that_postgresql_rejects_hides_none_that_was_written_with_it(outbox: Outbox) -> None:
    good, bad = outbox.put(count=2)
    impossible = Retry(timedelta.max, RETRY.failure)  # such a date does not exist in PostgreSQL

    async def settle(database: ReconnectingConnection) -> None:
        batcher = Written(database).batcher
        claimed = {message.id: message for message in await ClaimStore(database, A_DAY).claim(KEY, 2)}
        batcher.put(claimed[good], SENT)
        batcher.put(claimed[bad], impossible)
        await batcher.flush()

    with capture_logs() as logged:
        outbox.with_database(settle)
    assert [outbox.row(each).status for each in (good, bad)] == ["sent", "pending"]
    assert [line["event"] for line in logged] == ["messages sent", "outcome not written"]
