"""Delivery reports: matched to sent messages, in any order, and applied once."""

from collections.abc import Iterator
from itertools import permutations, product
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from outbox_relay.channels.smpp.receipts import IdForm, receipt_in
from outbox_relay.model import ClaimedMessage, Dead, Failure, FailureClass, Sent
from shared.reports.report import BounceCause, ReportKind, ReportSource
from shared.vocabulary import Channel, DeadReason
from tests.support.api import ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.delivery_reports import POLICY, RECIPIENT, apply_reports, bounce, run_round, store, store_report
from tests.support.fallbacks import budgets_of, fall_back
from tests.support.maintenance import maintenance_on, turn
from tests.support.outbox import Outbox
from tests.support.smsc import receipt

BOTH = {"email": "ada@example.org", "phone": "+33612345678"}
BY_MAIL = Sent("smtp:mx:25", "queued-1")
BY_SMS = Sent("twilio:api", "SM1")
REJECTED = Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user"))


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, ACTIVATION_FALLBACK="both") as api:
        yield api


def sent(outbox: Outbox, outcome: Sent = BY_MAIL, channel: Channel = Channel.EMAIL) -> ClaimedMessage:
    [message] = outbox.claim(channel=channel)
    assert outbox.settle([(message, outcome)]) == 1
    return message


def state_of(outbox: Outbox, message_id: UUID) -> str | None:
    rows = outbox.execute("select state from delivery_states where message_id = %s", message_id)
    return rows[0][0] if rows else None


def counted(kind: str, cause: str = "", source: str = "lmtp") -> float:
    labels = {"kind": kind, "cause": cause, "source": source}
    return REGISTRY.get_sample_value("signpost_delivery_reports_total", labels) or 0.0


def test_a_bounce_of_a_sent_message_is_its_state_and_counted(outbox: Outbox) -> None:
    outbox.put()
    message, before = sent(outbox), counted("bounced", "recipient")
    bounce(outbox.database, message)
    assert apply_reports(outbox.database) == 1
    assert state_of(outbox, message.id) == "bounced"
    assert outbox.row(message.id).status == "sent"
    assert counted("bounced", "recipient") - before == 1
    assert apply_reports(outbox.database) == 0


def test_a_report_that_arrives_before_its_message_is_sent_waits(outbox: Outbox) -> None:
    outbox.put()
    outbox.put(channel="sms", recipient="'+33612345678'")
    [mail], [sms] = outbox.claim(), outbox.claim(channel=Channel.SMS)
    bounce(outbox.database, mail)
    receipt = {"provider": BY_SMS.provider, "provider_message_id": BY_SMS.provider_message_id}
    store(outbox.database, ReportKind.DELIVERED, ReportSource.TWILIO, **receipt)
    assert apply_reports(outbox.database) == 0
    outbox.settle([(mail, BY_MAIL), (sms, BY_SMS)])
    assert apply_reports(outbox.database) == 2
    assert [state_of(outbox, message.id) for message in (mail, sms)] == ["bounced", "delivered"]


def test_a_repeated_report_is_stored_once(outbox: Outbox) -> None:
    outbox.put()
    message = sent(outbox)
    for _ in range(2):
        bounce(outbox.database, message)
        apply_reports(outbox.database)
    assert outbox.number("select count(*) from delivery_reports") == 1


def test_a_message_has_few_reports_whatever_its_recipient_writes_into_bounces(outbox: Outbox) -> None:
    outbox.put()
    message = sent(outbox)
    for number, cause, is_permanent in product(range(3), BounceCause, (True, False)):
        facts = {"status_code": f"5.1.{number}", "diagnostic": f"550 {number}"}
        bounce(outbox.database, message, cause=cause, is_permanent=is_permanent, **facts)
    assert outbox.number("select count(*) from delivery_reports") == 2 * len(BounceCause)


def test_reports_without_a_message_are_counted_once_they_are_not_recent(outbox: Outbox) -> None:
    receipt = {"provider": "smpp:smsc", "provider_message_id": "of another system"}
    store(outbox.database, ReportKind.DELIVERED, ReportSource.SMPP, **receipt)
    store(outbox.database, ReportKind.DELAYED, ReportSource.SMPP, **receipt)
    for age, expected in ((0, 0), (11, 1)):
        outbox.execute("update delivery_reports set received_at = now() - %s * interval '1 min'"
                       " where kind = 'delayed'", age)  # fmt: skip
        run_round(outbox.database)
        assert REGISTRY.get_sample_value("signpost_reports_unmatched") == expected


