"""Messages that lost leases without an outcome: how they are claimed, and when they are trusted again."""

from datetime import timedelta

from outbox_relay.model import Dead, Deferred, Failure, FailureClass, Retry, Sent
from shared.vocabulary import DeadReason
from tests.support.outbox import EXPIRED, Outbox

GREYLISTED = Failure(FailureClass.TRANSIENT, "smtp:mx:25", "450 4.2.0 try later")
AT_ONCE = timedelta(0)


def lose_leases(outbox: Outbox, times: int) -> None:
    for _ in range(times):
        assert outbox.claim(10, lease=EXPIRED) or outbox.claim_suspect(lease=EXPIRED)


def test_batch_claims_skip_a_message_that_lost_two_leases(outbox: Outbox) -> None:
    outbox.put()
    lose_leases(outbox, 1)
    assert [message.lost_leases for message in outbox.claim(lease=EXPIRED)] == [1]
    assert outbox.claim(10) == []


def test_suspects_are_claimed_one_at_a_time_the_longest_due_first(outbox: Outbox) -> None:
    [later] = outbox.put(lost_leases="2")
    [sooner] = outbox.put(lost_leases="2", due_at="now() - interval '1 minute'")
    claimed = [outbox.claim_suspect() for _ in range(3)]
    assert [message and message.id for message in claimed] == [sooner, later, None]


def test_a_suspect_s_lost_leases_are_counted_too(outbox: Outbox) -> None:
    outbox.put()
    lose_leases(outbox, 2)
    found = [outbox.claim_suspect(lease=EXPIRED) for _ in range(4)]
    assert [message and (message.lost_leases, message.is_poison) for message in found] == [
        (2, False), (3, False), (4, False), (5, True),
    ]  # fmt: skip


def test_only_suspects_are_claimed_as_suspects(outbox: Outbox) -> None:
    outbox.put()
    outbox.put(lost_leases="1")
    outbox.put(lost_leases="2", due_at="now() + interval '1 minute'")
    assert outbox.claim_suspect() is None
    assert len(outbox.claim(10)) == 2


def test_suspects_of_a_newer_release_wait_for_a_newer_relay(outbox: Outbox) -> None:
    outbox.take_any_priority()
    for words in ({"template": "'of_tomorrow'"}, {"locale": "'eo'"}, {"priority": "'digest'"}):
        outbox.put(lost_leases="2", **words)
    assert outbox.claim_suspect() is None


def test_a_suspect_with_a_result_is_trusted_again(outbox: Outbox) -> None:
    outbox.put(lost_leases="2")
    suspect = outbox.claim_suspect()
    assert suspect is not None
    outbox.settle([(suspect, Retry(AT_ONCE, GREYLISTED))])
    assert [message.lost_leases for message in outbox.claim()] == [0]


def test_a_suspect_that_was_not_tried_stays_a_suspect(outbox: Outbox) -> None:
    outbox.put(lost_leases="2")
    suspect = outbox.claim_suspect()
    assert suspect is not None
    outbox.settle([(suspect, Deferred(AT_ONCE))])
    assert outbox.claim() == []
    assert outbox.claim_suspect() is not None


def test_a_late_sent_replaces_a_death_by_poison(outbox: Outbox) -> None:
    outbox.put(lost_leases="4")
    slow = outbox.claim_suspect(lease=EXPIRED)
    judge = outbox.claim_suspect()
    assert slow is not None
    assert judge is not None
    assert judge.is_poison
    outbox.settle([(judge, Dead(DeadReason.POISON))])
    assert outbox.row(slow.id).dead_reason == "poison"
    outbox.settle([(slow, Sent("smtp:mx:25"))])
    assert (outbox.row(slow.id).status, outbox.row(slow.id).dead_reason) == ("sent", None)
