"""Lists of messages: filters, pages, and the limit of rows that a statement scans."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import Session, sessionmaker

from operator_console.filters import MessageFilter
from operator_console.queries import messages
from operator_console.queries.messages import list_messages, search_messages, show_message
from shared.ids import uuid7_at
from shared.templates import Template
from shared.vocabulary import Channel, DeadReason, Status
from tests.support.operators import lines_of, outboxctl, put_dead
from tests.support.outbox import Outbox

NOW = datetime.now(UTC)


def pages(console: sessionmaker[Session], wanted: MessageFilter, limit: int) -> list[list[UUID]]:
    """Return the ids of each page."""
    found: list[list[UUID]] = []
    cursor = None
    while True:
        with console() as session:
            page = list_messages(session, wanted, limit=limit, cursor=cursor)
        found.append([message.id for message in page.messages])
        cursor = page.next_cursor
        if cursor is None:
            return found


def at(moment: datetime) -> str:
    """Return the id of a message enqueued at that time, as SQL."""
    return f"'{uuid7_at(int(moment.timestamp() * 1e9), bytes(8))}'"


@pytest.mark.parametrize("looked_at", [50_000, 3, 1])
def test_pages_have_each_message_once_newest_first_for_any_scan_limit(
    outbox: Outbox, console: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(messages, "MAX_ROWS_SCANNED", looked_at)
    ours = put_dead(outbox, count=5)
    outbox.put(count=4)
    ours += put_dead(outbox, count=2)
    found = pages(console, MessageFilter(dead_reason=DeadReason.REJECTED), 3)
    assert [message_id for page in found for message_id in page] == ours[::-1]
    found = pages(console, MessageFilter(template=Template("activation"), status=Status.PENDING), 3)
    assert len([message_id for page in found for message_id in page]) == 4
    assert pages(console, MessageFilter(channel=Channel.SMS), 3)[-1] == []


def test_a_short_page_says_how_far_it_searched(
    outbox: Outbox, console: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_ROWS_SCANNED", 2)
    ids = outbox.put(count=3)
    with console() as session:
        page = list_messages(session, MessageFilter(channel=Channel.SMS))
    assert (page.messages, page.next_cursor) == ((), ids[1])
    assert page.searched_back_to is not None


def test_a_search_continues_until_the_page_is_full_or_time_is_up(
    outbox: Outbox, console: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "SEARCH_SECONDS", 60)  # a busy machine needs more than the default
    monkeypatch.setattr(messages, "MAX_ROWS_SCANNED", 2)
    sms = outbox.put(count=3, channel="sms", recipient="'+33612345678'")
    outbox.put(count=9)
    wanted = MessageFilter(channel=Channel.SMS)
    with console() as session:
        two, whole = (search_messages(session, wanted, limit=limit) for limit in (2, 4))
        rest = search_messages(session, wanted, limit=2, cursor=two.next_cursor)
        newest = search_messages(session, MessageFilter(), limit=1)
        monkeypatch.setattr(messages, "SEARCH_SECONDS", 0)
        cut_short = search_messages(session, wanted, limit=4)
    assert [[message.id for message in page.messages] for page in (two, rest)] == [sms[:0:-1], sms[:1]]
    assert len(newest.messages) == 1
    assert ([message.id for message in whole.messages], whole.next_cursor) == (sms[::-1], None)
    assert (cut_short.messages, cut_short.next_cursor is None) == ((), False)


def test_the_command_line_continues_until_the_limit_is_reached(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_ROWS_SCANNED", 2)
    [sms] = outbox.put(channel="sms", recipient="'+33612345678'")
    outbox.put(count=5)
    [listed] = lines_of(outboxctl(outbox.database, "list", "--channel", "sms"))
    assert listed["id"] == str(sms)


def test_the_last_id_is_the_next_pages_cursor(outbox: Outbox) -> None:
    ids = outbox.put(count=3)
    listed = lines_of(outboxctl(outbox.database, "list", "--before", str(ids[1])))
    assert [message["id"] for message in listed] == [str(ids[0])]


def test_a_message_is_shown_with_its_attempts_oldest_first(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [message_id] = outbox.put()
    for number in (2, 1):
        outbox.execute(
            "insert into delivery_attempts (id, message_id, attempt, outcome) overriding system value"
            " values (%s, %s, %s, 'retry')", number, message_id, number
        )  # fmt: skip
    with console() as session:
        assert [one.attempt for one in show_message(session, message_id).attempts] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--provider", "smtp:mx:25"], 1),
        (["--provider", "smtp:mx"], 0),
        (["--recipient", "Grace@example.org"], 1),
        (["--recipient", "race@example.org"], 0),
        (["--recipient", "+33 6 12 34 56 78"], 1),
        (["--created-after", "2020-01-02"], 3),
        (["--created-before", "2020-01-02"], 1),
        (["--created-after", "2020-01-02T00:00Z"], 3),
        (["--created-before", "2020-01-01T14:00+0200"], 0),
        (["--created-after", "2020-01-02 00:00:00.5Z"], 3),
        (["--created-after", "0020-01-02"], 4),
        (["--created-before", "0020-01-02"], 0),
        (["--created-after", "0001-01-01T00:00:00+1400"], 4),
        (["--created-before", "9999-12-31T23:59:59-1400"], 4),
        (["--created-after", "2020-01-01", "--created-before", "2020-01-02T00:00:00+0200"], 1),
        (["--cause", "no-such-cause"], 0),
    ],
)
def test_filters_find_matching_messages(outbox: Outbox, arguments: list[str], count: int) -> None:
    outbox.put(recipient="'grace@example.org'", provider="'smtp:mx:25'")
    outbox.put(channel="sms", recipient="'+33612345678'")
    outbox.put()
    outbox.execute(f"update outbox_messages set id = {at(datetime(2020, 1, 1, 12, tzinfo=UTC))} where id ="
                   " (select min(id::text)::uuid from outbox_messages)")  # fmt: skip
    outbox.put()
    assert len(lines_of(outboxctl(outbox.database, "list", *arguments))) == count


def test_a_stored_filter_can_be_read_again() -> None:
    wanted = MessageFilter(
        Status.DEAD, DeadReason.EXPIRED, Channel.SMS, Template("welcome"), "twilio:x", "+33612345678",
        NOW - timedelta(days=1), NOW, "0123456789ab",
    )  # fmt: skip
    assert MessageFilter.from_json(wanted.as_json()) == wanted
    assert wanted.masked()["recipient"] == "+33…78"
