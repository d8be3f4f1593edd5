"""Replies that differ in addresses, numbers and ids only are one cause."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from devstack.cluster import Cluster
from operator_console.filters import MessageFilter
from operator_console.queries import causes
from operator_console.queries.causes import list_causes
from operator_console.queries.messages import list_messages
from outbox_relay.outcomes import Dead, Failure, FailureClass
from shared.vocabulary import DeadReason
from tests.support.databases import Database, fresh_database
from tests.support.desk import lines_of, outboxctl, put_dead
from tests.support.outbox import Outbox


@pytest.fixture(scope="module")
def reading_only(cluster: Cluster) -> Iterator[Database]:
    """One database for all that only asks what a text becomes."""
    with fresh_database(cluster) as database:
        yield database


@pytest.mark.parametrize(
    ("error", "pattern"),
    [
        ("550 5.1.1 <ada@example.org>: no such user", "550 5.1.1 … no such user"),
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
def test_what_differs_from_message_to_message_is_taken_out(reading_only: Database, error: str, pattern: str) -> None:
    [(found,)] = Outbox(reading_only).execute("select signpost_error_pattern(%s)", error)
    assert found == pattern


@pytest.mark.parametrize("error", ["x" * 500, "a." * 250, "<" * 500, "5" * 500, "é…\n\t" * 100, "\\" * 300, '"' * 301])
def test_no_reply_is_too_odd_to_die_of(reading_only: Database, error: str) -> None:
    [(found, cause)] = Outbox(reading_only).execute(
        "select signpost_error_pattern(%s), signpost_cause('rejected', null, %s)", error, error
    )
    assert len(found) <= 200
    assert len(cause) == 12


def test_groups_count_each_cause_with_its_first_and_last_death(outbox: Outbox) -> None:
    for number in range(3):
        put_dead(outbox, last_error=f"'550 5.1.1 <user{number}@example.org>: no such user'", provider="'smtp:mx:25'",
                 settled_at=f"now() - interval '{number} h'")  # fmt: skip
    put_dead(outbox, last_error="'550 5.1.1 <eve@example.org>: no such user'", provider="'smtp:other:25'")
    put_dead(outbox, dead_reason="'expired'", last_error="null")
    groups = lines_of(outboxctl(outbox.database, "groups"))
    told = [(group["messages"], group["dead_reason"], group["provider"], group["error"]) for group in groups]
    assert told[0] == (3, "rejected", "smtp:mx:25", "550 5.1.1 … no such user")
    assert set(told[1:]) == {
        (1, "rejected", "smtp:other:25", "550 5.1.1 … no such user"),
        (1, "expired", None, None),
    }
    [(first, last)] = outbox.execute(
        "select min(settled_at), max(settled_at) from outbox_messages where provider = 'smtp:mx:25'"
    )
    assert (groups[0]["first_seen"], groups[0]["last_seen"]) == (first.isoformat(), last.isoformat())


def test_a_death_that_the_relay_writes_has_its_cause_and_loses_it_when_requeued(outbox: Outbox) -> None:
    outbox.put(token_id="null")
    [message] = outbox.claim()
    outbox.settle([(message, Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no")))])
    [group] = lines_of(outboxctl(outbox.database, "groups"))
    [listed] = lines_of(outboxctl(outbox.database, "list", "--cause", group["cause"]))
    assert listed["id"] == str(message.id)
    assert listed["cause"] == group["cause"]
    outboxctl(outbox.database, "requeue", str(message.id), "--reason", "mended")
    assert lines_of(outboxctl(outbox.database, "groups")) == []


def test_the_filter_takes_a_cause_and_finds_its_messages_only(outbox: Outbox, console: sessionmaker[Session]) -> None:
    theirs = put_dead(outbox, count=3, last_error="'552 5.2.2 mailbox full'")
    put_dead(outbox, count=2, last_error="'550 5.1.1 no such user'")
    with console() as session:
        largest = list_causes(session).causes[0]
        page = list_messages(session, MessageFilter(cause=largest.cause))
    assert sorted(message.id for message in page.messages) == theirs


def test_with_too_many_causes_the_list_says_that_it_is_not_whole(
    outbox: Outbox, console: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "MAX_CAUSES", 2)
    for word in ("one", "two", "three"):
        put_dead(outbox, last_error=f"'{word}'")
    with console() as session:
        found = list_causes(session)
    assert (len(found.causes), found.is_complete) == (2, False)
