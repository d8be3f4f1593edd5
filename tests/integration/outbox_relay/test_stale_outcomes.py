"""Two relays settle the same message at once: `sent` wins in any order."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from outbox_relay.model import Dead, Deferred, Failure, FailureClass, Outcome, Retry, Sent, Settlement
from outbox_relay.outbox.settle import SettlementStore
from shared.vocabulary import DeadReason
from tests.support.connections import LostReplyConnection
from tests.support.gates import row_locked, wait_until_blocked
from tests.support.outbox import A_DAY, EXPIRED, Outbox

SENT = Sent("smtp:mx:25", "queued-1")
OTHER_OUTCOMES: list[Outcome] = [
    Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user")),
    Retry(A_DAY, Failure(FailureClass.TRANSIENT, "smtp:mx:25", "450 4.2.0 try later")),
    Deferred(A_DAY),
]


@pytest.mark.parametrize("is_sent_first", [True, False])
@pytest.mark.parametrize("outcome", OTHER_OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_a_late_sent_and_a_concurrent_other_outcome_end_as_sent(
    outbox: Outbox, outcome: Outcome, *, is_sent_first: bool
) -> None:
    [message_id] = outbox.put()
    [late] = outbox.claim(lease=EXPIRED)
    [wrong] = outbox.claim(lease=A_DAY)
    settles = [(late, SENT), (wrong, outcome)] if is_sent_first else [(wrong, outcome), (late, SENT)]
    with ThreadPoolExecutor(2) as relays:
        # Both transactions have snapshots before either may write. They get the row in this order.
        with row_locked(outbox.database, message_id):
            first = relays.submit(outbox.settle, settles[:1])
            wait_until_blocked(outbox.database, "test")
            second = relays.submit(outbox.settle, settles[1:])
            wait_until_blocked(outbox.database, "test", count=2)
        written = (first.result(), second.result())
    row = outbox.row(message_id)
    assert (row.status, row.dead_reason, row.provider_message_id) == ("sent", None, "queued-1")
    assert row.lease_token is None
    assert written == ((1, 0) if is_sent_first else (1, 1))
    assert outbox.number("select count(*) from delivery_attempts") == (0 if is_sent_first else attempts_used(outcome))


def attempts_used(outcome: Outcome) -> int:
    """Return the attempts that the other outcome costs if it is written first."""
    return 0 if isinstance(outcome, Deferred) else 1


def test_a_message_sent_by_two_relays_counts_once(outbox: Outbox) -> None:
    [message_id] = outbox.put()
    [late] = outbox.claim(lease=EXPIRED)
    [again] = outbox.claim(lease=A_DAY)
    assert outbox.settle([(late, SENT)]) == 1
    assert outbox.settle([(again, Sent("smtp:mx:25", "queued-2"))]) == 0
    assert outbox.row(message_id).provider_message_id == "queued-1"


@pytest.mark.parametrize(
    ("token", "corrected"), [("null", "recipient = 'bob@example.org'"), ("gen_random_uuid()", "token_id = null")]
)
def test_a_late_sent_does_not_apply_to_a_corrected_or_requeued_message(
    outbox: Outbox, token: str, corrected: str
) -> None:
    ids = outbox.put(count=2, token_id=token)
    both = outbox.claim(2, lease=EXPIRED)
    outbox.execute(
        f"update outbox_messages set {corrected}, lease_token = null, leased_until = null where id = %s", ids[0]
    )

    assert outbox.settle([(message, SENT) for message in both]) == 1

    assert [outbox.row(message_id).status for message_id in ids] == ["pending", "sent"]
    assert outbox.settle([(message, SENT) for message in outbox.claim()]) == 1


def test_a_sent_outcome_does_not_apply_to_a_corrected_message_that_another_relay_holds(outbox: Outbox) -> None:
    [message_id] = outbox.put(token_id="null")
    [stale] = outbox.claim(lease=EXPIRED)
    outbox.execute("update outbox_messages set recipient = 'bob@example.org'")
    [fresh] = outbox.claim(lease=A_DAY)
    assert outbox.settle([(stale, SENT)]) == 0
    assert outbox.row(message_id).status == "pending"
    assert outbox.settle([(fresh, SENT)]) == 1


@pytest.mark.parametrize("outcome", [SENT, *OTHER_OUTCOMES], ids=lambda outcome: type(outcome).__name__)
def test_a_settlement_with_a_lost_reply_counts(outbox: Outbox, outcome: Outcome) -> None:
    [message_id] = outbox.put()
    outbox.claim(lease=EXPIRED)
    [message] = outbox.claim()

    async def settle() -> frozenset[UUID]:
        database = LostReplyConnection(outbox.database.relay_url, "test")
        try:
            return await SettlementStore(database).settle([Settlement(message, outcome)])
        finally:
            await database.close()

    assert asyncio.run(settle()) == frozenset()
    row = outbox.row(message_id)
    assert (row.status, row.attempt) == (
        outcome.word if isinstance(outcome, Sent | Dead) else "pending",
        outcome.spent,
    )
