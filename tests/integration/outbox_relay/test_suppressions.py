"""The suppression list: filled by bounces and complaints, and obeyed before the first attempt."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest

from outbox_relay.model import ClaimedMessage, Sent
from shared.reports.report import BounceCause, ReportKind
from tests.support.accounts import ask_for_reset
from tests.support.api import ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.delivery_reports import FEEDBACK_KEYS, RECIPIENT, apply_reports, bounce, store
from tests.support.fallbacks import fall_back
from tests.support.mail_sink import MailSink, mail_sink
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox
from tests.support.relaying import relaying, until_all_are_settled

ADA = "ada@example.org"
KEYS = ",".join(f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in FEEDBACK_KEYS.by_id.items())
BOTH = {"email": ADA, "phone": "+33612345678"}
REASON = ("--reason", "a test")
DAYS = "select reason, strikes, round(extract(epoch from until - since) / 86400) from suppressions order by reason"


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, ACTIVATION_FALLBACK="both") as api:
        yield api


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with mail_sink() as sink:
        yield sink


def sent(outbox: Outbox, **columns: str) -> ClaimedMessage:
    outbox.put(**columns)
    [message] = outbox.claim()
    outbox.settle([(message, Sent("smtp:mx:25", "queued-1"))])
    return message


def bounced(outbox: Outbox, message: Any, **facts: Any) -> None:
    bounce(outbox.database, message, **facts)
    apply_reports(outbox.database)


def complained(outbox: Outbox, message: Any) -> None:
    store(outbox.database, ReportKind.COMPLAINED, message_id=message.id)
    apply_reports(outbox.database)


def deliver(outbox: Outbox, sink: MailSink) -> None:
    async def run() -> None:
        async with relaying(outbox, sink, FEEDBACK_KEYS=KEYS) as parts:
            await until_all_are_settled(outbox, parts)

    asyncio.run(run())


def test_each_bounce_after_a_suppression_suppresses_for_longer(outbox: Outbox) -> None:
    for expected in ((1, 1), (2, 7), (3, 30), (4, 30)):
        first, second = sent(outbox), sent(outbox, recipient="'Ada@Example.org'")
        bounced(outbox, first)
        bounced(outbox, second)  # it was sent before the suppression began
        assert outbox.execute(DAYS) == [("bounced", *expected)]
        outbox.execute("update suppressions set until = now(), since = now() - (until - since)")


def test_a_late_bounce_of_a_message_from_before_the_end_of_the_suppression_is_no_other_strike(outbox: Outbox) -> None:
    first, late = sent(outbox), sent(outbox)
    bounced(outbox, first)
    outbox.execute("update suppressions set until = now(), since = now() - interval '1 day'")
    bounced(outbox, late)
    assert outbox.execute(DAYS) == [("bounced", 1, 1)]
    assert outbox.number("select count(*) from suppressions where until > now()") == 0
    bounced(outbox, sent(outbox))
    assert outbox.execute(DAYS) == [("bounced", 2, 7)]


@pytest.mark.parametrize(
    "facts",
    [
        {"cause": BounceCause.POLICY},
        {"cause": BounceCause.CONTENT},
        {"cause": BounceCause.OTHER},
        {"cause": BounceCause.MAILBOX_FULL, "is_permanent": False},
        {"to": "a.typo@example.org"},
    ],
)
def test_other_failures_suppress_nothing(outbox: Outbox, facts: dict[str, Any]) -> None:
    bounced(outbox, sent(outbox), **facts)
    assert outbox.execute(DAYS) == []


def test_an_entry_of_an_older_key_is_found_and_renewed_with_the_newest(outbox: Outbox) -> None:
    old = type(FEEDBACK_KEYS)({"old": FEEDBACK_KEYS["old"]})
    bounce(outbox.database, sent(outbox))
    apply_reports(outbox.database, old)
    outbox.execute("update suppressions set until = now()")
    bounced(outbox, sent(outbox))
    assert outbox.execute("select key_id, strikes from suppressions") == [("new", 2)]


def test_a_message_to_a_suppressed_address_dies_without_an_attempt(outbox: Outbox, sink: MailSink) -> None:
    bounced(outbox, sent(outbox))
    [suppressed] = outbox.put(recipient="'Ada@Example.org'")
    [other] = outbox.put(recipient="'grace@example.org'")
    deliver(outbox, sink)
    row = outbox.row(suppressed)
    assert (row.status, row.dead_reason, row.attempt) == ("dead", "suppressed", 0)
    assert outbox.row(other).status == "sent"
    outbox.execute("update suppressions set until = now()")
    [later] = outbox.put()
    deliver(outbox, sink)
    assert outbox.row(later).status == "sent"


def test_an_entry_of_an_older_key_is_obeyed(outbox: Outbox, sink: MailSink) -> None:
    bounce(outbox.database, sent(outbox))
    apply_reports(outbox.database, type(FEEDBACK_KEYS)({"old": FEEDBACK_KEYS["old"]}))
    [message] = outbox.put()
    deliver(outbox, sink)
    assert outbox.row(message).dead_reason == "suppressed"


def test_clients_see_a_suppressed_address_as_rejected_and_the_message_falls_back(
    api: ApiUnderTest, outbox: Outbox, sink: MailSink
) -> None:
    api.activated(email="taken@example.org")
    outbox.execute("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
    seen = []
    for address in ("taken@example.org", "free@example.org"):
        outboxctl(outbox.database, "suppressions", "add", address, *REASON, FEEDBACK_KEYS=KEYS)
        without_fallback = api.registered(email=address)
        registration_id = api.registered(email=address, phone=BOTH["phone"], channel="email")
        deliver(outbox, sink)
        delivery = api.look_up(without_fallback).json["delivery"]
        fallbacks = fall_back(api.database)
        seen.append((delivery, fallbacks, api.look_up(registration_id).json["channel"]))
        outbox.execute("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
    assert seen[0] == seen[1]
    assert (seen[0][0]["status"], seen[0][0]["problem"]) == ("dead", "address_rejected")
    assert seen[0][1:] == (1, "sms")


def test_a_complaint_stops_all_but_codes_to_a_proven_address(api: ApiUnderTest, outbox: Outbox, sink: MailSink) -> None:
    api.activated(email=ADA)
    [welcome] = api.rows("select * from outbox_messages where template = 'welcome'")
    outbox.execute("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
    complained(outbox, welcome)
    assert outbox.execute(DAYS) == [("complained", 1, 365)]
    ask_for_reset(api, ADA)
    registration_id = api.registered(email=ADA)
    deliver(outbox, sink)
    [(status,)] = outbox.execute("select status from outbox_messages where template = 'password_reset'")
    assert status == "sent"
    assert api.look_up(registration_id).json["delivery"]["problem"] == "address_rejected"


def test_operators_list_add_and_remove_with_an_audit_row(outbox: Outbox) -> None:
    def run(*arguments: str) -> Any:
        return outboxctl(outbox.database, "suppressions", *arguments, FEEDBACK_KEYS=KEYS)

    bounced(outbox, sent(outbox))
    assert run("add", "Ada@example.org", "--days", "3", *REASON).exit_code == 0
    assert run("add", "+33 6 12 34 56 78", *REASON).exit_code == 0
    listed = lines_of(run("list", "--address", ADA))
    assert sorted((entry["reason"], entry["strikes"]) for entry in listed) == [("bounced", 1), ("operator", 1)]
    assert len(lines_of(run("list"))) == 3
    assert run("remove", ADA, *REASON).stdout == "removed 2 entries\n"
    again = run("remove", ADA, *REASON)
    assert (again.exit_code, again.stderr) == (1, "outboxctl: the address is not suppressed\n")
    assert run("add", "nobody", *REASON).exit_code == 2
    audited = outboxctl(outbox.database, "audit")
    assert [row["action"] for row in lines_of(audited)] == [
        "remove_suppression",
        "add_suppression",
        "add_suppression",
    ]
    assert "ada" not in audited.stdout.lower().replace('"operator"', "")


def test_ended_suppressions_are_deleted_after_a_month(outbox: Outbox) -> None:
    bounced(outbox, sent(outbox))
    for days, left in ((29, 1), (31, 0)):
        outbox.execute("update suppressions set until = now() - %s * interval '1 day'", days)
        outbox.execute("select signpost_prune_suppressions(10)")
        assert outbox.number("select count(*) from suppressions") == left


def test_the_list_contains_no_address(outbox: Outbox) -> None:
    bounced(outbox, sent(outbox), **RECIPIENT)
    assert outbox.execute("select suppressions::text from suppressions where suppressions::text ilike '%ada%'") == []