def test_an_smsc_may_use_an_id_again_within_a_week_and_repetitions_change_nothing(outbox: Outbox) -> None:
    days, messages = ("261125", "261128"), []
    for day in days:
        outbox.put(channel="sms", recipient="'+33612345678'")
        messages.append(sent(outbox, Sent("smpp:smsc", "7"), Channel.SMS))
        for repeated in (day, day, days[0]):
            found = receipt_in(receipt("7", day=repeated))
            report = found and found.report("smpp:smsc", IdForm.SAME)
            assert report
            store_report(outbox.database, report)
            apply_reports(outbox.database)
    assert [state_of(outbox, message.id) for message in messages] == ["delivered"] * 2
    assert outbox.number("select count(*) from delivery_reports") == 2


@pytest.mark.parametrize("provider", ["twilio:other", "twilio:api"])
def test_a_receipt_belongs_to_the_newest_message_of_its_provider_with_that_id(outbox: Outbox, provider: str) -> None:
    outbox.put(count=2, channel="sms", recipient="'+33612345678'")
    messages = outbox.claim(2, channel=Channel.SMS)
    for message in messages:
        outbox.settle([(message, BY_SMS)])
    store(
        outbox.database,
        ReportKind.DELIVERED,
        ReportSource.TWILIO,
        provider=provider,
        provider_message_id=BY_SMS.provider_message_id,
    )
    apply_reports(outbox.database)
    newest = max(messages, key=lambda message: message.id)
    states = {message.id: state_of(outbox, message.id) for message in messages}
    assert [message_id for message_id, state in states.items() if state] == (
        [newest.id] if provider == BY_SMS.provider else []
    )


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ((ReportKind.DELAYED, ReportKind.DELIVERED), "delivered"),
        ((ReportKind.DELAYED, ReportKind.DELIVERED, ReportKind.BOUNCED), "bounced"),
        ((ReportKind.COMPLAINED, ReportKind.DELIVERED, ReportKind.BOUNCED), "complained"),
    ],
)
def test_the_state_does_not_depend_on_the_order_of_the_reports(
    outbox: Outbox, kinds: tuple[ReportKind, ...], state: str
) -> None:
    for order in permutations(kinds):
        outbox.put()
        message = sent(outbox)
        for kind in order:
            store(outbox.database, kind, message_id=message.id)
            apply_reports(outbox.database)
        assert state_of(outbox, message.id) == state


def test_a_bounce_of_a_former_recipient_does_not_count(outbox: Outbox) -> None:
    outbox.put()
    message = sent(outbox)
    bounce(outbox.database, message, to="a.typo@example.org")
    assert apply_reports(outbox.database) == 1
    assert state_of(outbox, message.id) is None
    [(reason,)] = outbox.execute("select ignored_because from delivery_reports")
    assert reason == "other_recipient"


def test_a_report_with_a_tag_waits_for_a_relay_with_keys(outbox: Outbox) -> None:
    outbox.put()
    message = sent(outbox)
    bounce(outbox.database, message)
    store(outbox.database, ReportKind.DELAYED, message_id=message.id)
    assert apply_reports(outbox.database, keys=None) == 1
    assert state_of(outbox, message.id) == "delayed"
    assert apply_reports(outbox.database) == 1


def test_a_report_after_the_erasure_of_its_message_is_not_applied_and_ends_within_a_week(outbox: Outbox) -> None:
    outbox.put()
    message = sent(outbox)
    outbox.execute("update outbox_messages set recipient = 'erased', user_id = null, token_id = null, payload = '{}'")
    bounce(outbox.database, message)
    store(outbox.database, ReportKind.COMPLAINED, message_id=message.id)
    assert apply_reports(outbox.database) == 0
    outbox.execute("update delivery_reports set received_at = now() - interval '8 days'")
    assert outbox.execute("select signpost_prune_unmatched_reports(10)") == [(2,)]


def test_a_report_counts_for_a_week_after_its_message_was_sent(outbox: Outbox) -> None:
    outbox.put(count=2)
    old, new = outbox.claim(2)
    outbox.settle([(old, BY_MAIL), (new, BY_MAIL)])
    for message, days in ((old, 8), (new, 6)):
        outbox.execute(
            "update outbox_messages set settled_at = now() - %s * interval '1 day' where id = %s", days, message.id
        )
        bounce(outbox.database, message)
    assert apply_reports(outbox.database) == 1
    assert [state_of(outbox, message.id) for message in (old, new)] == [None, "bounced"]


def test_a_report_does_not_count_once_the_code_was_entered(api: ApiUnderTest, outbox: Outbox) -> None:
    registration_id = api.registered(**BOTH)
    message = sent(outbox)
    assert api.activate(registration_id).status_code == 200
    bounce(outbox.database, message)
    assert apply_reports(outbox.database) == 1
    assert state_of(outbox, message.id) is None
    assert fall_back(api.database) == 0


