"""The API in this process, on a real database, with helpers for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient
from psycopg.rows import namedtuple_row
from werkzeug.test import TestResponse

from api_service.app import Api, create_app
from api_service.settings import ApiSettingsSchema
from bench.fast_hashing import fast_hashing
from shared.secrets import code_for, link_token_for
from tests.support.databases import Database
from tests.support.keys import KEY, PUBLIC_URL, SECRET_KEYS

PASSWORD = "four quiet words here"
WRONG_CODE = "no code"
"""Never a valid code: codes are digits."""


@dataclass(frozen=True)
class ApiUnderTest:
    """The app, a client, and the database."""

    app: Api
    client: FlaskClient
    database: Database

    def register(self, **body: Any) -> TestResponse:
        addresses = {} if "email" in body or "phone" in body else {"email": "ada@example.org"}
        return self.client.post("/v1/registrations", json={"password": PASSWORD, **addresses, **body})

    def registered(self, **body: Any) -> UUID:
        """Register a user and return the registration's id."""
        response = self.register(**body)
        assert response.status_code == 202, response.text
        return UUID(response.json["id"])

    def activated(self, **body: Any) -> UUID:
        """Register and activate a user, and return the registration's id."""
        registration_id = self.registered(**body)
        assert self.activate(registration_id).status_code == 200
        return registration_id

    def look_up(self, registration_id: UUID, **headers: str) -> TestResponse:
        return self.client.get(f"/v1/registrations/{registration_id}", headers=headers)

    def resend(self, registration_id: UUID, **body: Any) -> TestResponse:
        return self.client.post(f"/v1/registrations/{registration_id}/resend", json=body)

    def activate(self, registration_id: UUID, code: str | None = None) -> TestResponse:
        """Activate with that code, or with the valid code of the newest token."""
        body = {"registration_id": str(registration_id), "code": code or self.code(registration_id)}
        return self.client.post("/v1/activations", json=body)

    def activate_by_link(self, link_token: str, **more: Any) -> TestResponse:
        return self.client.post("/v1/activations", json={"token": link_token, **more})

    def code(self, registration_id: UUID) -> str:
        return code_for(self.tokens(registration_id)[0].id, KEY)

    def link_token(self, registration_id: UUID) -> str:
        return link_token_for(self.tokens(registration_id)[0].id, KEY)

    def user(self, registration_id: UUID) -> Any:
        return self.rows("select * from users where id = %s", registration_id)[0]

    def tokens(self, registration_id: UUID) -> list[Any]:
        """Return the registration's tokens, newest first."""
        return self.rows("select * from tokens where user_id = %s order by created_at desc", registration_id)

    def messages(self, registration_id: UUID) -> list[Any]:
        """Return the registration's messages, newest first."""
        return self.rows("select * from outbox_messages where user_id = %s order by created_at desc", registration_id)

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """Run a statement as the database's owner and return its rows, if any."""
        with self.database.connect() as connection, connection.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def count_rows(self) -> tuple[int, int, int]:
        """Count users, tokens and messages."""
        return counted(self.database)

    def count_waiting(self) -> int:
        """Count the sessions that wait for a lock in this database."""
        waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        return len(self.rows(waiting))


def counted(database: Database) -> tuple[int, int, int]:
    """Count users, tokens and messages."""
    with database.connect() as connection:
        row = connection.execute(
            "select (select count(*) from users), (select count(*) from tokens), (select count(*) from outbox_messages)"
        ).fetchone()
    assert row
    return row


@contextmanager
def api_on(database: Database, **environment: str) -> Iterator[ApiUnderTest]:
    """Create the app on that database, without a cooldown by default.

    Hashing is fast, because these tests do not depend on it; tests of real processes hash normally.
    """
    with app_on(database, **environment) as app, fast_hashing():
        yield ApiUnderTest(app, app.test_client(), database)


@contextmanager
def shared_api(database: Database, **environment: str) -> Iterator[ApiUnderTest]:
    """Create the app with these settings, shared by all tests on the database that need the same ones."""
    app = database.share(("api", *sorted(environment.items())), lambda: app_on(database, **environment))
    with fast_hashing():
        yield ApiUnderTest(app, app.test_client(), database)


@contextmanager
def app_on(database: Database, **environment: str) -> Iterator[Api]:
    settings = {
        "DATABASE_URL": database.api_url,
        "SECRET_KEYS": SECRET_KEYS,
        "PUBLIC_URL": PUBLIC_URL,
        "RESEND_COOLDOWN_SECONDS": "0",
        "RATE_LIMITS": "off",
    }
    app = create_app(ApiSettingsSchema().read(settings | environment))
    try:
        yield app
    finally:
        app.close()
