"""A message without an expiry ends after the longest allowed life."""

from datetime import timedelta

from click.testing import CliRunner
from sqlalchemy.orm import Session

from operator_console.cli import main
from outbox_relay.model import Dead
from shared.db.engine import create_database_engine
from shared.enqueue import LONGEST_LIFE, NewMessage, enqueue
from shared.templates import Template
from shared.vocabulary import Channel, DeadReason, Locale
from tests.support.databases import Database
from tests.support.outbox import Outbox

A_NOTICE = NewMessage(Template("account_exists"), Channel.EMAIL, "ada@example.org", Locale.EN, {})
REASON = ("--reason", "mended")


def enqueued_as_the_api_does(database: Database, new: NewMessage) -> None:
    engine = create_database_engine(database.api_url, application_name="test", pool_size=1)
    with Session(engine) as session, session.begin():
        enqueue(session, new)
    engine.dispose()


def test_a_message_without_an_expiry_ends_after_the_longest_life(outbox: Outbox) -> None:
    enqueued_as_the_api_does(outbox.database, A_NOTICE)
    [(life,)] = outbox.execute("select expires_at - created_at from outbox_messages")
    assert life == LONGEST_LIFE


def test_an_explicit_expiry_is_unchanged(outbox: Outbox) -> None:
    [(tomorrow,)] = outbox.execute("select now() + interval '1 day'")
    ending = NewMessage(Template("account_exists"), Channel.EMAIL, "a@b.example", Locale.EN, {}, expires_at=tomorrow)
    enqueued_as_the_api_does(outbox.database, ending)
    assert outbox.execute("select expires_at from outbox_messages") == [(tomorrow,)]


def test_requeueing_a_message_without_a_token_renews_its_life(outbox: Outbox) -> None:
    [message_id] = outbox.put(token_id="null", expires_at="now() - interval '1 hour'")
    [message] = outbox.claim()
    outbox.settle([(message, Dead(DeadReason.EXPIRED))])
    environment = {"DATABASE_URL": outbox.database.console_url}
    assert CliRunner().invoke(main, ["requeue", str(message_id), *REASON], env=environment).exit_code == 0
    [(left,)] = outbox.execute("select expires_at - now() from outbox_messages")
    assert LONGEST_LIFE - timedelta(minutes=5) < left <= LONGEST_LIFE
