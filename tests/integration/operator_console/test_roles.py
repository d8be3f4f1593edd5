import psycopg
import pytest

from shared.db.connection_settings import driver_url
from tests.support.databases import Database, is_refused
from tests.support.outbox import Outbox

A_USER = """
insert into users (id, email, email_canonical, password_hash, locale)
values (gen_random_uuid(), %(email)s, %(email)s, 'x', 'en') returning id
"""
A_TOKEN = """
insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
values (gen_random_uuid(), %s, 'activation', 'email', 'test', 5, now() + interval '1 day') returning id
"""

A_RESET = """
insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at, address_id)
values (gen_random_uuid(), %s, 'password_reset', 'email', 'test', 5, now() + interval '1 day',
        gen_random_uuid()) returning id
"""


def test_the_console_cannot_have_one_users_code_sent_to_another(database: Database) -> None:
    outbox = Outbox(database)
    with database.connect() as owner:
        users = [owner.execute(A_USER, {"email": f"{name}@example.org"}).fetchone() for name in ("victim", "eve")]
        (victims,), (eves,) = (owner.execute(A_TOKEN, user).fetchone() or () for user in users if user)
    [message_id] = outbox.put(user_id=f"'{users[1][0]}'" if users[1] else "", token_id=f"'{eves}'")
    with (
        psycopg.connect(driver_url(database.console_url)) as console,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        console.execute("update outbox_messages set token_id = %s where id = %s", [victims, message_id])
    assert outbox.row(message_id).token_id == eves


def test_the_console_cannot_have_a_code_sent_in_a_message_about_something_else(database: Database) -> None:
    outbox = Outbox(database)
    with database.connect() as owner:
        [(user_id,)] = owner.execute(A_USER, {"email": "ada@example.org"}).fetchall()
        [(activation,)] = owner.execute(A_TOKEN, [user_id]).fetchall()
        [[(reset,)], [(of_another_address,)]] = [owner.execute(A_RESET, [user_id]).fetchall() for _ in range(2)]
    whose = f"'{user_id}'"
    [stale] = outbox.put(user_id=whose, token_id=f"'{activation}'")
    [elsewhere] = outbox.put(user_id=whose, token_id=f"'{of_another_address}'", template="'password_reset'")
    for message_id in (stale, elsewhere):
        statement = f"update outbox_messages set token_id = '{reset}' where id = '{message_id}'"
        assert is_refused(database.console_url, statement)


def test_the_console_cannot_have_a_code_sent_to_a_stranger(database: Database) -> None:
    outbox = Outbox(database)
    with database.connect() as owner:
        [(user_id,)] = owner.execute(A_USER, {"email": "ada@example.org"}).fetchall()
        [(token,)] = owner.execute(A_TOKEN, [user_id]).fetchall()
    outbox.put(user_id=f"'{user_id}'", token_id=f"'{token}'")
    outbox.put(user_id=f"'{user_id}'", token_id="null")
    for to_whom, is_a_stranger in (("eve@example.org", True), ("Ada@Example.org", False)):
        statement = f"update outbox_messages set recipient = '{to_whom}'"
        assert is_refused(database.console_url, statement) is is_a_stranger


@pytest.mark.parametrize("statement", ["select signpost_erase(gen_random_uuid(), '[]'::jsonb)", "select * from users"])
def test_the_console_reads_and_erases_no_user(database: Database, statement: str) -> None:
    assert is_refused(database.console_url, statement)


@pytest.mark.parametrize("statement", ["update providers set consecutive_opens = 0", "delete from providers"])
def test_the_console_cannot_change_providers(database: Database, statement: str) -> None:
    assert is_refused(database.console_url, statement)


@pytest.mark.parametrize("statement", ["select id from sessions", "delete from sessions"])
def test_the_console_cannot_access_users_sessions(database: Database, statement: str) -> None:
    assert is_refused(database.console_url, statement)


def test_the_console_can_neither_read_users_nor_write_messages(database: Database) -> None:
    for statement in (
        "select * from users",
        "delete from outbox_messages",
        "insert into outbox_messages (id) values (gen_random_uuid())",
        "update outbox_messages set template = 'welcome'",
        "update operator_actions set reason = ''",
    ):
        assert is_refused(database.console_url, statement), statement
