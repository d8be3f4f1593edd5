"""Sent messages by delivery state, and bounces by cause: in lists, on the command line and on the pages."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session, sessionmaker

from operator_console.filters import MessageFilter
from operator_console.queries import causes
from operator_console.queries.causes import list_bounce_causes
from operator_console.queries.messages import list_messages
from outbox_relay.model import ClaimedMessage, Sent
from shared.reports.report import BounceCause, ReportKind
from tests.support.consoles import operators_token, shared_console
from tests.support.delivery_reports import apply_reports, bounce, store
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox

UNKNOWN = {"cause": BounceCause.RECIPIENT, "is_permanent": True, "status_code": "5.1.1"}
LISTED = {"cause": BounceCause.POLICY, "is_permanent": True, "status_code": "5.7.1"}


def sent(outbox: Outbox) -> ClaimedMessage:
    outbox.put()
    [message] = outbox.claim()
    outbox.settle([(message, Sent("smtp:mx:25", "queued-1"))])
    return message


def bounced(outbox: Outbox, diagnostic: str, **facts: Any) -> UUID:
    message = sent(outbox)
    bounce(outbox.database, message, diagnostic=diagnostic, **facts)
    return message.id


@pytest.fixture
def reported(outbox: Outbox) -> dict[str, list[UUID]]:
    """Messages with all states, and one without a report."""
    messages = {
        "unknown": [bounced(outbox, f"550 5.1.1 <x{number}@example.org>: no such user", **UNKNOWN) for number in "12"],
        "listed": [bounced(outbox, "554 5.7.1 refused", **LISTED)],
        "delivered": [sent(outbox).id],
        "none": [sent(outbox).id],
    }
    store(outbox.database, ReportKind.DELIVERED, message_id=messages["delivered"][0])
    # A report about a former recipient does not count.
    bounce(outbox.database, sent(outbox), to="former@example.org", **UNKNOWN)
    apply_reports(outbox.database)
    return messages


def test_lists_show_the_delivery_state_and_filter_by_it(
    reported: dict[str, list[UUID]], console: sessionmaker[Session]
) -> None:
    with console() as session:
        every = {one.id: one.delivery_state for one in list_messages(session, MessageFilter()).messages}
        found = list_messages(session, MessageFilter(delivery_state=ReportKind.BOUNCED)).messages
    [delivered], [none] = reported["delivered"], reported["none"]
    assert (every[delivered], every[none]) == ("delivered", None)
    assert {one.id for one in found} == {*reported["unknown"], *reported["listed"]}
    assert {one.delivery_state for one in found} == {"bounced"}


def test_bounces_are_counted_by_cause_and_found_by_it(reported: dict[str, list[UUID]], outbox: Outbox) -> None:
    unknown, listed = lines_of(outboxctl(outbox.database, "bounces"))
    assert (unknown["messages"], unknown["cause"], unknown["status_code"]) == (2, "recipient", "5.1.1")
    assert unknown["diagnostic"] == "550 5.1.1 … no such user"
    assert (listed["messages"], listed["cause"], listed["newest_id"]) == (1, "policy", str(reported["listed"][0]))
    found = lines_of(outboxctl(outbox.database, "list", "--bounce-cause", unknown["bounce_cause"]))
    assert {one["id"] for one in found} == {str(message_id) for message_id in reported["unknown"]}
    assert {one["delivery_state"] for one in found} == {"bounced"}
    assert lines_of(outboxctl(outbox.database, "list", "--delivery-state", "complained")) == []


@pytest.mark.usefixtures("reported")
def test_bounces_of_earlier_weeks_are_not_counted(outbox: Outbox) -> None:
    outbox.execute("update delivery_reports set received_at = received_at - interval '8 days' where cause = 'policy'")
    assert [one["cause"] for one in lines_of(outboxctl(outbox.database, "bounces"))] == ["recipient"]


@pytest.mark.usefixtures("reported")
def test_a_count_that_is_not_complete_says_so(console: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    with console() as session:
        assert list_bounce_causes(session).is_complete
        monkeypatch.setattr(causes, "MAX_BOUNCES", 2)
        found = list_bounce_causes(session)
    assert (found.is_complete, sum(one.messages for one in found.causes)) == (False, 2)


def test_the_pages_lead_from_a_cause_to_its_messages(reported: dict[str, list[UUID]], outbox: Outbox) -> None:
    console, token = shared_console(outbox.database), operators_token(outbox.database)
    found = console.ask("GET", "/v1/messages/bounces", token).json
    cause = found["causes"][0]["bounce_cause"]
    browser = console.signed_in(token)
    for path in ("/", "/messages/bounces"):
        assert f'href="/messages?bounce_cause={cause}"' in browser.get(path).text
    page = browser.get(f"/messages?bounce_cause={cause}").text
    assert page.count('class="badge bounced"') == len(reported["unknown"])
    assert "550 5.1.1 … no such user" in page
    listed = console.ask("GET", "/v1/messages", token, query_string={"delivery_state": "delivered"}).json["messages"]
    assert [one["id"] for one in listed] == [str(message_id) for message_id in reported["delivered"]]
    message = browser.get(f"/messages/{reported['listed'][0]}").text
    assert 'class="badge bounced"' in message
