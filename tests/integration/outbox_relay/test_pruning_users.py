"""Users who never activated are deleted with their tokens, unless they can still return."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.orm import Session

from operator_console.actions.audit import AuditContext
from operator_console.actions.requeue import requeue
from shared.db.engine import create_database_engine
from tests.support.api import ApiUnderTest, api_on
from tests.support.eventually import eventually
from tests.support.maintenance import maintenance_on, turn
from tests.support.outbox import Outbox

PRUNE = "select signpost_prune_users(30, 100)"
WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query = %s and datname = %s"
A_USER = """
insert into users (id, status, email, email_canonical, password_hash, locale, created_at)
values (gen_random_uuid(), %s, 'ada@example.org', 'ada@example.org', 'x', 'en', now() - interval '40 days') returning id
"""
A_TOKEN = """
insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, created_at, expires_at)
values (gen_random_uuid(), %s, 'activation', 'email', 'test', 5, now() - interval '40 days',
        now() - %s * interval '1 day') returning id
"""


def test_a_user_whose_last_token_expired_long_ago_is_deleted(outbox: Outbox) -> None:
    with api_on(outbox.database) as api:
        gone, kept = api.registered(), api.registered()
        link_token = api.link_token(gone)
        abandon(api, gone)
        turn(maintenance_on(outbox))
        assert [response.status_code for response in (api.look_up(gone), api.resend(gone))] == [404, 404]
        assert api.activate_by_link(link_token).json["code"] == "invalid_or_expired"
        assert api.look_up(kept).status_code == 200
        assert [len(api.tokens(user)) for user in (gone, kept)] == [0, 1]
        assert [message.user_id for message in api.messages(gone)] == [gone]


def test_a_dead_message_outlives_its_user_and_can_still_be_requeued(outbox: Outbox) -> None:
    user = f"'{a_user(outbox)}'"
    [message_id] = outbox.put(status="'dead'", dead_reason="'exhausted'", settled_at="now()", user_id=user)
    turn(maintenance_on(outbox))
    assert users(outbox) == []
    engine = create_database_engine(outbox.database.console_url, application_name="test", pool_size=1)
    with Session(engine) as session, session.begin():
        requeue(session, message_id, AuditContext("ada", "mended"))
    engine.dispose()
    assert [message.id for message in outbox.claim()] == [message_id]


def test_a_retired_user_is_deleted_too(outbox: Outbox) -> None:
    a_user(outbox, status="retired")
    turn(maintenance_on(outbox))
    assert users(outbox) == []


def test_an_active_user_stays_with_tokens_of_any_age(outbox: Outbox) -> None:
    active = a_user(outbox, status="active")
    turn(maintenance_on(outbox))
    assert users(outbox) == [active]


def test_one_recent_token_keeps_its_user(outbox: Outbox) -> None:
    user = a_user(outbox)
    outbox.execute(A_TOKEN, user, 29)
    turn(maintenance_on(outbox))
    assert users(outbox) == [user]
    assert outbox.number("select count(*) from tokens") == 2


def test_an_unsettled_message_keeps_its_user(outbox: Outbox) -> None:
    user = a_user(outbox)
    outbox.put(user_id=f"'{user}'")
    turn(maintenance_on(outbox))
    assert users(outbox) == [user]


def test_with_unlimited_retention_no_user_is_pruned(outbox: Outbox) -> None:
    user = a_user(outbox)
    turn(maintenance_on(outbox, RELAY_PENDING_USERS_DAYS="0"))
    assert users(outbox) == [user]


def test_a_call_prunes_no_more_users_than_its_batch(outbox: Outbox) -> None:
    for _ in range(3):
        a_user(outbox)
    assert [outbox.number("select signpost_prune_users(30, 2)") for _ in range(3)] == [2, 1, 0]


def test_a_user_who_is_requesting_a_code_is_skipped(outbox: Outbox) -> None:
    user = a_user(outbox)
    with outbox.database.connect() as resend, resend.transaction():
        resend.execute("select from users where id = %s for update", [user])
        assert outbox.number(PRUNE) == 0
    assert users(outbox) == [user]


def test_a_code_requested_during_the_pruning_keeps_its_user(outbox: Outbox) -> None:
    user = a_user(outbox)
    with ThreadPoolExecutor(1) as relay, outbox.database.connect() as resend:
        with resend.transaction():
            # The first query of the tokens, with a snapshot older than the token, waits until this commits.
            resend.execute("lock table tokens in access exclusive mode")
            pruned = relay.submit(outbox.number, PRUNE)
            eventually(lambda: outbox.execute(WAITING, PRUNE, outbox.database.name))
            resend.execute(A_TOKEN, [user, -1])
        assert pruned.result(30) == 0
    assert users(outbox) == [user]


def test_an_interrupted_call_deletes_no_user_partially(outbox: Outbox) -> None:
    user = a_user(outbox)
    with ThreadPoolExecutor(1) as relay, outbox.database.connect() as other:
        with other.transaction():
            # The user's row is deleted by now, and the cascade waits for the token's row.
            other.execute("select from tokens for update")
            pruned = relay.submit(outbox.number, PRUNE)
            [(pid,)] = eventually(lambda: outbox.execute(WAITING, PRUNE, outbox.database.name))
            outbox.execute("select pg_terminate_backend(%s)", pid)
            with pytest.raises(psycopg.errors.AdminShutdown):
                pruned.result(30)
        assert users(outbox) == [user]
        assert outbox.number("select count(*) from tokens") == 1
    turn(maintenance_on(outbox))
    assert users(outbox) == []


def abandon(api: ApiUnderTest, registration_id: UUID) -> None:
    """Move the registration back by 40 days: its message is sent and its token has expired."""
    for statement in (
        "update users set created_at = now() - interval '40 days' where id = %s",
        "update tokens set expires_at = now() - interval '39 days' where user_id = %s",
        "update outbox_messages set status = 'sent', settled_at = now() where user_id = %s",
    ):
        api.rows(statement, registration_id)


def a_user(outbox: Outbox, status: str = "pending") -> UUID:
    """Add a user from 40 days ago, whose token expired a day later."""
    [(user,)] = outbox.execute(A_USER, status)
    outbox.execute(A_TOKEN, user, 39)
    return UUID(str(user))


def users(outbox: Outbox) -> list[UUID]:
    return [user for (user,) in outbox.execute("select id from users")]
