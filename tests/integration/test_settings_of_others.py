"""Settings on a role, a database or the server do not change the services' behaviour."""

import asyncio

import psycopg
import pytest
from sqlalchemy import text

from devstack.cluster import Cluster
from migrations import commands
from outbox_relay.db.connection import connect
from shared.db.engine import create_database_engine
from shared.db.migrating import exclusive_connection
from tests.support.api import api_on
from tests.support.consoles import console_on, operators_token
from tests.support.databases import Database, fresh_database
from tests.support.mail_sink import MailSink
from tests.support.operators import outboxctl, put_dead
from tests.support.outbox import Outbox
from tests.support.relays import relay_once

pytestmark = pytest.mark.slow

OTHERS = {
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "client_encoding": "LATIN1",
    "search_path": "nowhere",
    "timezone": "Asia/Kolkata",
}
UNENCODED = {"client_encoding": "SQL_ASCII"}
NOBODY_IS_IDLE = {"idle_session_timeout": "300ms"}
NAME = "Łucja Ω"

all_sorts = pytest.mark.parametrize("settings", [OTHERS, UNENCODED], ids=["another's", "no encoding"])


def set_for(database: Database, login: str, settings: dict[str, str]) -> None:
    with database.connect() as owner:
        for name, value in settings.items():
            owner.execute(f"alter role {login} in database {database.name} set {name} = '{value}'")


@all_sorts
def test_registration_and_sign_in_work_with_foreign_settings(database: Database, settings: dict[str, str]) -> None:
    set_for(database, "api", settings)
    with api_on(database, RATE_LIMITS="on") as api:
        registration_id = api.activated(email="ada@example.org", full_name=NAME)
        assert api.look_up(registration_id).json["status"] == "active"
    with database.connect() as owner:
        assert owner.execute("select full_name from users").fetchall() == [(NAME,)]


@all_sorts
def test_messages_are_sent_with_foreign_settings(outbox: Outbox, sink: MailSink, settings: dict[str, str]) -> None:
    set_for(outbox.database, "relay", settings)
    outbox.put(payload=f"""'{{"name": "{NAME}", "key_id": "test"}}'""")
    assert relay_once(outbox.database, EMAIL_PROVIDERS=sink.provider) == 0
    assert sink.arrived.total() == 1


@all_sorts
def test_operators_can_work_with_foreign_settings(outbox: Outbox, settings: dict[str, str]) -> None:
    token = operators_token(outbox.database)
    set_for(outbox.database, "console", settings)
    [message_id] = put_dead(outbox, last_error=f"'{NAME}'")
    assert NAME in outboxctl(outbox.database, "show", str(message_id)).stdout
    assert outboxctl(outbox.database, "requeue", str(message_id), "--reason", NAME).exit_code == 0
    with console_on(outbox.database) as console:
        assert console.ask("GET", f"/v1/messages/{message_id}", token).json["status"] == "pending"
    assert outbox.execute("select reason from operator_actions where message_id = %s", message_id) == [(NAME,)]


@all_sorts
def test_migrations_work_with_foreign_settings(cluster: Cluster, settings: dict[str, str]) -> None:
    with fresh_database(cluster, template="template0") as empty:
        with empty.connect() as owner:
            for name, value in settings.items():
                owner.execute(f"alter database {empty.name} set {name} = '{value}'")
        commands.upgrade(empty.owner_url)
        with exclusive_connection(empty.owner_url, "alembic_version", application_name="test") as connection:
            assert connection.scalar(text("select count(*) from alembic_version")) == 1


def test_an_idle_session_is_not_ended(database: Database) -> None:
    for login in ("api", "relay"):
        set_for(database, login, NOBODY_IS_IDLE)
    engine = create_database_engine(database.api_url, application_name="test", pool_size=1)
    with engine.connect() as connection:
        assert connection.scalar(text("show idle_session_timeout")) == "0"
    engine.dispose()
    assert asyncio.run(shown_to_the_relay(database.relay_url)) == ("0",)
    with psycopg.connect(database.relay_url.replace("+psycopg", "")) as another:
        assert another.execute("show idle_session_timeout").fetchone() == ("300ms",)


async def shown_to_the_relay(url: str) -> tuple[object, ...] | None:
    async with await connect(url, "test") as connection:
        return await (await connection.execute("show idle_session_timeout")).fetchone()
