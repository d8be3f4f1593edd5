"""An account from registration to deletion, through an HTTP client and real processes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.inbox import Inbox, running_inbox
from tests.support.processes import running_api
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

ADA = "ada@example.org"
COUNTESS = "countess@example.org"
PASSWORD = "four quiet words here"
SECOND_PASSWORD = "four louder words there"


@dataclass
class Person:
    """Someone with an HTTP client and two mailboxes."""

    client: httpx.Client
    inbox: Inbox

    def post(self, path: str, expected: int, body: dict[str, Any]) -> Any:
        response = self.client.post(path, json=body)
        assert response.status_code == expected, response.text
        return response.json() if response.content else None

    def sign_in(self, email: str, password: str) -> Any:
        session = self.post("/v1/sessions", 201, {"email": email, "password": password})
        self.continue_with(session)
        return session

    def continue_with(self, session: Any) -> None:
        self.client.headers["Authorization"] = f"Bearer {session['access_token']}"

    def is_signed_in(self) -> bool:
        return self.client.get("/v1/me").status_code == 200

    def mail(self, address: str, count: int) -> Any:
        """Wait until the address has received that many mails, and return the newest."""
        return self.inbox.wait_for(address, count)[0]


@pytest.fixture
def person(database: Database, tmp_path: Path) -> Iterator[Person]:
    with ExitStack() as ending:
        inbox = ending.enter_context(running_inbox(tmp_path))
        api = ending.enter_context(running_api(database, RESEND_COOLDOWN_SECONDS="0"))
        ending.enter_context(running_relay(database, EMAIL_PROVIDERS=inbox.email_provider))
        yield Person(ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30)), inbox)


def test_a_person_can_use_change_and_delete_an_account(person: Person, database: Database) -> None:
    activate_after_too_many_wrong_codes(person)
    first = person.sign_in(ADA, PASSWORD)
    second = person.post("/v1/sessions/refresh", 200, {"refresh_token": first["refresh_token"]})
    person.continue_with(second)
    assert person.is_signed_in()
    reset_password(person)
    assert not person.is_signed_in()
    person.post("/v1/sessions/refresh", 401, {"refresh_token": second["refresh_token"]})
    person.post("/v1/sessions", 401, {"email": ADA, "password": PASSWORD})
    person.sign_in(ADA, SECOND_PASSWORD)
    change_address(person)
    assert person.client.get("/v1/me/export").json()["user"]["email"] == COUNTESS
    assert person.client.request("DELETE", "/v1/me", json={"password": SECOND_PASSWORD}).status_code == 202
    assert not person.is_signed_in()
    eventually(lambda: has_no_personal_data(database))


def activate_after_too_many_wrong_codes(person: Person) -> None:
    registration = person.post("/v1/registrations", 202, {"email": ADA, "password": PASSWORD})
    person.mail(ADA, 1)
    person.post(f"/v1/registrations/{registration['id']}/resend", 202, {})
    mail = person.mail(ADA, 2)
    tried = {"registration_id": registration["id"], "code": different_code(mail.code)}
    for expected in [400] * 5 + [429]:
        person.post("/v1/activations", expected, tried)
    person.post("/v1/activations", 429, tried | {"code": mail.code})
    person.post("/v1/activations", 200, {"token": str(mail.link).partition("token=")[2]})
    person.mail(ADA, 3)


def different_code(code: str) -> str:
    """Return a different code with the same number of digits."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def reset_password(person: Person) -> None:
    person.post("/v1/password-resets", 202, {"email": ADA})
    new = {"email": ADA, "new_password": SECOND_PASSWORD}
    code = person.mail(ADA, 4).code
    person.post("/v1/password-resets/confirm", 400, new | {"code": different_code(code)})
    person.post("/v1/password-resets/confirm", 204, new | {"code": code})
    assert "password was changed" in person.mail(ADA, 5).subject


def change_address(person: Person) -> None:
    person.post("/v1/me/email", 202, {"email": COUNTESS, "password": SECOND_PASSWORD})
    person.post("/v1/me/email/confirm", 204, {"code": person.mail(COUNTESS, 1).code})
    assert "address was changed" in person.mail(ADA, 6).subject


def has_no_personal_data(database: Database) -> bool:
    with database.connect() as connection:
        tables = ("users", "tokens", "sessions", "outbox_messages", "delivery_attempts")
        held = [str(connection.execute(f"select * from {table}").fetchall()) for table in tables]
    return not any(address in row for row in held for address in (ADA, COUNTESS))
