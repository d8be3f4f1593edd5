"""Replies that differ only in addresses, numbers and ids have the same cause."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from devstack.cluster import Cluster
from operator_console.filters import MessageFilter
from operator_console.queries import causes
from operator_console.queries.causes import list_causes
from operator_console.queries.messages import list_messages
from outbox_relay.model import Dead, Failure, FailureClass
from shared.vocabulary import DeadReason
from tests.support.databases import Database, fresh_database
from tests.support.operators import lines_of, outboxctl, put_dead
from tests.support.outbox import Outbox


@pytest.fixture(scope="module")
def reading_only(cluster: Cluster) -> Iterator[Database]:
    """One database for all tests that only call a function."""
    with fresh_database(cluster) as database:
        yield database


@pytest.mark.parametrize(
    ("error", "pattern"),
    [
        ("550 5.1.1 <ada@example.org>: no such user", "550 5.1.1 … no such user"),
        ("RCPT: 550 5.1.1 <ada@example.org>: no such user", "RCPT: 550 5.1.1 … no such user"),
        ("HTTP 400 the number +33612345678 is not valid", "HTTP 400 the number … is not valid"),
        ("HTTP 400 21614: 'To' number +33612345678 is not a mobile number",
         "HTTP 400 21614: 'To' number … is not a mobile number"),
        ("HTTP 400 33612345678: unknown", "HTTP 400 … unknown"),
        ('HTTP 422 {"code": "invalid_recipient"}', "HTTP 422 invalid_recipient …"),
        ('HTTP 422 {"to": "+33612345678", "error": {"type":"input.to", "code":"bad-number"}}',
         "HTTP 422 input.to bad-number … … …"),
        ('HTTP 422 {"code": "33612345678", "error": "ada@example.org", "type": "' + "a" * 41 + '"}', "HTTP 422 … … …"),
        ('HTTP 400 the "code": "invalid" is wrong', "HTTP 400 the … is wrong"),
        ("HTTP 503", "HTTP 503"),
        ("submit_sm: ESME_RINVDSTADR (0x0000000B)", "submit_sm: ESME_RINVDSTADR (0x0000000B)"),
        ("submit_sm: SMSC error (0x00000403)", "submit_sm: SMSC error (0x00000403)"),
        ("bind: ESME_RBINDFAIL (0x0000000D)", "bind: ESME_RBINDFAIL (0x0000000D)"),
        ("slept 1234 seconds", "slept … seconds"),
        ("554 5.7.1 <eve>: Relay access denied", "554 5.7.1 … Relay access denied"),
        ("550-5.1.1 The account ada@example.org does not exist. abc12si99def.7 - gsmtp",
         "550-5.1.1 The account … does not exist. … - gsmtp"),
        ("421 4.7.0 mx3.example.org too many connections from 192.0.2.7", "421 4.7.0 … too many connections from …"),
        ("451 queue id BCDFGHJKLM busy", "451 queue id … busy"),
        ('400 the number "Ada Lovelace" is not valid', "400 the number … is not valid"),
        ("[Errno 111] Connect call failed ('127.0.0.1', 25)", "[Errno … Connect call failed … …"),
        ("invalid number +33612345678", "invalid number …"),
        ("timed out", "timed out"),
        ("", ""),
    ],
)  # fmt: skip
def test_error_patterns_omit_what_differs_between_messages(reading_only: Database, error: str, pattern: str) -> None:
    [(found,)] = Outbox(reading_only).execute("select signpost_error_pattern(%s)", error)
    assert found == pattern


@pytest.mark.parametrize("error", ["x" * 500, "a." * 250, "<" * 500, "5" * 500, "é…\n\t" * 100, "\\" * 300, '"' * 301])
def test_any_reply_has_a_pattern_and_a_cause(reading_only: Database, error: str) -> None:
    [(found, cause)] = Outbox(reading_only).execute(
        "select signpost_error_pattern(%s), signpost_cause('rejected', null, %s)", error, error
    )
    assert len(found) <= 200
    assert len(cause) == 12


def test_groups_count_each_cause_with_its_first_and_last_message(outbox: Outbox) -> None:
    for number in range(3):
        put_dead(outbox, last_error=f"'550 5.1.1 <user{number}@example.org>: no such user'", provider="'smtp:mx:25'",
                 settled_at=f"now() - interval '{number} h'")  # fmt: skip
    put_dead(outbox, last_error="'550 5.1.1 <eve@example.org>: no such user'", provider="'smtp:other:25'")
    put_dead(outbox, dead_reason="'expired'", last_error="null")
    groups = lines_of(outboxctl(outbox.database, "groups"))
    found = [(group["messages"], group["dead_reason"], group["provider"], group["error"]) for group in groups]
    assert found[0] == (3, "rejected", "smtp:mx:25", "550 5.1.1 … no such user")
    assert set(found[1:]) == {
        (1, "rejected", "smtp:other:25", "550 5.1.1 … no such user"),
        (1, "expired", None, None),
    }
    [(first, last)] = outbox.execute(
        "select min(settled_at), max(settled_at) from outbox_messages where provider = 'smtp:mx:25'"
    )
    assert (groups[0]["first_seen"], groups[0]["last_seen"]) == (first.isoformat(), last.isoformat())


@pytest.mark.parametrize(
    "errors",
    [
        ("RCPT: 550 5.1.1 no such user", "RCPT: 550 5.2.1 no such user"),
        ("HTTP 400 21614: not valid", "HTTP 400 21211: not valid"),
        ("submit_sm: SMSC error (0x00000403)", "submit_sm: SMSC error (0x00000404)"),
    ],
)
def test_replies_with_different_status_codes_are_different_causes(outbox: Outbox, errors: tuple[str, str]) -> None:
    for error in errors:
        put_dead(outbox, last_error=f"'{error}'")
    assert sorted(group["error"] for group in lines_of(outboxctl(outbox.database, "groups"))) == sorted(errors)


def test_a_dead_message_has_a_cause_until_it_is_requeued(outbox: Outbox) -> None:
    outbox.put(token_id="null")
    [message] = outbox.claim()
    outbox.settle([(message, Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no")))])
    [group] = lines_of(outboxctl(outbox.database, "groups"))
    [listed] = lines_of(outboxctl(outbox.database, "list", "--cause", group["cause"]))
    assert listed["id"] == str(message.id)
    assert listed["cause"] == group["cause"]
    outboxctl(outbox.database, "requeue", str(message.id), "--reason", "mended")
    assert lines_of(outboxctl(outbox.database, "groups")) == []


def test_the_filter_by_cause_finds_only_its_messages(outbox: Outbox, console: sessionmaker[Session]) -> None:
    theirs = put_dead(outbox, count=3, last_error="'552 5.2.2 mailbox full'")
    put_dead(outbox, count=2, last_error="'550 5.1.1 no such user'")
    with console() as session:
        largest = list_causes(session).causes[0]
        page = list_messages(session, MessageFilter(cause=largest.cause))
    assert sorted(message.id for message in page.messages) == theirs


def test_too_many_causes_make_an_incomplete_list(
    outbox: Outbox, console: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "MAX_CAUSES", 2)
    for word in ("one", "two", "three"):
        put_dead(outbox, last_error=f"'{word}'")
    with console() as session:
        found = list_causes(session)
    assert (len(found.causes), found.is_complete) == (2, False)
