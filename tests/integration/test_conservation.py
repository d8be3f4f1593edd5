"""The conservation check of the chaos tests detects each violation."""

from uuid import UUID

import pytest

from tests.support.conservation import DOMAIN, Ledger, conserved
from tests.support.databases import Database
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox

SENT = "update outbox_messages set status = 'sent', settled_at = now()"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """Three committed messages and one that was rolled back."""
    ledger = Ledger(database)
    ledger.enqueue(3, rolled_back=1)
    return ledger


def arrive(sink: MailSink, message_id: UUID) -> None:
    sink.arrived[f"{message_id}{DOMAIN}"] += 1


def test_messages_sent_and_arrived_once_pass(ledger: Ledger, outbox: Outbox, sink: MailSink) -> None:
    for message_id in ledger.committed:
        arrive(sink, message_id)
    outbox.execute(SENT)
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.pending, tally.copies) == (3, 0, 0)


def test_a_lost_message_is_detected(ledger: Ledger, outbox: Outbox, sink: MailSink) -> None:
    outbox.execute("delete from outbox_messages where id = (select id from outbox_messages limit 1)")
    with pytest.raises(AssertionError, match="committed message is missing"):
        conserved(ledger, sink)


def test_a_message_without_a_commit_is_detected(ledger: Ledger, outbox: Outbox, sink: MailSink) -> None:
    outbox.put()
    with pytest.raises(AssertionError, match="no transaction committed"):
        conserved(ledger, sink)


def test_a_sent_message_that_never_arrived_is_detected(ledger: Ledger, outbox: Outbox, sink: MailSink) -> None:
    outbox.execute(SENT)
    with pytest.raises(AssertionError, match="3 are marked sent and never arrived"):
        conserved(ledger, sink)


def test_a_delivery_from_a_rolled_back_transaction_is_detected(ledger: Ledger, sink: MailSink) -> None:
    [never] = ledger.rolled_back
    arrive(sink, never)
    with pytest.raises(AssertionError, match="rolled-back transaction"):
        conserved(ledger, sink)


def test_a_copy_is_detected_unless_the_message_was_in_flight(ledger: Ledger, outbox: Outbox, sink: MailSink) -> None:
    [claimed] = outbox.claim()
    assert ledger.note_disturbance() == 1
    for _ in range(2):
        arrive(sink, claimed.id)
    assert conserved(ledger, sink).copies == 1
    arrive(sink, claimed.id)
    with pytest.raises(AssertionError, match="1 arrived more often"):
        conserved(ledger, sink)


def test_a_crash_explains_one_copy_of_some_unclaimed_messages(ledger: Ledger, outbox: Outbox, sink: MailSink) -> None:
    [claimed] = outbox.claim()
    [unclaimed, *_] = ledger.committed - {claimed.id}
    for _ in range(2):
        arrive(sink, unclaimed)
    with pytest.raises(AssertionError, match="1 arrived more often"):
        conserved(ledger, sink)
    ledger.note_crash()
    assert conserved(ledger, sink).copies == 1


def test_a_copy_under_another_message_id_is_detected(ledger: Ledger, sink: MailSink) -> None:
    sink.message_ids["ada@example.org"] = {"one", "another"}
    with pytest.raises(AssertionError, match="another Message-ID"):
        conserved(ledger, sink)


def test_poison_is_counted_separately_from_other_deaths(ledger: Ledger, outbox: Outbox, sink: MailSink) -> None:
    died = (
        "update outbox_messages set status = 'dead', settled_at = now(), dead_reason = %s, lost_leases = %s"
        " where id = %s"
    )
    for message_id, reason, lost_leases in zip(
        ledger.committed, ("poison", "poison", "rejected"), (5, 0, 5), strict=True
    ):
        outbox.execute(died, reason, lost_leases, message_id)
    tally = conserved(ledger, sink)
    assert (tally.poisoned, tally.dead) == (1, 2)