@pytest.mark.parametrize("facts", [RECIPIENT, POLICY], ids=["recipient", "policy"])
def test_a_permanent_bounce_falls_back_once(api: ApiUnderTest, outbox: Outbox, facts: dict[str, Any]) -> None:
    registration_id = api.registered(**BOTH)
    message = sent(outbox)
    for more in (facts, {"cause": BounceCause.OTHER, "is_permanent": True, "status_code": "5.0.0"}):
        bounce(outbox.database, message, **more)
    apply_reports(outbox.database)
    assert fall_back(api.database) == 1
    assert fall_back(api.database) == 0
    [second, first] = api.messages(registration_id)
    assert (second.channel, second.fallback_of, first.status) == ("sms", message.id, "sent")


def test_a_temporary_bounce_does_not_fall_back(api: ApiUnderTest, outbox: Outbox) -> None:
    api.registered(**BOTH)
    bounce(outbox.database, sent(outbox), is_permanent=False)
    apply_reports(outbox.database)
    assert fall_back(api.database) == 0


def test_a_bounce_does_not_fall_back_a_second_time(api: ApiUnderTest, outbox: Outbox) -> None:
    api.registered(**BOTH)
    [message] = outbox.claim()
    outbox.settle([(message, REJECTED)])
    assert fall_back(api.database) == 1
    outbox.execute("update outbox_messages set status = 'sent', dead_reason = null where id = %s", message.id)
    bounce(outbox.database, message)
    assert apply_reports(outbox.database) == 1
    assert fall_back(api.database) == 0


@pytest.mark.parametrize("ended", ["expires_at = now()", "attempts_left = 0"])
def test_a_bounce_does_not_fall_back_once_the_code_has_ended(api: ApiUnderTest, outbox: Outbox, ended: str) -> None:
    api.registered(**BOTH)
    message = sent(outbox)
    outbox.execute(f"update tokens set {ended}")
    bounce(outbox.database, message)
    apply_reports(outbox.database)
    assert fall_back(api.database) == 0
    assert outbox.number("select count(*) from delivery_reports where fallback_due_at is not null") == 0


def test_a_bounce_beyond_a_budget_does_not_fall_back_later_either(api: ApiUnderTest, outbox: Outbox) -> None:
    api.registered(**BOTH)
    bounce(outbox.database, sent(outbox))
    apply_reports(outbox.database)
    assert fall_back(api.database, budgets_of(total=0, per_prefix=1, per_number=1)) == 0
    assert fall_back(api.database) == 0


@pytest.mark.parametrize("kind", list(ReportKind))
def test_clients_see_the_state_in_the_same_way_for_a_taken_address(
    api: ApiUnderTest, outbox: Outbox, kind: ReportKind
) -> None:
    api.activated(email="taken@example.org")
    outbox.execute("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
    seen = []
    for address in ("taken@example.org", "free@example.org"):
        registration_id = api.registered(email=address, phone="+33612345678", channel="email")
        store(outbox.database, kind, message_id=sent(outbox).id, **(RECIPIENT if kind is ReportKind.BOUNCED else {}))
        before = api.look_up(registration_id).json["delivery"]
        apply_reports(outbox.database)
        after = api.look_up(registration_id).json["delivery"]
        fallbacks = fall_back(api.database)
        seen.append((before["state"], after, fallbacks, api.look_up(registration_id).json["channel"]))
    assert seen[0] == seen[1]
    assert (seen[0][0], seen[0][1]["status"], seen[0][1]["state"]) == (None, "sent", kind.value)
    assert seen[0][2:] == ((1, "sms") if kind is ReportKind.BOUNCED else (0, "email"))


def test_reports_without_a_match_are_deleted_after_a_week_and_others_with_their_message(outbox: Outbox) -> None:
    outbox.put()
    message = sent(outbox)
    bounce(outbox.database, message)
    apply_reports(outbox.database)
    store(outbox.database, ReportKind.DELAYED, message_id=uuid4())
    maintenance = maintenance_on(outbox)
    turn(maintenance)
    assert outbox.number("select count(*) from delivery_reports") == 2
    outbox.execute("update delivery_reports set received_at = received_at - interval '100 days'")
    turn(maintenance)
    assert outbox.execute("select message_id from delivery_reports") == [(message.id,)]
    outbox.execute("delete from outbox_messages")
    turn(maintenance)
    assert outbox.number("select count(*) from delivery_reports") == 0


def test_the_relay_may_change_only_whether_a_fallback_is_due(outbox: Outbox) -> None:
    columns = outbox.execute(
        "select attname from pg_attribute where attrelid = 'delivery_reports'::regclass and attnum > 0"
        " and has_column_privilege('signpost_relay', attrelid, attnum, 'update')"
    )
    assert columns == [("fallback_due_at",)]
